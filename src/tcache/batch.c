/* SPDX-License-Identifier: MIT */
/*
 * Batches: blocks of other owners' slabs, linked in their tables until they are handed
 * over as one list. A batch keeps its slab mapped, for its blocks count as used there.
 */
#include "tcache/batch.h"

#include "arena/inbox.h"
#include "arena/late.h"
#include "tcache/idle.h"
#include "tcache/order.h"

/*
 * batches_a: lists handed over.
 *   writers  flush
 *   readers  mole_tcache_batches
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) batches_a;

uint64_t mole_tcache_batches(void)
{
    return load_rlx(&batches_a);
}

enum { ORDER_LEAST = 8 }; /* blocks: fewer are no order worth making */

/*
 * A thread that only frees such blocks has them ordered (order.h), for it
 * mostly waits for the one that allocates them. One that does both leaves them.
 */
static mole_slow void flush(const struct mole_tcache *cache, struct mole_batch *batch)
{
    if (!batch->span)
        return;
    uint32_t first = batch->first, last = batch->last, count = mole_batch_count(batch);
    if (count >= ORDER_LEAST && cache->current[batch->span->class] == &mole_tcache_none)
        first = mole_order_list(batch->span, first, count, &last);
    mole_inbox_push(batch->span, first, last, count);
    batch->span = NULL;
    add_rlx(&batches_a, 1);
}

static mole_slow bool flush_full(const struct mole_tcache *cache,
                                 struct mole_batch *batch)
{
    flush(cache, batch);
    return true;
}

void mole_tcache_flush(struct mole_tcache *cache)
{
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        flush(cache, &cache->batch[i]);
    store_rlx(&cache->owner.has_batches_a, false);
}

static uint16_t most_blocks(const struct mole_span *span)
{
    uint32_t fit = (MOLE_BATCH_BYTES - 1) / span->block_bytes + 1;
    return (uint16_t)(fit < MOLE_BATCH_BLOCKS ? fit : MOLE_BATCH_BLOCKS);
}

/*
 * Let the entry of a live block be a free one's, `link`. False: it is none, in heaps that
 * refuse also because another thread frees the block at the same time. malloc's does not
 * refuse, and a compare-and-swap waits for one line after the other: 4 ns a block.
 */
static bool claim(const struct mole_heap *heap, struct mole_span *span, size_t index,
                  uint16_t link)
{
    uint16_t entry = load_rlx(&span->entry_a[index]);
    if (unlikely(!mole_span_entry_is_live(entry)))
        return false;
    if (heap->is_sized)
        return likely(cas_rlx(&span->entry_a[index], &entry, link));
    store_rlx(&span->entry_a[index], link);
    return true;
}

static __attribute__((noinline)) bool free_at_once(struct mole_span *span, size_t index)
{
    if (!claim(mole_span_heap(span), span, index, MOLE_END))
        return false;
    add_rlx(&span->heap->frees_a, 1);
    mole_idle_note_push(span->heap);
    mole_inbox_push(span, (uint32_t)index, (uint32_t)index, 1);
    return true;
}

/* The first block of a batch, after those of another slab. */
static __attribute__((noinline)) bool begin(struct mole_tcache *cache,
                                            struct mole_span *span, size_t index)
{
    struct mole_batch *batch = &cache->batch[span->class];
    if (unlikely(!claim(cache->owner.heap, span, index, MOLE_END)))
        return false;
    cache->frees++;
    flush(cache, batch);
    store_rlx(&cache->owner.has_batches_a, true);
    mole_idle_note_work(cache, span->heap);
    uint16_t most = most_blocks(span);
    *batch = (struct mole_batch){.span = span,
                                 .first = (uint16_t)index,
                                 .last = (uint16_t)index,
                                 .room = (uint16_t)(most - 1),
                                 .most = most};
    if (unlikely(most == 1))
        flush(cache, batch);
    return true;
}

bool mole_tcache_free_remote(struct mole_tcache *cache, struct mole_span *span,
                             size_t index)
{
    if (unlikely(!cache))
        return free_at_once(span, index);
    struct mole_batch *batch = &cache->batch[span->class];
    if (unlikely(batch->span != span))
        return begin(cache, span, index);
    if (unlikely(!claim(cache->owner.heap, span, index, batch->first)))
        return false;
    cache->frees++;
    batch->first = (uint16_t)index;
    if (unlikely(--batch->room == 0))
        return flush_full(cache, batch);
    return true;
}
