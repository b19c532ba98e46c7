/* SPDX-License-Identifier: MIT */
/*
 * Compacting: what lies in caches, batches and inboxes goes back to its slabs, and slabs
 * that turn out to be empty go back to the pool, pages of others without a live block to
 * the system. Live blocks are neither moved nor touched.
 */
#pragma once

#include "tcache/thread.h"

/*
 * Do that to all caches of the heap. The caller has it for itself: by mole_gate_stop, or
 * it is a HEAP_NO_SERIALIZE heap. `slots` as for mole_pool_take.
 */
void mole_compact_heap(struct mole_heap *heap, struct mole_pool_slots *slots);

/*
 * What one cache has free: its batches, what came back to it, its slabs that are empty.
 * By whoever has it, inside an operation.
 */
void mole_compact_cache(struct mole_tcache *cache, struct mole_pool_slots *slots);

/*
 * Memory is short for a block of `bytes`: give to the pool what the heap has free in the
 * caller's cache, in those without a thread, in full slabs and large spans of others.
 * False: so many bytes there never are. Inside the operation. Checked instruction by
 * instruction by tests/race/need_step.c, and beside a fork by fork_step.c.
 */
bool mole_compact_in_need(struct mole_use *use, size_t bytes) mole_must_check;

/*
 * Caches of malloc's heap that no thread has had since the last time, or that others gave
 * blocks back to: give back what of theirs is free. Returns from how many. For the
 * purger: others' heaps may end meanwhile.
 */
size_t mole_compact_orphans(void);

/*
 * What the calling thread's cache and those without a thread have free in malloc's heap
 * is given back. Returns how many pages of its slabs with live blocks went. By any
 * thread, once malloc's heap is there.
 */
mole_shared size_t mole_compact_malloc(void);
