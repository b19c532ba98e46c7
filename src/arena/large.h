/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: one span and one run each. Growth moves pages, not bytes.
 *
 * Alloc, free and resize of one block exclude each other by the client's duty; blocks of
 * one heap meet only in the arena.
 */
#pragma once

#include "arena/heap.h"
#include "arena/size_class.h"

/*
 * A large span's `capacity` is its chunks if a cache may keep it once it is free, else
 * ODD: it has more, its block is not at their start, or spies are to hear of the free.
 */
enum { MOLE_LARGE_MOST = 16, MOLE_LARGE_ODD };

/*
 * A block of `bytes`, aligned to `align` (a power of two), zeroed on demand; or NULL.
 */
void *mole_large_alloc(struct mole_heap *heap, struct mole_pool_slots *slots,
                       size_t bytes, size_t align, bool zero) mole_must_check;

/* Free the live block of a large span. */
void mole_large_free(struct mole_heap *heap, struct mole_pool_slots *slots,
                     struct mole_span *span);

/* Spies have heard of all there is to hear of this block. */
void mole_large_unmark(struct mole_span *span);

/* Give a large span and its run back; `is_clean`: all of it reads as zero. */
void mole_large_release(struct mole_heap *heap, struct mole_pool_slots *slots,
                        struct mole_span *span, bool is_clean);

/*
 * Set the size within span->room. New bytes are not cleared; pages no longer used may go.
 */
void mole_large_resize(struct mole_span *span, size_t bytes);

/* Shrinking by this much or more gives the pages behind the block back at once. */
enum { MOLE_LARGE_TRIM = 256 * 1024 };

/*
 * The same for whatever is at `block`. False, and nothing has happened: it is no live
 * large block, does not fit or would give pages back, should not be large any more, or
 * spies are to hear of it.
 */
mole_hot bool mole_large_resize_here(struct mole_span *span, const void *block,
                                     size_t bytes)
{
    if (span->kind != MOLE_SPAN_LARGE || span->base != block || span->mark)
        return false;
    size_t old = load_rlx(&span->bytes_a);
    if (old == MOLE_LARGE_FREE || bytes <= MOLE_SLAB_MAX || bytes > span->room ||
        bytes + MOLE_LARGE_TRIM < old + MOLE_CHUNK)
        return false;
    store_rlx(&span->bytes_a, bytes);
    return true;
}

/*
 * Grow beyond span->room by moving the pages: the block is at span->base then. Returns
 * the run it was in, for the caller to give back to the arena; or NULL: unchanged.
 */
struct mole_run *mole_large_grow(struct mole_heap *heap, struct mole_pool_slots *slots,
                                 struct mole_span *span, size_t bytes) mole_must_check;
