/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: one span and one run each. Growth moves pages, not bytes.
 *
 * Alloc, free and resize of one block exclude each other by the client's duty; blocks of
 * one heap meet only in the arena.
 */
#pragma once

#include "arena/heap.h"

/*
 * A block of `bytes`, aligned to `align` (a power of two), zeroed on demand; or NULL.
 */
void *mole_large_alloc(struct mole_heap *heap, struct mole_pool_slots *slots,
                       size_t bytes, size_t align, bool zero) mole_must_check;

/* Free the live block of a large span. */
void mole_large_free(struct mole_heap *heap, struct mole_pool_slots *slots,
                     struct mole_span *span);

/*
 * Set the size within span->room. New bytes are not cleared; pages no longer used may go.
 */
void mole_large_resize(struct mole_span *span, size_t bytes);

/*
 * Grow beyond span->room by moving the pages: the block is at span->base then. Returns
 * the run it was in, for the caller to give back to the arena; or NULL: unchanged.
 */
struct mole_run *mole_large_grow(struct mole_heap *heap, struct mole_pool_slots *slots,
                                 struct mole_span *span, size_t bytes) mole_must_check;
