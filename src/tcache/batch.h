/* SPDX-License-Identifier: MIT */
/*
 * The short way of a block of malloc's heap into a batch (batch.c).
 *
 * A batch keeps its slab mapped, so whoever finds the block's slab in one knows that it
 * is a slab of this heap, and that its table ends where the table says.
 */
#pragma once

#include "tcache/tcache.h"

/* Its blocks. */
static inline uint32_t mole_batch_count(const struct mole_batch *batch)
{
    return (uint32_t)batch->most - batch->room;
}

/*
 * Free the block into the caller's batch of its slab; false, with nothing done, where
 * there is none, the batch would be full, or no live block starts there. Owner of the
 * cache only, inside an operation.
 */
mole_hot bool mole_batch_add(struct mole_tcache *cache, struct mole_span *span,
                             const void *block)
{
    struct mole_batch *batch = &cache->batch[span->class];
    size_t index;
    if (unlikely(batch->span != span || batch->room <= 1 ||
                 !mole_span_index(span, block, &index) ||
                 !mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index]))))
        return false;
    store_rlx_folded(&span->entry_a[index], batch->first);
    batch->first = (uint16_t)index;
    batch->room--;
    cache->frees++;
    return true;
}
