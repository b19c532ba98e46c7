/* SPDX-License-Identifier: MIT */
#include "tcache/block.h"

#include <string.h>

#include "arena/large.h"
#include "arena/region.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "tcache/process.h"
#include "tcache/purger.h"
#include "tcache/steal.h"

/* The entry of a live block of `bytes`: malloc's may use all of their class. */
static uint32_t mark_of(const struct mole_heap *heap, size_t bytes)
{
    return heap->is_sized ? mole_span_mark(bytes) : MOLE_WHOLE;
}

static void *alloc_in_slab(struct mole_use *use, unsigned class, size_t bytes)
{
    struct mole_span *span = use->cache->current[class];
    uint32_t mark = mark_of(use->cache->owner.heap, bytes);
    void *block;
    if (mole_tcache_pop(span, mark, &block))
        return block;
    return mole_tcache_alloc_slow(use->cache, use->slots, class, mark);
}

/* What a large span records: malloc's callers may use all of the last page. */
static size_t large_bytes(const struct mole_heap *heap, size_t bytes)
{
    return heap->is_sized || bytes > PTRDIFF_MAX ? bytes
                                                 : mole_round_up(bytes, MOLE_PAGE);
}

/*
 * Of a slab for classes below MOLE_CLASS_COUNT, else large. Slabs' blocks are not
 * cleared.
 */
static void *alloc_inside(struct mole_use *use, unsigned class, size_t bytes,
                          size_t align, bool zero)
{
    if (class < MOLE_CLASS_COUNT)
        return alloc_in_slab(use, class, bytes);
    struct mole_heap *heap = use->cache->owner.heap;
    return mole_large_alloc(heap, use->slots, large_bytes(heap, bytes), align, zero);
}

/* Memory is short: look through caches without a thread, then try once more. */
static mole_slow void *alloc_again(struct mole_use *use, unsigned class, size_t bytes,
                                   size_t align, bool zero)
{
    struct mole_heap *heap = use->cache->owner.heap;
    if (!heap->arena.is_locked || bytes > mole_region_reserved())
        return NULL;
    void *block = mole_tcache_alloc_from_orphans(
        heap, use->slots, mole_thread_self_in(heap), class, mark_of(heap, bytes));
    if (block)
        return block;
    (void)mole_steal(heap, use->slots);
    return alloc_inside(use, class, bytes, align, zero);
}

void *mole_block_alloc(struct mole_heap *heap, size_t bytes, size_t align, bool zero)
{
    unsigned class = MOLE_CLASS_COUNT;
    if (bytes <= MOLE_SLAB_MAX && align <= MOLE_PAGE)
        class = mole_size_class_aligned(bytes, align);
    struct mole_use use = mole_thread_begin(heap);
    if (!use.cache)
        return NULL;
    void *block = alloc_inside(&use, class, bytes, align, zero);
    if (unlikely(!block))
        block = alloc_again(&use, class, bytes, align, zero);
    mole_thread_end(&use);
    if (block && zero && class < MOLE_CLASS_COUNT)
        memset(block, 0, bytes);
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

bool mole_block_is_ours(const void *address)
{
    return mole_process_start() && mole_region_holds(address);
}

/*
 * foreign_a: addresses given to malloc's functions that are not ours.
 *   writers  mole_block_count_foreign
 *   readers  mole_block_foreign
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) foreign_a;

void mole_block_count_foreign(void)
{
    add_rlx(&foreign_a, 1);
}

uint64_t mole_block_foreign(void)
{
    return load_rlx(&foreign_a);
}

void mole_block_blame(const char *call, const void *address)
{
    struct mole_span *span = mole_span_map_find(address);
    size_t index;
    if (span == &mole_span_nobody || span->kind == MOLE_SPAN_NONE)
        mole_die("invalid %s of %p: no block is there, or not any more", call, address);
    if (span->heap != mole_process_malloc_heap())
        mole_die("invalid %s of %p: it belongs to a heap, use HeapFree", call, address);
    unsigned long room = mole_block_room(span);
    if (span->kind == MOLE_SPAN_LARGE || !mole_span_index(span, address, &index))
        mole_die("invalid %s of %p: inside a block of %lu bytes", call, address, room);
    if (strcmp(call, "free") == 0)
        mole_die("double free of %p, a block of %lu bytes", address, room);
    mole_die("invalid %s of %p: a freed block of %lu bytes", call, address, room);
}

size_t mole_block_room(const struct mole_span *span)
{
    if (span->kind == MOLE_SPAN_LARGE)
        return mole_round_up(load_rlx(&span->bytes_a), MOLE_PAGE);
    return span->block_bytes;
}

static void free_in_slab(struct mole_span *span, void *block)
{
    size_t index;
    check(mole_span_index(span, block, &index));
    struct mole_tcache *owner = (struct mole_tcache *)(void *)span->owner;
    if (mole_thread_owns(span->owner)) {
        mole_tcache_enter(owner);
        if (!mole_tcache_push(span, index))
            mole_tcache_counted_down(owner, mole_thread_slots(), span);
        mole_tcache_leave(owner);
        return;
    }
    struct mole_tcache *own = mole_thread_cache(span->heap);
    if (own)
        mole_tcache_enter(own);
    mole_tcache_free_remote(own, span, index);
    if (own)
        mole_tcache_leave(own);
}

void mole_block_free(struct mole_span *span, void *block)
{
    if (span->kind == MOLE_SPAN_LARGE)
        mole_large_free(span->heap, mole_thread_slots(), span);
    else
        free_in_slab(span, block);
}

/*
 * Whether the block should stay where it is: it fits, and would not waste half of its
 * room.
 */
static bool stays(const struct mole_span *span, size_t bytes, unsigned how)
{
    bool is_large = span->kind == MOLE_SPAN_LARGE;
    size_t room = is_large ? span->room : span->block_bytes;
    if (bytes > room)
        return false;
    if (how & MOLE_RESIZE_IN_PLACE)
        return true;
    return is_large ? bytes > MOLE_SLAB_MAX : bytes >= room / 2 || room <= 128;
}

static void resize_here(struct mole_span *span, const void *block, size_t bytes)
{
    if (span->kind == MOLE_SPAN_LARGE) {
        mole_large_resize(span, large_bytes(span->heap, bytes));
        return;
    }
    size_t index;
    check(mole_span_index(span, block, &index));
    uint32_t mark = mark_of(span->heap, bytes);
    store_rlx(&span->entry_a[index], (uint16_t)mark);
}

/* To a new address: by moving pages if large, else by copying. */
static void *move(struct mole_span *span, void *block, size_t bytes)
{
    size_t old = mole_span_bytes(span, block);
    if (span->kind == MOLE_SPAN_LARGE && bytes > span->room)
        return mole_large_grow(span->heap, mole_thread_slots(), span,
                               large_bytes(span->heap, bytes));
    void *to = mole_block_alloc(span->heap, bytes, MOLE_ALIGN, false);
    if (!to)
        return NULL;
    memcpy(to, block, old < bytes ? old : bytes);
    mole_block_free(span, block);
    return to;
}

void *mole_block_resize(struct mole_span *span, void *block, size_t bytes, unsigned how)
{
    size_t old = mole_span_bytes(span, block);
    void *at = block;
    if (stays(span, bytes, how)) {
        resize_here(span, block, bytes);
    } else if (how & MOLE_RESIZE_IN_PLACE) {
        return NULL;
    } else {
        at = move(span, block, bytes);
        if (!at) {
            if (bytes > old)
                return NULL;
            resize_here(span, block, bytes); /* shrinking needs no memory */
            at = block;
        }
    }
    if ((how & MOLE_RESIZE_ZERO) && bytes > old)
        memset((char *)at + old, 0, bytes - old);
    return at;
}
