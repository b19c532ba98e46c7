/* SPDX-License-Identifier: MIT */
/*
 * How much a heap's size classes are used: HeapQueryInformation wants to know whether one
 * of them has seen some number of allocations. No fast path counts for that. A block that
 * was allocated is live now, or was freed since; frees are counted by the slabs'
 * countdowns, in inboxes and in batches, and noted (mole_usage_note) where these counts
 * are dropped.
 *
 * Exact, but for slabs of blocks above 8 KiB which other threads' frees emptied and a
 * third took (steal.h): their blocks are missing.
 */
#pragma once

#include "tcache/tcache.h"

/* Windows keeps count for blocks up to here. */
enum { MOLE_USAGE_MOST_BYTES = 16 * 1024 };

/* So many blocks of the cache's class were freed. Owner only, or the owner is quiet. */
void mole_usage_note(struct mole_tcache *cache, unsigned class, uint32_t frees);

/*
 * Whether blocks of one class were allocated `count` times, at most 255, since the heap
 * was made. Nobody else is in the heap (mole_gate_stop).
 */
bool mole_usage_reaches(struct mole_heap *heap, uint32_t count);
