/* SPDX-License-Identifier: MIT */
/*
 * spare — heaps at rest (rest.h) that a thread has destroyed and keeps for those it will
 * create: a heap for each request costs little more than its blocks.
 *
 *   HeapDestroy --keep--> a place of the thread's --take--> HeapCreate
 *                                '--release: by age, or when memory is short--> the pool
 *
 * Only the thread fills its places; the thread, a pass over the pool, whoever looks for
 * memory, and a fork's child empty them.
 *
 *  label       release side                acquire side              makes visible
 *  HB-SPARE-1  keep: store of the place    take, release: swap of it the heap at rest
 *
 * Progress: keep and take are wait-free but for who holds all heaps (hold.h) and, for a
 * heap that has grown, the arena's lock.
 */
#pragma once

#include "arena/heap.h"

enum { MOLE_SPARES = 4 }; /* of each kind */

struct mole_spares {
    /*
     * heap_a: heaps at rest, without and with a lock; or NULL.
     *   writers  the thread fills; the thread and who releases empty
     *   readers  the same
     *   orders   fill store release, empty swap acquire: HB-SPARE-1
     *   keeps    a heap is in one place at most
     */
    _Atomic(struct mole_heap *) heap_a[2][MOLE_SPARES];
};

/*
 * Destroy a heap by keeping it. False: it is not one to be kept, and nothing happened.
 * `*frees`: how many blocks were freed in it while it lived.
 */
bool mole_spare_keep(struct mole_heap *heap, uint64_t *frees) mole_must_check;

/* A new heap, which the calling thread kept; NULL: it has none for these flags. */
struct mole_heap *mole_spare_take(uint32_t flags);

/* Give the heaps of one thread back: of the calling one, or one that is gone. */
void mole_spare_drain(struct mole_spares *spares);

/* Of all threads, `all` of them or those that have aged. Returns how many are left. */
size_t mole_spare_release(bool all);
