/* SPDX-License-Identifier: MIT */
/*
 * Batches: blocks of other owners' slabs, linked in their tables until they are handed
 * over as one list. A batch keeps its slab mapped, for its blocks count as used there.
 */
#include "arena/inbox.h"
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

/*
 * A thread that only frees such blocks puts them in the order of the table (order.h), for
 * it mostly waits for the one that allocates them. One that does both leaves them.
 */
static mole_slow void flush(const struct mole_tcache *cache, struct mole_batch *batch)
{
    if (!batch->span)
        return;
    uint32_t first = batch->first, last = batch->last;
    if (cache->current[batch->span->class] == &mole_tcache_none)
        first = mole_order_list(batch->span, first, batch->count, &last);
    mole_inbox_push(batch->span, first, last, batch->count);
    batch->span = NULL;
    add_rlx(&batches_a, 1);
}

void mole_tcache_flush(struct mole_tcache *cache)
{
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        flush(cache, &cache->batch[i]);
    store_rlx(&cache->owner.has_batches_a, false);
}

static bool is_full(const struct mole_batch *batch)
{
    return batch->count >= MOLE_BATCH_BLOCKS ||
           batch->count * batch->span->block_bytes >= MOLE_BATCH_BYTES;
}

void mole_tcache_free_remote(struct mole_tcache *cache, struct mole_span *span,
                             size_t index)
{
    if (!cache) {
        add_rlx(&span->heap->frees_a, 1);
        mole_idle_note_push(span->heap);
        store_rlx(&span->entry_a[index], MOLE_END);
        mole_inbox_push(span, (uint32_t)index, (uint32_t)index, 1);
        return;
    }
    cache->frees++;
    struct mole_batch *batch = &cache->batch[span->class];
    if (batch->span != span) {
        flush(cache, batch);
        store_rlx(&cache->owner.has_batches_a, true);
        mole_idle_note_work(cache, span->heap);
        *batch =
            (struct mole_batch){.span = span, .first = MOLE_END, .last = (uint16_t)index};
    }
    store_rlx(&span->entry_a[index], batch->first);
    batch->first = (uint16_t)index;
    batch->count++;
    if (is_full(batch))
        flush(cache, batch);
}
