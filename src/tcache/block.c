/* SPDX-License-Identifier: MIT */
#include "tcache/block.h"

#include <string.h>

#include "arena/exact.h"
#include "arena/guard.h"
#include "arena/large.h"
#include "arena/late.h"
#include "arena/span_map.h"
#include "tcache/compact.h"
#include "tcache/fixed_cache.h"
#include "tcache/guarding.h"
#include "tcache/hardened.h"
#include "tcache/process.h"
#include "tcache/purger.h"

/* The entry of a new block of `bytes`: malloc's may use all of their class. */
static uint32_t mark_of(const struct mole_heap *heap, unsigned class, size_t bytes)
{
    return heap->is_sized ? mole_exact_mark(class, bytes) : MOLE_WHOLE;
}

static void *alloc_in_slab(struct mole_use *use, unsigned class, size_t bytes)
{
    struct mole_span *span = use->cache->current[class];
    uint32_t mark = mark_of(use->cache->owner.heap, class, bytes);
    void *block;
    if (mole_hardened_pop_any(span, mark, &block))
        return block;
    return mole_tcache_alloc_slow(use->cache, use->slots, class, mark);
}

/* What a large span records: malloc's callers may use all of the last page. */
static size_t large_bytes(const struct mole_heap *heap, size_t bytes)
{
    return heap->is_sized || bytes > PTRDIFF_MAX ? bytes
                                                 : mole_round_up(bytes, MOLE_PAGE);
}

/* Of a slab for classes below MOLE_CLASS_COUNT, else large. */
static void *try_alloc(struct mole_use *use, unsigned class, size_t bytes, size_t align,
                       bool zero)
{
    if (class == MOLE_CLASS_COUNT) {
        bytes = large_bytes(use->heap, bytes);
        void *kept = mole_large_cache_reuse(use->cache, bytes, align, zero);
        return kept ? kept : mole_large_alloc(use->heap, use->slots, bytes, align, zero);
    }
    void *block = use->cache ? alloc_in_slab(use, class, bytes) : NULL;
    return block && zero ? memset(block, 0, bytes) : block;
}

/* Memory is short: once more with room made, or of a cache without a thread. */
static mole_slow void *alloc_again(struct mole_use *use, unsigned class, size_t bytes,
                                   size_t align, bool zero)
{
    struct mole_heap *heap = use->heap;
    if (!mole_compact_in_need(use, bytes))
        return NULL;
    void *block = try_alloc(use, class, bytes, align, zero);
    if (block || class == MOLE_CLASS_COUNT)
        return block;
    block = mole_tcache_alloc_from_orphans(heap, use->slots, mole_thread_self_in(heap),
                                           class, mark_of(heap, class, bytes));
    return block && zero ? memset(block, 0, bytes) : block;
}

static void *alloc_in_fixed(struct mole_use *use, size_t bytes, bool zero)
{
    void *block = mole_fixed_cache_alloc(use->heap, use->cache, bytes);
    return block && zero ? memset(block, 0, bytes) : block;
}

/* Of the class that has room for it; `zero` is not asked of a slab's that has guards. */
static void *alloc_of_class(struct mole_use *use, unsigned class, size_t bytes,
                            size_t align, bool zero)
{
    void *block = try_alloc(use, class, bytes, align, zero);
    return likely(block) ? block : alloc_again(use, class, bytes, align, zero);
}

/* Of a heap whose blocks have guards. */
static mole_slow void *alloc_guarded(struct mole_use *use, unsigned class, size_t bytes,
                                     size_t align, bool zero)
{
    bool is_slab = class < MOLE_CLASS_COUNT;
    bool is_clear = zero || mole_guard_is_clear(use->heap, bytes);
    void *before = mole_guarding_begin(use->heap);
    void *block = use->heap->fixed
                      ? alloc_in_fixed(use, bytes, false)
                      : alloc_of_class(use, class, bytes, align, is_clear && !is_slab);
    if (block)
        mole_guarding_born(use->heap, block, bytes, zero);
    mole_guarding_end(before);
    return block;
}

static void *alloc_inside(struct mole_use *use, size_t bytes, size_t align, unsigned how)
{
    unsigned class = MOLE_CLASS_COUNT;
    bool zero = how & MOLE_BLOCK_ZERO;
    if (unlikely(use->heap->fixed) && likely(!use->heap->checks))
        return alloc_in_fixed(use, bytes, zero);
    size_t padded = mole_guard_padded(use->heap, bytes);
    if (padded <= MOLE_SLAB_MAX && align <= MOLE_PAGE && !(how & MOLE_BLOCK_APART))
        class = mole_size_class_aligned(padded, align);
    return unlikely(use->heap->checks) ? alloc_guarded(use, class, bytes, align, zero)
                                       : alloc_of_class(use, class, bytes, align, zero);
}

static void *try_block_alloc(struct mole_heap *heap, size_t bytes, size_t align,
                             unsigned how)
{
    struct mole_use use = mole_thread_begin(heap, how & MOLE_BLOCK_UNGATED);
    void *block = alloc_inside(&use, bytes, align, how);
    mole_thread_end(&use);
    return block;
}

/* Whether to try once more for a block of `bytes` of a fixed-size heap; it is stopped. */
static bool stop_to_try(struct mole_heap *heap, size_t bytes, unsigned how)
{
    return heap->fixed && bytes <= heap->fixed->limits.most_bytes &&
           mole_fixed_cache_stop(heap, how & MOLE_BLOCK_UNGATED);
}

void *mole_block_alloc(struct mole_heap *heap, size_t bytes, size_t align, unsigned how)
{
    void *block = try_block_alloc(heap, bytes, align, how);
    if (unlikely(!block) && stop_to_try(heap, bytes, how)) {
        block = try_block_alloc(heap, bytes, align, how);
        mole_fixed_cache_resume(heap);
    }
    mole_purger_poke();
    return block;
}

struct mole_span *mole_block_find(struct mole_heap *heap, const void *address)
{
    struct mole_span *span = mole_span_map_find(address);
    if (span->heap != heap || mole_span_bytes(span, address) == MOLE_LARGE_FREE)
        return NULL;
    return span;
}

static void free_in_slab(struct mole_use *use, struct mole_span *span, void *block)
{
    size_t index;
    /* Batches know no coded links. If another was faster, it is free all the same. */
    if (unlikely(!mole_span_index(span, block, &index) || index >= span->capacity))
        return;
    if (!use->cache || span->owner != &use->cache->owner)
        (void)mole_tcache_free_remote(span->link_key ? NULL : use->cache, span, index);
    else if (!mole_hardened_push_any(span, index, block))
        mole_tcache_counted_down(use->cache, use->slots, span);
}

static void free_plain(struct mole_use *use, struct mole_span *span, void *block)
{
    if (span->kind == MOLE_SPAN_LARGE)
        mole_large_cache_free(use->cache, use->slots, span);
    else if (span->kind == MOLE_SPAN_FIXED)
        mole_fixed_cache_free(use->heap, use->cache, block);
    else
        free_in_slab(use, span, block);
}

/* A block that has guards. */
static mole_slow void free_guarded(struct mole_use *use, struct mole_span *span,
                                   void *block)
{
    void *before = mole_guarding_begin(use->heap);
    mole_guarding_died(span, block);
    free_plain(use, span, block);
    mole_guarding_end(before);
}

static void free_inside(struct mole_use *use, struct mole_span *span, void *block)
{
    if (unlikely(use->heap->checks))
        free_guarded(use, span, block);
    else
        free_plain(use, span, block);
}

/* To free the block with: its slab's cache if the thread owns that, else its own. */
static struct mole_tcache *cache_for(const struct mole_span *span, struct mole_heap *heap)
{
    bool is_slab = span->kind == MOLE_SPAN_SLAB;
    struct mole_owner *owner = mole_span_owner(span);
    if (is_slab && !mole_span_is_purged(span, owner) && mole_thread_owns(owner))
        return (struct mole_tcache *)(void *)owner;
    return (is_slab ? mole_thread_cache_to_free : mole_thread_cache_at_hand)(heap);
}

bool mole_block_free(struct mole_span *span, void *block, unsigned how)
{
    struct mole_heap *heap = mole_span_heap(span);
    if (unlikely(heap == &mole_heap_nobody)) /* by now */
        return false;
    struct mole_use use =
        mole_thread_begin_with(heap, cache_for(span, heap), how & MOLE_BLOCK_UNGATED);
    /* The call may have waited for whoever had the heap, and may have freed the block. */
    bool is_live = mole_block_find(use.heap, block) == span;
    if (likely(is_live))
        free_inside(&use, span, block);
    mole_thread_end(&use);
    return is_live;
}

/* Whether the block stays where it is: it fits, and would not waste half of its room. */
static bool stays(const struct mole_span *span, size_t bytes, unsigned how)
{
    bool is_large = span->kind == MOLE_SPAN_LARGE;
    size_t room = is_large ? span->room : span->block_bytes;
    bytes = mole_guard_padded(mole_span_heap(span), bytes);
    if (bytes > room)
        return false;
    if (how & MOLE_BLOCK_IN_PLACE)
        return true;
    if (how & MOLE_BLOCK_APART)
        return is_large;
    return is_large ? bytes > MOLE_SLAB_MAX : mole_block_suits(span, bytes);
}

static void resize_here(struct mole_span *span, const void *block, size_t bytes)
{
    size_t index;
    if (span->kind == MOLE_SPAN_LARGE)
        mole_large_resize(span, large_bytes(span->heap, bytes));
    else if (likely(mole_span_index(span, block, &index) && index < span->capacity))
        mole_exact_set(span, index, bytes);
}

/* A new block for one of `old` bytes; if it grows with room for more, while there is. */
static void *alloc_to_move(struct mole_use *use, size_t old, size_t bytes, unsigned how)
{
    bool is_plain = !use->heap->checks && !use->heap->fixed && !how;
    size_t roomy = is_plain ? mole_size_class_roomy(old, bytes) : bytes;
    unsigned class = mole_size_class_of(roomy); /* it has one if it is roomy */
    void *to = roomy > bytes ? try_alloc(use, class, roomy, MOLE_ALIGN, false) : NULL;
    if (!to)
        return alloc_inside(use, bytes, MOLE_ALIGN, how);
    resize_here(mole_span_map_find(to), to, bytes);
    return to;
}

/* To a new address: by moving pages if large, else by copying. */
static void *move(struct mole_use *use, struct mole_span *span, void *block, size_t bytes,
                  unsigned how, struct mole_block_rest *rest)
{
    size_t old = mole_span_bytes(span, block);
    if (span->kind == MOLE_SPAN_LARGE &&
        mole_guard_padded(span->heap, bytes) > span->room) {
        bytes = large_bytes(span->heap, bytes);
        rest->run = mole_large_grow(span->heap, use->slots, span, bytes);
        if (unlikely(!rest->run) && mole_compact_in_need(use, bytes))
            rest->run = mole_large_grow(span->heap, use->slots, span, bytes);
        return rest->run ? span->base : NULL;
    }
    void *to = alloc_to_move(use, old, bytes, how & MOLE_BLOCK_APART);
    if (!to)
        return NULL;
    memcpy(to, block, old < bytes ? old : bytes);
    rest->span = span;
    rest->block = block;
    return to;
}

/* The same in a fixed-size heap. */
static void *resize_in_fixed(struct mole_use *use, struct mole_span *span, void *block,
                             size_t bytes, unsigned how, struct mole_block_rest *rest)
{
    if (mole_fixed_cache_resize(use->heap, block, bytes))
        return block;
    return how & MOLE_BLOCK_IN_PLACE ? NULL : move(use, span, block, bytes, how, rest);
}

/* In place, or moved as `how` allows; NULL: neither. */
static void *resize_live(struct mole_use *use, struct mole_span *span, void *block,
                         size_t bytes, unsigned how, struct mole_block_rest *rest)
{
    if (span->kind == MOLE_SPAN_FIXED)
        return resize_in_fixed(use, span, block, bytes, how, rest);
    size_t old = mole_span_bytes(span, block);
    if (!stays(span, bytes, how)) {
        void *at =
            how & MOLE_BLOCK_IN_PLACE ? NULL : move(use, span, block, bytes, how, rest);
        if (at || bytes > old || (how & MOLE_BLOCK_IN_PLACE))
            return at;
        /* Shrinking needs no memory. */
    }
    resize_here(span, block, bytes);
    return block;
}

static void release(struct mole_use *use, struct mole_block_rest *rest)
{
    if (rest->span)
        free_inside(use, rest->span, rest->block);
    if (rest->run)
        mole_arena_give(&rest->heap->arena, use->slots, rest->run);
}

static struct mole_use begin_resize(const struct mole_span *span, struct mole_heap *heap,
                                    size_t bytes, unsigned how)
{
    bool passes = how & MOLE_BLOCK_UNGATED;
    bool may_move = !stays(span, bytes, how) && !(how & MOLE_BLOCK_IN_PLACE);
    if (span->kind == MOLE_SPAN_FIXED || may_move)
        return mole_thread_begin(heap, passes);
    return mole_thread_begin_with(heap, mole_thread_cache(heap), passes);
}

/* Of a heap whose blocks have guards: they go with the block, or are written anew. */
static mole_slow void *resize_guarded(struct mole_use *use, struct mole_span *span,
                                      void *block, size_t bytes, unsigned how,
                                      struct mole_block_rest *rest)
{
    size_t old = mole_span_bytes(span, block);
    void *before = mole_guarding_begin(use->heap);
    mole_guarding_check(span, block);
    void *at = resize_live(use, span, block, bytes, how, rest);
    if (at)
        mole_guarding_resized(use->heap, at, old, bytes, how & MOLE_BLOCK_ZERO);
    mole_guarding_end(before);
    return at;
}

/* The same of a block that may have been freed while the call waited; and clearing. */
static void *resize_inside(struct mole_use *use, struct mole_span *span, void *block,
                           size_t bytes, unsigned how, struct mole_block_rest *rest)
{
    if (unlikely(mole_block_find(use->heap, block) != span))
        return NULL;
    if (unlikely(use->heap->checks))
        return resize_guarded(use, span, block, bytes, how, rest);
    size_t old = mole_span_bytes(span, block);
    char *at = resize_live(use, span, block, bytes, how, rest);
    if (at && (how & MOLE_BLOCK_ZERO) && bytes > old)
        memset(at + old, 0, bytes - old);
    return at;
}

/* With the rest still to be released, if the caller wants that. */
static void *try_resize(struct mole_span *span, void *block, size_t bytes, unsigned how,
                        struct mole_block_rest *rest, bool is_whole)
{
    struct mole_use use = begin_resize(span, rest->heap, bytes, how);
    void *at = resize_inside(&use, span, block, bytes, how, rest);
    if (is_whole)
        release(&use, rest);
    mole_thread_end(&use);
    return at;
}

static void *resize(struct mole_span *span, void *block, size_t bytes, unsigned how,
                    struct mole_block_rest *rest, bool is_whole)
{
    struct mole_heap *heap = mole_span_heap(span);
    *rest = (struct mole_block_rest){.heap = heap};
    if (unlikely(heap == &mole_heap_nobody))
        return NULL; /* it is freed by now */
    void *at = try_resize(span, block, bytes, how, rest, is_whole);
    if (unlikely(!at) && stop_to_try(heap, bytes, how)) {
        at = try_resize(span, block, bytes, how, rest, is_whole);
        mole_fixed_cache_resume(heap);
    }
    return at;
}

void *mole_block_resize(struct mole_span *span, void *block, size_t bytes, unsigned how)
{
    struct mole_block_rest rest;
    void *at = resize(span, block, bytes, how, &rest, true);
    if (at != block)
        mole_purger_poke();
    return at;
}

void *mole_block_resize_begin(struct mole_span *span, void *block, size_t bytes,
                              unsigned how, struct mole_block_rest *rest)
{
    return resize(span, block, bytes, how, rest, false);
}

void mole_block_resize_end(struct mole_block_rest *rest, unsigned how)
{
    if (!rest->span && !rest->run)
        return;
    struct mole_tcache *cache =
        rest->span ? cache_for(rest->span, rest->heap) : mole_thread_cache(rest->heap);
    struct mole_use use =
        mole_thread_begin_with(rest->heap, cache, how & MOLE_BLOCK_UNGATED);
    release(&use, rest);
    mole_thread_end(&use);
    mole_purger_poke();
}
