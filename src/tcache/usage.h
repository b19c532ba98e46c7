/* SPDX-License-Identifier: MIT */
/*
 * How much a heap's size classes are used: HeapQueryInformation wants to know whether one
 * of them has seen some number of allocations. No fast path counts for that. A block that
 * was allocated is live now, or was freed since; frees are counted by the slabs'
 * countdowns, in inboxes and in batches, and noted (mole_usage_note) where these counts
 * are dropped: in the cache's record by its owner, in the heap's where a slab is stolen
 * (steal.h). Blocks of mixed slabs (mixed.h) are noted when they are allocated.
 */
#pragma once

#include "tcache/tcache.h"

/* Windows keeps count for blocks up to here. */
enum { MOLE_USAGE_MOST_BYTES = 16 * 1024 };

/* So many blocks of the cache's slab were freed. Owner only, or the owner is quiet. */
void mole_usage_note(struct mole_tcache *cache, const struct mole_span *span,
                     uint32_t frees);

/* All blocks of a slab that is being stolen were freed. Under the arena's lock. */
void mole_usage_note_theft(struct mole_heap *heap, const struct mole_span *span);

/*
 * Whether blocks of one class were allocated `count` times, at most 255, since the heap
 * was made. Nobody else is in the heap (mole_gate_stop).
 */
bool mole_usage_reaches(struct mole_heap *heap, uint32_t count);
