/* SPDX-License-Identifier: MIT */
/*
 * The head of a slab's free list: the index of its first block and, in malloc's heap,
 * also that block's address, in span->head. Heaps that keep sizes do without the address:
 * their fast paths have no instruction to spare, and what span->head says there nobody
 * asks.
 */
#pragma once

#include "arena/heap.h"
#include "arena/span.h"

/* The list starts at `index` from now on, or it is MOLE_END. Owner only. */
mole_hot void mole_head_set(struct mole_span *span, uint32_t index)
{
    span->free = index;
    span->head = span->base + index * span->block_bytes; /* slabs are small */
}

/* Whether index and address agree, where they must. The owner is quiet. */
static inline bool mole_head_is_right(const struct mole_span *span)
{
    return span->heap->is_sized || span->free == MOLE_END ||
           span->head == span->base + span->free * span->block_bytes;
}
