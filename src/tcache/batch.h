/* SPDX-License-Identifier: MIT */
/*
 * The short way of a block of malloc's heap into a batch (batch.c).
 *
 * A batch keeps its slab mapped, so whoever finds the block's slab in one knows that it
 * is a slab of this heap, and that its table ends where the table says.
 */
#pragma once

#include "tcache/tcache.h"

/*
 * Free the block into the caller's batch of its slab; false, with nothing done, where
 * there is none, the batch would be full, or no live block starts there. Owner of the
 * cache only, inside an operation.
 */
mole_hot bool mole_batch_add(struct mole_tcache *cache, struct mole_span *span,
                             const void *block)
{
    struct mole_batch *batch = &cache->batch[span->class];
    uint32_t count = batch->count + 1u;
    size_t index;
    if (unlikely(batch->span != span || count >= batch->most ||
                 !mole_span_index(span, block, &index) ||
                 !mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index]))))
        return false;
    store_rlx_folded(&span->entry_a[index], batch->first);
    batch->first = (uint16_t)index;
    batch->count = (uint16_t)count;
    cache->frees++;
    return true;
}
