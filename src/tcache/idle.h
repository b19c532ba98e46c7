/* SPDX-License-Identifier: MIT */
/*
 * idle — what is free in the caches of threads that have stopped allocating goes back.
 *
 *   worked with --a look--> due --the next look, a pause--> drained
 *        ^------------------ a slow path of its owner's --------'
 *
 * A cache is its owner's, who may come back at any moment. So the heap is paused: its
 * gate is shut, but nobody inside is waited for (mole_gate_try_pause). A cache whose
 * owner is then in no operation is the drainer's until the gate opens; a cache without a
 * thread is adopted instead, as by anybody. An operation that is under way goes on, in
 * its own cache; what it may touch of others is what it may touch at any time: inboxes,
 * batches' slabs, woken lists, and orphans, which it leaves alone in a stopped heap
 * (mole_tcache_alloc_from_orphans). A thread that ends flushes and lets go of its cache
 * under the arena's lock, whatever the gate says: so each pause has that lock, by a try
 * before it, and keeps it for longer.
 *
 * Handing over: HB-GATE-1 from the owner to the drainer, HB-GATE-2 back; of orphans
 * HB-OWNER-1. The heap is held meanwhile (hold.h), so HeapDestroy waits. In a fork's
 * child all caches of a heap that was paused are rebuilt, the forking thread's included.
 *
 * Progress: in a pause nothing is waited for but mode_lock, which is free unless a spy
 * comes or goes, and of the system only the barrier is asked: runs and records go to the
 * pool after it. Its work is bounded, and pauses together are a small part of the time,
 * even if the drainer loses its processor in one.
 * Checked by: models/gate.pml, tests/race/idle.c (TSan).
 */
#pragma once

#include "tcache/tcache.h"

/* An operation pushed a block into an inbox without having a cache. */
mole_hot void mole_idle_note_push(struct mole_heap *heap)
{
    if (unlikely(!load_rlx(&heap->idleness.is_worked_a)))
        store_rlx(&heap->idleness.is_worked_a, true);
}

/* A slow path works with the cache, which is the heap's. Owner only. */
mole_hot void mole_idle_note_work(struct mole_tcache *cache, struct mole_heap *heap)
{
    if (likely(load_rlx(&cache->owner.is_worked_a)))
        return;
    store_rlx(&cache->owner.is_worked_a, true);
    mole_idle_note_push(heap);
}

/* The cache keeps so many pages more, or has room for them. Owner only. */
mole_hot void mole_idle_count(struct mole_tcache *cache, int32_t pages)
{
    uint32_t kept = load_rlx(&cache->owner.kept_a);
    store_rlx(&cache->owner.kept_a, kept + (uint32_t)pages);
}

/* It is new, or made anew: it keeps nothing. */
void mole_idle_forget(struct mole_tcache *cache);

/*
 * Look at all caches that were worked with: drain those that were not since the last
 * look, if there is enough to be gained. After half a second no pause begins but the one
 * that the process has slept for; heaps whose turn did not come are the first ones of the
 * next look. One thread at a time. Returns how much the next look is awaited; 0: not.
 */
size_t mole_idle_look(void);

/* Caches drained since the start, and the longest time that a heap was paused for it. */
uint64_t mole_idle_drains(void);
uint64_t mole_idle_longest_ns(void);
