/* SPDX-License-Identifier: MIT */
/*
 * Compacting: what lies in caches, batches and inboxes goes back to its slabs, and slabs
 * that turn out to be empty go back to the pool, pages of others without a live block to
 * the system. Live blocks are neither moved nor touched.
 */
#pragma once

#include "tcache/tcache.h"

/*
 * Do that to all caches of the heap. The caller has it for itself: by mole_gate_stop, or
 * it is a HEAP_NO_SERIALIZE heap. `slots` as for mole_pool_take.
 */
void mole_compact_heap(struct mole_heap *heap, struct mole_pool_slots *slots);

/*
 * Caches of malloc's heap that no thread has had since the last time: give back what of
 * theirs is free. Returns from how many. For the purger: others' heaps may end meanwhile.
 */
size_t mole_compact_orphans(void);

/*
 * What the calling thread's cache and those without a thread have free in malloc's heap
 * is given back. Returns how many pages of its slabs with live blocks went. By any
 * thread, once malloc's heap is there.
 */
mole_shared size_t mole_compact_malloc(void);
