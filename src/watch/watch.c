/* SPDX-License-Identifier: MIT */
#include "watch/watch.h"

#include "arena/late.h"
#include "arena/mode.h"
#include "arena/span_map.h"
#include "tcache/process.h"
#include "watch/fast.h"

struct mole_spied mole_watch_spied(struct mole_heap *heap)
{
    if (heap == mole_process_malloc_heap())
        return (struct mole_spied){.scope = MOLE_SPY_ON_MALLOC, .name = MH_SPY_MALLOC};
    return (struct mole_spied){.scope = mole_heap_id(heap),
                               .name = load_rlx(&heap->handle_a)};
}

/* The mark of a live block, and the bytes that spies are told of. */
static struct mole_spy_block seen(const struct mole_span *span, void *block)
{
    if (span->kind == MOLE_SPAN_LARGE && span->mark)
        return (struct mole_spy_block){block, span->marked_bytes, span->mark};
    size_t bytes = mole_span_heap(span)->is_sized ? mole_span_bytes(span, block)
                                                  : mole_block_room(span, block);
    return (struct mole_spy_block){block, bytes, MOLE_SPY_NO_MARK};
}

/* Count down by `bytes`; whether the block they belong to is picked. */
static bool counts_out(struct mole_draw *draw, size_t bytes)
{
    size_t mean = load_rlx(&mole_set_sample_a);
    if (unlikely(!mean))
        return false; /* the samplers have just left */
    if (unlikely(draw->mean != mean))
        mole_draw_begin(draw, mean);
    if (likely((uint64_t)draw->left >= bytes)) {
        draw->left -= (int64_t)bytes;
        return false;
    }
    mole_draw_begin(draw, mean);
    return true;
}

/* For a thread without a cache: each operation by itself. */
static bool is_picked_alone(struct mole_draw *draw, size_t bytes)
{
    /*
     * last_a: the state of the draw before this one.
     *   writers  each such operation
     *   readers  the same
     *   orders   relaxed: a number nobody else has is all that is wanted
     *   keeps    nothing
     */
    static _Atomic(uint64_t) last_a;
    size_t mean = load_rlx(&mole_set_sample_a);
    draw->random = add_rlx(&last_a, 0x9e3779b97f4a7c15u * 64) + 1; /* draws step by it */
    return mean && mole_draw_is_lucky(draw, mole_draw_share(bytes, mean));
}

/* The mark that a block which grows by `bytes` has from now on. */
static uint64_t pick(struct mole_heap *heap, size_t bytes, uint64_t mark)
{
    if (heap->fixed || !(mole_mode_of(heap) & MOLE_MODE_SAMPLED))
        return mark; /* a mark needs pages of its own */
    struct mole_tcache *cache = mole_thread_cache_at_hand(heap);
    struct mole_draw alone;
    struct mole_draw *draw = cache ? &cache->draw : &alone;
    if (cache ? !counts_out(draw, bytes) : !is_picked_alone(draw, bytes))
        return mark;
    return mole_spy_pick(mole_watch_spied(heap), bytes, mark, draw);
}

/* Note a mark in the block's descriptor; it has pages of its own. */
static void mark_block(const void *block, size_t bytes, uint64_t mark)
{
    struct mole_span *span = mole_span_map_find(block);
    span->mark = mark;
    span->capacity = MOLE_LARGE_ODD;
    span->marked_bytes = bytes;
}

/* Whether the spies let the operation go on. */
static bool may(struct mole_heap *heap, size_t bytes)
{
    return !(mole_mode_of(heap) & MOLE_MODE_ASKED) ||
           mole_spy_may_allocate(mole_watch_spied(heap), bytes);
}

static mole_slow void *alloc_watched(struct mole_heap *heap, size_t bytes, size_t align,
                                     unsigned how)
{
    struct mole_spied spied = mole_watch_spied(heap);
    if (!may(heap, bytes))
        return NULL;
    uint64_t mark = pick(heap, bytes, MOLE_SPY_NO_MARK);
    unsigned apart = mark ? MOLE_BLOCK_APART : 0;
    void *block = mole_block_alloc(heap, bytes, align, how | apart);
    if (!block)
        return NULL;
    if (mark)
        mark_block(block, bytes, mark);
    struct mole_spy_block now = seen(mole_span_map_find(block), block);
    mole_spy_allocated(spied, block, now.bytes, now.mark);
    return block;
}

static bool is_watched(const struct mole_heap *heap)
{
    return MOLE_HAS_SPIES && mole_mode_of(heap) & MOLE_MODE_WATCHED;
}

void *mole_watch_alloc(struct mole_heap *heap, size_t bytes, size_t align, unsigned how)
{
    if (unlikely(is_watched(heap)))
        return alloc_watched(heap, bytes, align, how);
    return mole_block_alloc(heap, bytes, align, how);
}

static bool is_marked(const struct mole_span *span)
{
    return MOLE_HAS_SPIES && span->kind == MOLE_SPAN_LARGE && span->mark;
}

bool mole_watch_free(struct mole_span *span, void *block, unsigned how)
{
    struct mole_heap *heap = mole_span_heap(span);
    bool is_spied = mole_mode_of(heap) & MOLE_MODE_SPIED;
    if (MOLE_HAS_SPIES && unlikely(is_spied || is_marked(span))) {
        /* What spies are told should come true: wait at the gate, and look, before. */
        mole_gate_pass(heap, how & MOLE_BLOCK_UNGATED);
        if (mole_block_find(heap, block) != span)
            return false;
        struct mole_spy_block gone = seen(span, block);
        mole_spy_freed(mole_watch_spied(heap), block, gone.bytes, gone.mark);
    }
    return mole_block_free(span, block, how);
}

/* The block's new address, with what is left behind; NULL: nothing happened. */
static void *resize_marked(struct mole_span *span, const struct mole_spy_block *old,
                           struct mole_spy_block *now, unsigned how,
                           struct mole_block_rest *rest)
{
    unsigned apart = now->mark && !(how & MOLE_BLOCK_IN_PLACE) ? MOLE_BLOCK_APART : 0;
    size_t bytes = now->bytes;
    void *block = mole_block_resize_begin(span, old->block, bytes, how | apart, rest);
    if (!block && apart && !old->mark) /* no pages for the sample: do without */
        block = mole_block_resize_begin(span, old->block, bytes, how, rest);
    if (!block)
        return NULL;
    struct mole_span *after = mole_span_map_find(block);
    if (after->kind == MOLE_SPAN_LARGE && (now->mark || after->mark))
        mark_block(block, bytes, now->mark);
    *now = seen(after, block);
    return block;
}

static mole_slow void *resize_watched(struct mole_span *span, void *block, size_t bytes,
                                      unsigned how)
{
    struct mole_heap *heap = mole_span_heap(span);
    struct mole_spied spied = mole_watch_spied(heap);
    if (!may(heap, bytes))
        return NULL;
    struct mole_spy_block old = seen(span, block);
    size_t growth = bytes > old.bytes ? bytes - old.bytes : 0;
    struct mole_spy_block now = {block, bytes, pick(heap, growth, old.mark)};
    struct mole_block_rest rest;
    void *at = resize_marked(span, &old, &now, how, &rest);
    if (!at)
        return NULL;
    mole_spy_reallocated(spied, &old, &now);
    mole_block_resize_end(&rest, how);
    return at;
}

void *mole_watch_resize(struct mole_span *span, void *block, size_t bytes, unsigned how)
{
    if (unlikely(is_watched(mole_span_heap(span)) || is_marked(span)))
        return resize_watched(span, block, bytes, how);
    return mole_block_resize(span, block, bytes, how);
}

void mole_watch_created(struct mole_heap *heap)
{
    if (unlikely(!mole_set_is_empty()))
        mole_spy_heap_created(mole_watch_spied(heap));
}

void mole_watch_destroyed(struct mole_heap *heap)
{
    if (unlikely(!mole_set_is_empty()))
        mole_spy_heap_destroyed(mole_watch_spied(heap));
}
