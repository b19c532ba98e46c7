/* SPDX-License-Identifier: MIT */
/*
 * Heaps: what a HANDLE names. Records of heaps are never used for anything else, so a
 * stale pointer to one may always be read; its word tells whether it still is the heap
 * one meant.
 *
 *   word = unique id << 16 | mode      0: no heap
 *
 * Caches have keys that stand for the word, see mode.h.
 *
 *  label       release side               acquire side                 makes visible
 *  HB-HEAP-1   create: store of word_a    find, first use: load        the heap's fields
 *  HB-HEAP-2   take_record: CAS of all_a  first: load of all_a         all_next
 *  HB-HEAP-3   create: store of handle_a  GetProcessHeaps: fence       the old word went
 *  HB-OWNER-1  let go: store of thread_a  adopt: CAS of thread_a       the cache's fields
 *  HB-OWNER-2  enlist: CAS of owners_a    first/next: load of owners_a the owner's fields
 *
 * Progress: find and adopt are wait-free but for walking the owners; enlist is lock-free.
 * Checked by: tests/race/adopt_step.c (every instruction), tests/race/oracle.c (TSan).
 */
#pragma once

#include "arena/arena.h"
#include "arena/gate.h"
#include "arena/idleness.h"
#include "arena/size_class.h"
#include "arena/span.h"

/* Modes of a heap's word: they send operations to their slow paths. */
enum {
    MOLE_MODE_CLOSED = 1,    /* the gate: somebody holds the whole heap */
    MOLE_MODE_SPIED = 2,     /* spies want to see all operations */
    MOLE_MODE_FENCED = 4,    /* the gate works without mole_barrier_all */
    MOLE_MODE_SAMPLED = 8,   /* spies want to see a sample: allocations only are sent */
    MOLE_MODE_ASKED = 16,    /* spies want to be asked before an allocation */
    MOLE_MODE_STOPPED = 32,  /* shut, and for calls that pass the gate too */
    MOLE_MODE_RECORDED = 64, /* a COM spy may have records of blocks */
    MOLE_MODE_CHECKED = 128, /* for good: its blocks have guards (guard.h) */
    MOLE_MODE_WATCHED =
        MOLE_MODE_SPIED | MOLE_MODE_SAMPLED | MOLE_MODE_ASKED | MOLE_MODE_RECORDED,
    MOLE_MODE_SHIFT = 16,
    MOLE_MODE_MASK = (1 << MOLE_MODE_SHIFT) - 1,
};

struct mole_heap {
    struct mole_meta meta;

    /*
     * word_a: id << 16 | mode.
     *   writers  create, destroy, and whoever sets a mode
     *   readers  every slow path; fast paths read the keys
     *   orders   create stores release, find loads acquire: HB-HEAP-1; modes: HB-MODE-1
     *   keeps    0, or an id no other heap ever had
     */
    _Atomic(uint64_t) word_a;

    /*
     * handle_a: the HANDLE; NULL for malloc's heap.
     *   writers  create
     *   readers  every slow path; GetProcessHeaps, also of a record that is being reused
     *   orders   relaxed: word_a decides before and, where it matters, after: HB-HEAP-3
     *   keeps    the same while word_a is
     */
    _Atomic(void *) handle_a;
    uint32_t flags;  /* const while alive: those of HeapCreate */
    bool is_private; /* const while alive: HeapDestroy may end it */
    bool is_sized;   /* const while alive: blocks keep the exact size of their request */
    uint8_t checks;  /* const while used: MOLE_GUARD_..., see guard.h */
    uint8_t pad;     /* const while used: bytes of guards behind each block */
    uint64_t secret; /* const while alive: what a hardened heap's codes are made of */

    /*
     * rested_a: when the heap was laid to rest, in passes over those that are.
     *   writers  mole_spare_keep
     *   readers  a pass (tcache/spare.h), also of a heap that lives again
     *   orders   relaxed: one given back early or late is no error
     *   keeps    nothing
     */
    _Atomic(uint32_t) rested_a;

    /*
     * owners_a: all thread caches of this heap, linked by next.
     *   writers  enlist pushes; destroy takes all
     *   readers  adopt; whole-heap inspection; the gate
     *   orders   push CAS release, load acquire: HB-OWNER-2
     *   keeps    only grows while the heap lives
     */
    _Atomic(struct mole_owner *) owners_a;

    /*
     * orphans_a: how many of them were let go and not adopted: a hint.
     *   writers  let go adds, adopt subtracts
     *   readers  adopt
     *   orders   relaxed: the CAS on thread_a decides
     *   keeps    0 means that a walk is most likely in vain
     */
    _Atomic(int32_t) orphans_a;

    /*
     * returned_a: slabs that fill a run and have every block in their inbox: a hint.
     *   writers  the thread whose push returned the last block adds; who takes them
     *            subtracts
     *   readers  steal.c
     *   orders   relaxed: the slab's inbox and state decide
     *   keeps    0 means that looking for them is most likely in vain
     */
    _Atomic(int32_t) returned_a;

    /*
     * frees_a: blocks freed past all caches: large ones, and by threads without a cache.
     *   writers  those frees
     *   readers  mh_stats_get; HeapDestroy
     *   orders   relaxed: a figure
     *   keeps    never falls while the heap lives
     */
    _Atomic(uint64_t) frees_a;

    /*
     * is_active_a: HeapQueryInformation says 2.
     *   writers  HeapSetInformation, HeapQueryInformation
     *   readers  the same
     *   orders   relaxed: nothing hangs on it
     *   keeps    never false again while the heap lives
     */
    _Atomic(bool) is_active_a;

    struct mole_lock mode_lock;       /* whoever changes modes */
    uint8_t stolen[MOLE_CLASS_COUNT]; /* under the arena's lock: see tcache/usage.h */
    void (*follow)(unsigned modes);   /* under mode_lock: told of each change */
    struct mole_idleness idleness;
    struct mole_gate gate;      /* not in HEAP_NO_SERIALIZE heaps */
    struct mole_heap *all_next; /* const after the record's first use */
    struct mole_span *first;    /* const while alive: stands for the handle's page */
    struct mole_run *home;      /* const while alive: the run the handle points to */
    struct mole_fixed *fixed;   /* const while alive: of a fixed-size heap; else NULL */
    size_t initial_bytes;       /* const while alive: what HeapCreate was to commit */
    struct mole_arena arena;
};

/* Win32 creation flags that inner layers know; guard.h has others. */
enum { MOLE_HEAP_NO_SERIALIZE = 0x1, MOLE_HEAP_ENABLE_EXECUTE = 0x40000 };

/*
 * A new heap with an address of its own as handle, or NULL. `slots` as for
 * mole_pool_take. Its home run is cut in pages; the first page is the handle's and never
 * used.
 */
struct mole_heap *mole_heap_create(uint32_t flags, struct mole_pool_slots *slots)
    mole_must_check;

struct mole_fixed_limits;
/* The same of a fixed size (fixed.h): its home run has all of its memory. */
struct mole_heap *mole_heap_create_fixed(uint32_t flags, struct mole_pool_slots *slots,
                                         const struct mole_fixed_limits *limits)
    mole_must_check;

/* malloc's heap: no handle, never destroyed. NULL: no memory. */
struct mole_heap *mole_heap_create_nameless(void) mole_must_check;

/*
 * The live heap with this handle, whatever the value is; or NULL. Does not touch
 * `handle`.
 */
struct mole_heap *mole_heap_find(const void *handle);

/*
 * End a heap. Returns the list of its owners, which the caller gives back with the rest
 * by mole_heap_finish; between the two nobody finds the heap or its caches any more.
 */
struct mole_owner *mole_heap_kill(struct mole_heap *heap);
void mole_heap_finish(struct mole_heap *heap, struct mole_pool_slots *slots);

mole_hot uint64_t mole_heap_id(struct mole_heap *heap)
{
    return load_rlx(&heap->word_a) & ~(uint64_t)MOLE_MODE_MASK;
}

/* Put a new cache on the heap's list, and give it its keys. Its other fields are set. */
void mole_heap_enlist(struct mole_heap *heap, struct mole_owner *owner);

/* Adopt an orphaned cache of the heap for the thread; or NULL. This one, if it is one. */
struct mole_owner *mole_heap_adopt(struct mole_heap *heap, uintptr_t thread);
bool mole_heap_adopt_one(struct mole_owner *owner, uintptr_t thread) mole_must_check;

/* Let a cache go: the next thread may adopt it. */
void mole_heap_let_go(struct mole_owner *owner);

/* An id that no heap had. */
uint64_t mole_heap_new_id(void);

/* Heaps made, and caches adopted, since the start. */
uint64_t mole_heap_count(void);
uint64_t mole_heap_adoptions(void);

/* All heap records ever, dead ones too, malloc's included; NULL ends. */
struct mole_heap *mole_heap_first(void);
struct mole_heap *mole_heap_next(struct mole_heap *heap);

/* First and next of a heap's caches. */
struct mole_owner *mole_heap_owners(struct mole_heap *heap);
