/* SPDX-License-Identifier: MIT */
/*
 * The gate: keeps all other threads out of a heap, out of its lock-free fast paths too,
 * at the price of two plain stores in each operation (busy_a).
 *
 *   operation                               closing
 *   busy_a = 1           (plain store)      word |= MOLE_MODE_CLOSED, keys taken away
 *   -- compiler barrier --                  mole_barrier_all
 *   key or word says open? else busy_a = 0  for each cache: wait until busy_a is 0
 *   ... the operation ...
 *   busy_a = 0           (release)
 *
 *  label       release side                acquire side               makes visible
 *  HB-GATE-1   leave: store of busy_a      close: load of busy_a      the operation's
 *                                                                     writes
 *  HB-GATE-2   open: store of key or word  operation: load of either  what the closer did
 *
 * Where the system denies the barrier, heaps get MOLE_MODE_FENCED for good: no fast path
 * applies, and slow paths have a fence between their two steps.
 *
 * Threads without a cache of their own in the heap, and without need of one, are counted
 * in uncached_a instead of being marked busy.
 *
 * Progress: close waits for the gate's owner, then for operations under way, none of
 * which waits for anything but system calls. Who finds the gate shut sleeps on its lock.
 */
#pragma once

#include "base/atom.h"
#include "os/thread.h"

struct mole_heap;
struct mole_owner;

struct mole_gate {
    struct mole_lock lock; /* its owner's, as long as the gate is shut */

    /*
     * owner_a: mole_thread_serial of who has shut the gate; 0: open.
     *   writers  who holds the lock; a fork's child
     *   readers  any: only the owner can find its own number
     *   orders   relaxed: the lock orders
     *   keeps    0 unless the lock is held
     */
    _Atomic(uint64_t) owner_a;
    size_t depth; /* owner only: closings without opening */

    /*
     * uncached_a: operations under way in no cache.
     *   writers  those operations
     *   readers  close
     *   orders   add sequentially consistent, subtract release: HB-GATE-1
     *   keeps    while the gate is shut: its owner's own, calls that pass, and for a
     *            moment
 *            threads that have yet to find it shut
     */
    _Atomic(uint32_t) uncached_a;
};

/*
 * Shut the gate for all other threads and wait until none is inside. Once more for each
 * further call by the owner. False: the heap ended while this thread waited.
 */
bool mole_gate_close(struct mole_heap *heap) mole_must_check;

/* Take one closing back. False: the calling thread is not the gate's owner. */
bool mole_gate_open(struct mole_heap *heap) mole_must_check;

/*
 * Shut the gate and keep also those out who may pass it (`passes`, below), for a moment:
 * the heap's caches are the caller's then, whosever they were. Nothing foreign runs until
 * mole_gate_resume, which opens too. False: as for mole_gate_close.
 */
bool mole_gate_stop(struct mole_heap *heap) mole_must_check;
void mole_gate_resume(struct mole_heap *heap);

/* The same, unless another thread has shut the gate: then false at once. */
bool mole_gate_try_stop(struct mole_heap *heap) mole_must_check;

/*
 * Shut the gate likewise, but wait for nobody: operations under way go on. False: another
 * thread has shut it, the heap ended, or the barrier is denied and heaps are not fenced
 * yet. Ended by mole_gate_resume, and soon.
 */
bool mole_gate_try_pause(struct mole_heap *heap) mole_must_check;

/*
 * Whether the cache is the pauser's until then: its owner is in no operation, and begins
 * none. Not of orphans: those are adopted.
 */
bool mole_gate_has_quiet(struct mole_owner *owner) mole_must_check;

/*
 * Whether the calling thread must not go on with the operation it has just begun;
 * `passes`: not even though the gate is only shut. One load while no mode is set.
 */
bool mole_gate_is_shut(struct mole_heap *heap, bool passes);

/* Wait until the gate is open for such an operation. The thread is in none. */
void mole_gate_pass(struct mole_heap *heap, bool passes);

/* Whether the calling thread is the owner of any heap's gate. */
bool mole_gate_is_any_mine(void);

/* The heap ends with its gate shut, maybe by the calling thread. */
void mole_gate_forget(struct mole_heap *heap);

/* The record of a heap is new, or used again. */
void mole_gate_reset(struct mole_heap *heap);

/* In a fork's child: what vanished threads had shut is open. */
void mole_gate_repair(struct mole_heap *heap);
