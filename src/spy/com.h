/* SPDX-License-Identifier: MIT */
/*
 * The COM spy: at most one IMallocSpy, registered and revoked while threads allocate, and
 * what an operation of the task allocator is bracketed by, from before its Pre call until
 * after its Post call.
 *
 *   spy_a   0               no spy: nobody gets further than this load
 *           spy             operations take the lock; a spy that is not free-threaded
 *                           they call under it, from Pre to Post
 *           spy | IS_FREE   free-threaded: called in a section of grace, no lock
 *
 *   register: 0 -> spy, or spy | IS_FREE
 *   revoke:   spy | IS_FREE -> spy, grace period; then, like any spy: it is pending
 *   finish:   of a pending spy. No record owed: spy -> 0, it is closing. No operation
 *             under way either: whoever made that so releases it. A closing spy whose
 *             last operations leave a block: 0 -> spy, it is pending as before.
 *
 *  label      release side              acquire side            makes visible
 *  HB-COM-1   register: store of spy_a  begin: load of spy_a    what its maker wrote
 *  HB-COM-2   freed: recheck_a, fence,  unlock: release, fence, one of the two sees what
 *             try the lock              load of recheck_a       the other did
 *  HB-COM-3   register: store of        HeapFree: load of it    that the ledger is set up
 *             is_wanted_a
 *
 * A free-threaded spy that is pending is called without the lock still, but operations
 * begin and end under it, so that they are counted. A thread that must not wait for the
 * grace period, for it is in a section or owns a heap's gate, leaves that to the next end
 * of an operation, HeapUnlock or revoke.
 *
 * Order of locks: this one, a heap's gate, everything else. HeapLock of the process heap
 * takes it first, for under it a spy's operation waits at that gate. HeapFree never waits
 * for it.
 *
 * Fork: the child makes the lock anew, unless the forking thread owns it. Operations of
 * vanished threads are over.
 * Checked by: tests/race/com.c (TSan, too).
 */
#pragma once

#include <molehill/objidl.h>

#include "base/atom.h"
#include "base/attr.h"
#include "os/grace.h"

struct mole_record;

/* What this layer has the layers above do. */
struct mole_com_world {
    /* The answer of mole_com_wants may be another. Called under the lock. */
    void (*watch)(void);

    /* Whether the calling thread may wait for other threads' sections. */
    bool (*may_wait)(void);
};

/* One operation that a spy is called for. On the stack of its thread. */
struct mole_com_use {
    IMallocSpy *spy;
    uintptr_t word; /* what spy_a was */
    struct mole_grace section;
    uint64_t serial;           /* the thread's */
    struct mole_com_use *next; /* under the lock: of all that are counted */
};

extern mole_own _Atomic(uintptr_t) mole_com_spy_a;

/* Whether a spy is registered. */
mole_hot bool mole_com_is_spied(void)
{
    return load_rlx(&mole_com_spy_a) != 0;
}

/* CoRegisterMallocSpy and CoRevokeMallocSpy. The first `world` stays. */
HRESULT mole_com_register(const struct mole_com_world *world, IMallocSpy *spy);
HRESULT mole_com_revoke(void);

/*
 * Begin an operation; false: no spy is there. To be ended by the same thread. No record
 * is in the thread's hand outside.
 */
bool mole_com_begin(struct mole_com_use *use) mole_must_check;
void mole_com_end(struct mole_com_use *use);

/* The lock, for HeapLock and HeapUnlock of the process heap. Recursive. */
void mole_com_lock(void);
void mole_com_unlock(void);
bool mole_com_lock_is_mine(void);

/* The calling thread may wait again, maybe: see whether a revoke waits for that. */
void mole_com_settle(void);

/* Whether the process heap is to be watched. */
bool mole_com_wants(void);

/* HeapFree is about to free this block of the process heap. */
void mole_com_freed(const void *block);

/* HeapReAlloc is about to resize it: its record, or NULL. */
struct mole_record *mole_com_resizing(const void *block);

/*
 * It has: to this block; or not at all if NULL, and then the block is where it was or
 * not any more.
 */
void mole_com_resized(struct mole_record *record, const void *block, bool is_gone);

/*
 * In a fork's child: the lock, the first that is taken; then the spy, if ever there was.
 */
void mole_com_repair_lock(void);
void mole_com_repair(void);
