/* SPDX-License-Identifier: MIT */
/*
 * Owners of slabs: who allocates from them, and what everybody else may know of that.
 */
#pragma once

#include "arena/meta.h"
#include "base/atom.h"
#include "base/attr.h"

struct mole_heap;
struct mole_span;

/*
 * Who allocates from a slab: the head of a thread cache (tcache.h). The arena layer knows
 * no more of it than this.
 */
struct mole_owner {
    struct mole_meta meta;

    /*
     * thread_a: the thread pointer of the owning thread, in malloc's heap plus
     * MOLE_OF_MALLOC;
     * MOLE_ORPHAN: up for adoption; MOLE_SHARED: of a HEAP_NO_SERIALIZE heap, whoever's
     * turn it is.
     *   writers  adopt: CAS from MOLE_ORPHAN; the owner when it lets go
     *   readers  every free of a block of this owner's
     *   orders   let go: store release; adopt: CAS acquire: HB-OWNER-1
     *   keeps    only the thread named here touches the owner-only fields
     */
    _Atomic(uintptr_t) thread_a;

    /*
     * is_lean_a: nobody has worked with the cache since what it had free was given back.
     *   writers  adopt clears it; who gave that back sets it, as the cache's owner
     *   readers  who looks for caches to do that with
     *   orders   relaxed: a hint, HB-OWNER-1 keeps the cache
     *   keeps    true only of an orphan, or while its owner is about to let it go
     */
    _Atomic(bool) is_lean_a;

    /*
     * is_worked_a: a slow path worked with the cache since it was last looked at.
     *   writers  slow paths set it, who looks for idle caches clears it (tcache/idle.c)
     *   readers  the same
     *   orders   relaxed: what is drained early or late is no error
     *   keeps    nothing
     */
    _Atomic(bool) is_worked_a;
    uint8_t due; /* who looks only: to be drained: 0 not, 1 at the next look, 2 now */

    uint64_t id;             /* the heap's word with no mode set; const while it lives */
    struct mole_heap *heap;  /* const while the heap lives */
    struct mole_owner *next; /* the heap's list, const after the push */

    /*
     * alloc_key_a, free_key_a, sampled_key_a, spied_key_a, fixed_key_a: what the fast
     * paths compare a HANDLE with: the heap's while it lives with no mode set that
     * forbids the path (mode.h), else one that is nobody's there. They stand for the
     * heap's word in each cache.
     *   writers  create and destroy; whoever sets or clears a mode
     *            (mole_mode_change)
     *   readers  the owner's fast paths, and those of any thread that remembers the cache
     *   orders   a mode is set first and then awaited through busy_a: HB-GATE-1
     *   keeps    the first two and the last: a HANDLE of this heap's or MOLE_NO_KEY; the
     *            others: the same or MOLE_MALLOC_KEY; in malloc's heap none but those
     *            ever is MOLE_MALLOC_KEY, and all else is MOLE_NO_KEY
     */
    alignas(MOLE_CACHE_LINE) _Atomic(void *) alloc_key_a;
    _Atomic(void *) free_key_a;
    _Atomic(void *) sampled_key_a;
    _Atomic(void *) spied_key_a;
    _Atomic(void *) fixed_key_a;

    /*
     * busy_a: the owner is inside an operation that the gate must wait for.
     *   writers  the owner
     *   readers  whoever closes the heap's gate
     *   orders   set relaxed (the closer's membarrier orders it), cleared release:
     *            HB-GATE-1
     *   keeps    1 only between the fast path's first and last step; of a shared cache
     *            it says nothing, for those heaps have no gate
     */
    _Atomic(uint8_t) busy_a;

    /*
     * kept_a: pages of its empty slabs and of those it allocates from, and its room for
     * empty ones (tcache/empties.h).
     * has_batches_a: blocks of others' slabs may be in its batches.
     *   writers  the owner
     *   readers  who looks for idle caches
     *   orders   relaxed: figures
     *   keeps    what it may have free is no more, but for what others gave back
     */
    _Atomic(uint32_t) kept_a;
    _Atomic(bool) has_batches_a;

    /*
     * woken_a: slabs of this owner whose inbox filled, linked by woken_next.
     *   writers  any thread pushes a slab that was not listed; the owner takes all
     *   readers  the owner
     *   orders   push CAS release, take swap acquire: HB-WOKEN-1
     *   keeps    a slab is listed here exactly while its inbox has MOLE_INBOX_LISTED
     */
    alignas(MOLE_CACHE_LINE) _Atomic(struct mole_span *) woken_a;
};

/* A HANDLE of nobody's, for it is no address: bits 47 to 63 of those are equal. */
#define MOLE_NO_KEY ((void *)0x7ffe4d4f4c450001)

/* Whether a value that equals a key may be a HANDLE: that one is odd, no HANDLE is. */
mole_hot bool mole_owner_is_key(const void *handle)
{
    return !((uintptr_t)handle & 1);
}

/* What stands for the HANDLE that malloc's heap does not have; the spies' name for it. */
#define MOLE_MALLOC_KEY ((void *)2)

enum {
    MOLE_ORPHAN = 0,
    MOLE_SHARED = 1,
    MOLE_OF_MALLOC = 2, /* added to the thread pointer: no HANDLE leads to such a cache */
};

/* The owner of what is nobody's: it refuses all. */
extern mole_own struct mole_owner mole_owner_nobody;
