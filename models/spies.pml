/* SPDX-License-Identifier: MIT */
/*
 * Spies that come and leave: a spy hears of each operation that begins after attach has
 * returned and ends before detach is called; when detach has returned nobody is in its
 * callbacks and nobody will be, so that its code may be unloaded; a set of spies is freed
 * when nobody reads it.
 *
 * Mirrors src/os/grace.h: mole_grace_enter mole_grace_leave
 * Mirrors src/os/grace.c: enter_counted mole_grace_enter_slow mole_grace_leave_slow
 *     wait_for_counted mole_grace_wait
 * Mirrors src/spy/set.c: publish mole_set_add mole_set_remove take_retired mole_set_settle
 * Mirrors src/spy/spy.c: tell_all
 * Mirrors src/watch/modes.c: update update_all mole_modes_attach mole_modes_detach
 * Labels HB-GRACE-1, HB-GRACE-2, HB-SET-1.
 *
 * In it: three threads; one heap; users with one or two operations; two spies, of which A is
 * attached from the beginning; sets as set.c makes and retires them; liburcu's flavour bp
 * as its sources (0.13) have it: readers that note the period, a wait for those of the old
 * one, a flip, a wait for those that had the current one, barriers before and after; the
 * counted sections; store buffers of four. Not in it: sections in sections; the registering
 * of readers, which takes liburcu's lock; modes are a word that follows the set; fork.
 *
 *   correct  ALL_URCU:              liburcu's sections, the barrier is made
 *   correct  ALL_URCU SHARED:       the program uses liburcu, which makes barriers of its own
 *   correct  MIXED:                 one thread's sections are counted: it is ending
 *   correct  ALL_COUNTED:           the barrier was denied from the start
 *   correct  WRITERS DENIABLE:      two threads attach and detach; the barrier may be denied
 *   broken   ALL_URCU NO_GRACE:     detach does not wait
 *   broken   ALL_COUNTED NO_GRACE:  the same where sections are counted
 *   broken   ALL_URCU SET_FIRST:    the set is loaded before the section begins
 *   broken   ALL_COUNTED SET_FIRST: the same where sections are counted
 *   broken   ALL_URCU NO_BARRIER:   neither readers nor the waiting thread make a barrier
 *   broken   ALL_URCU ONE_PHASE:    only one of the phases is waited for
 *   broken   ALL_COUNTED ONE_PHASE: the same where sections are counted
 *   stuck    ALL_COUNTED TORN_COUNT: sections are counted by load and store
 *   broken   MIXED URCU_ONLY:       counted sections are not waited for
 *   broken   WRITERS ANY_RETIRED:   sets are freed that were retired during the grace period
 *   broken   WRITERS UNWANTED:      detach ends the watch whoever else wants it
 *   broken   WRITERS DENIABLE NO_DRAIN: nothing takes the place of the denied barrier
 *   broken   WRITERS DENIABLE EARLY: who comes while another thread is at that does not wait
 */
#define CELLS 14
#include "tso.pml"

/* Cells. */
#define SET 0           /* mole_set_a: a set's number; 0: none */
#define LOCK 1          /* set.c's */
#define MODES 2         /* modes.c's lock */
#define IS_FENCED 3     /* mole_grace_state.is_fenced_a */
#define HAS_BARRIER 4   /* liburcu's has_sys_membarrier */
#define URCU_LOCK 5     /* liburcu's, while it waits */
#define PERIOD 6        /* liburcu's gp.ctr: its phase, 0 or 1 */
#define READER(q) (7 + (q)) /* liburcu's reader->ctr: 1 + the phase, 0: no section */
#define PHASE 10        /* phase_a */
#define INSIDE(i) (11 + (i)) /* inside_a */
#define WAIT_LOCK 13    /* grace.c's */

#define A 1
#define B 2

#if defined(ALL_URCU) || defined(WRITERS)
#define OPERATIONS 1
#else
#define OPERATIONS 2
#endif

#ifdef ONE_PHASE
#define PHASES 1
#else
#define PHASES 2
#endif

#define SETS 6

byte made = 1; /* under MODES: the sets */
byte members[SETS];
byte retired_at[SETS]; /* under LOCK */
byte retired_count;
bool is_watched = true; /* the heap's modes: changed by compare-and-swap only */

bool is_freed[SETS]; /* ghosts */
byte attached = A;   /* by attach that returned, with no detach since */
byte unloaded;
bool is_denied;
byte ended;

/* What the inlines use of the thread that calls them, besides its number `p`. */
#define LOCALS byte set, phase, until, passed, snap, i, must;

#if defined(ALL_COUNTED)
#define is_counted(p) true
#elif defined(MIXED)
#define is_counted(p) (p == 1)
#else
#define is_counted(p) false
#endif

/* grace.c, and liburcu */

inline count(which, by)
{
#ifdef TORN_COUNT
    i = load(p, INSIDE(which)) + by;
    store(p, INSIDE(which), i);
    i = 0
#else
    atomic {
        is_drained(p);
        memory[INSIDE(which)] = memory[INSIDE(which)] + by;
    }
#endif
}

inline enter()
{
    if
    :: is_counted(p) ->
        phase = load(p, PHASE);
        count(phase, 1)
    :: else ->
        phase = load(p, PERIOD);
        store(p, READER(p), 1 + phase);
        phase = 0;
        if
        :: load(p, IS_FENCED) -> fence(p)
        :: else
        fi
    fi
}

inline leave()
{
    if
    :: is_counted(p) ->
        count(phase, -1);
        phase = 0
    :: else ->
        store(p, READER(p), 0)
    fi
}

/* smp_mb_master */
inline urcu_barrier()
{
#ifndef NO_BARRIER
    if
    :: load(p, HAS_BARRIER) -> barrier_in_all()
    :: else -> fence(p)
    fi
#else
    skip
#endif
}

#define is_old(q) (load(p, READER(q)) != 0 && load(p, READER(q)) != 1 + load(p, PERIOD))

/* wait_for_readers, the first time: those of the current phase remain for the second. */
inline await_old(q)
{
    atomic {
        !(passed & (1 << q)) && !is_old(q);
        if
        :: load(p, READER(q)) != 0 -> snap = snap | (1 << q)
        :: else
        fi;
        passed = passed | (1 << q)
    }
}

inline urcu_wait()
{
    acquire(p, URCU_LOCK);
    urcu_barrier();
#ifndef ONE_PHASE
    do
    :: await_old(0)
    :: await_old(1)
    :: await_old(2)
    :: passed == 7 -> break
    od;
    passed = 0;
#else
    snap = 7;
#endif
    fence(p);
    phase = 1 - load(p, PERIOD);
    store(p, PERIOD, phase);
    phase = 0;
    fence(p);
    do
    :: (snap & 1) && !is_old(0) -> snap = snap & ~1
    :: (snap & 2) && !is_old(1) -> snap = snap & ~2
    :: (snap & 4) && !is_old(2) -> snap = snap & ~4
    :: snap == 0 -> break
    od;
    urcu_barrier();
    release(p, URCU_LOCK)
}

inline wait_for_counted()
{
    do
    :: i < PHASES ->
        i++;
        phase = load(p, PHASE);
        fence(p);
        store(p, PHASE, 1 - phase);
        fence(p);
        load(p, INSIDE(phase)) == 0
    :: else -> break
    od;
    i = 0;
    phase = 0
}

/*
 * The one barrier, before liburcu waits. It may be denied from now on: liburcu is told, and
 * a drain makes up for it.
 */
inline make_barrier()
{
#if defined(DENIABLE)
    if
    :: is_denied = true
    :: !is_denied
    fi;
    if
    :: is_denied && !load(p, IS_FENCED) ->
        store(p, IS_FENCED, 1);
        store(p, HAS_BARRIER, 0);
#ifndef NO_DRAIN
        barrier_in_all()
#endif
    :: is_denied && load(p, IS_FENCED)
    :: !is_denied -> barrier_in_all()
    fi
#elif defined(NO_BARRIER)
    skip
#else
    barrier_in_all()
#endif
}

inline grace()
{
#ifndef NO_GRACE
#ifndef EARLY
    acquire(p, WAIT_LOCK);
#endif
#ifndef ALL_COUNTED
    make_barrier();
    urcu_wait();
#endif
#ifdef EARLY
    acquire(p, WAIT_LOCK);
#endif
#ifndef URCU_ONLY
    wait_for_counted();
#endif
    release(p, WAIT_LOCK)
#else
    skip
#endif
}

/* set.c, modes.c */

/* A set made before; `set` is the old one. */
inline publish(next)
{
    store(p, SET, next);
    if
    :: set != 0 ->
        acquire(p, LOCK);
        d_step {
            retired_count++;
            retired_at[set] = retired_count
        }
        release(p, LOCK)
    :: else
    fi;
    set = 0
}

inline make(its_members)
{
    d_step {
        made++;
        members[made] = its_members
    }
}

inline update_all()
{
#ifndef UNWANTED
    i = members[load(p, SET)];
#endif
    atomic {
        is_drained(p);
        is_watched = (i != 0);
        i = 0
    }
}

inline attach(spy)
{
    acquire(p, MODES);
    set = load(p, SET);
    make(members[set] | spy);
    publish(made);
#ifdef UNWANTED
    i = 1;
#endif
    update_all();
    release(p, MODES);
    attached = attached | spy
}

inline free_retired(number)
{
#ifdef ANY_RETIRED
    is_freed[number] = is_freed[number] || retired_at[number] != 0
#else
    is_freed[number] = is_freed[number] ||
                       (retired_at[number] != 0 && retired_at[number] <= until)
#endif
}

inline settle()
{
    acquire(p, LOCK);
    until = retired_count;
    release(p, LOCK);
    grace();
    acquire(p, LOCK);
    d_step {
        free_retired(1);
        free_retired(2);
        free_retired(3);
        free_retired(4);
        until = 0
    }
    release(p, LOCK)
}

inline detach(spy)
{
    attached = attached & ~spy;
    acquire(p, MODES);
    set = load(p, SET);
    if
    :: members[set] == spy ->
        publish(0)
    :: else ->
        make(members[set] & ~spy);
        publish(made)
    fi;
    update_all();
    release(p, MODES);
    settle();
    unloaded = unloaded | spy
}

/* spy.c */

/* The callbacks of an operation, the first step in them and the last. */
inline tell_all()
{
#ifdef SET_FIRST
    set = load(p, SET);
    enter();
#else
    enter();
    set = load(p, SET);
#endif
    assert(!(must & attached & ~members[set]));
    if
    :: set != 0 ->
        assert(!is_freed[set] && !(members[set] & unloaded));
        assert(!is_freed[set] && !(members[set] & unloaded));
        set = 0
    :: else
    fi;
    leave()
}

inline operate()
{
    must = attached;
    if
    :: is_watched -> tell_all()
    :: else -> assert(!(must & attached))
    fi;
    must = 0
}

/* the threads */

proctype user(byte p; byte operations)
{
    LOCALS
    do
    :: operations > 0 ->
        operations--;
        operate()
    :: else -> break
    od;
    ended++
}

proctype owner_of_both(byte p)
{
    LOCALS
    attach(B);
    detach(A);
    detach(B);
    ended++
}

proctype owner_of_a(byte p)
{
    LOCALS
    detach(A);
    ended++
}

proctype owner_of_b(byte p)
{
    LOCALS
    attach(B);
    detach(B);
    ended++
}

init
{
    atomic {
        members[1] = A;
        memory[SET] = 1;
#ifdef SHARED
        memory[HAS_BARRIER] = 1;
#endif
        run user(0, OPERATIONS);
#ifdef WRITERS
        run owner_of_a(1);
        run owner_of_b(2)
#else
        run user(1, 1);
        run owner_of_both(2)
#endif
    }
    atomic {
        ended == THREADS && is_drained(0) && is_drained(1) && is_drained(2);
        assert(memory[SET] == 0 && retired_count == made);
        assert(is_freed[1] && is_freed[2] && (made < 3 || is_freed[3]));
        assert(memory[INSIDE(0)] == 0 && memory[INSIDE(1)] == 0)
    }
}
