/* SPDX-License-Identifier: MIT */
/*
 * The gate: whoever has shut it is alone in the heap; sees all that operations did before,
 * and they see all that he did; whoever has paused it is alone in each cache that he found
 * quiet; nobody waits for ever; and where no mode is set in the end, each cache has its key.
 *
 * Mirrors src/arena/gate.c: await_quiet bar shut mole_gate_close reopen mole_gate_open
 *     mole_gate_stop mole_gate_resume mole_gate_try_pause mole_gate_has_quiet mode_for
 *     mole_gate_is_shut mole_gate_pass
 * Mirrors src/arena/mode.c: keys_of store_keys mole_mode_change fence_all mole_mode_go_fenced
 *     mole_mode_are_fenced mole_mode_give_keys
 * Mirrors src/arena/heap.c: mole_heap_enlist
 * Mirrors src/os/barrier.c: make_one mole_barrier_all mole_barrier_drain
 * Mirrors src/tcache/tcache.h: mole_tcache_enter mole_tcache_leave
 * Mirrors src/tcache/thread.c: enter leave mole_thread_begin mole_thread_end
 * Mirrors src/api/heap.c: HeapAlloc alloc_further alloc_medium alloc_spied
 * Mirrors src/watch/fast.h: mole_fast_alloc_inside mole_fast_alloc_spied
 * Labels HB-GATE-1, HB-GATE-2, HB-MODE-1, HB-FENCED-1.
 *
 * In it: one heap; three threads, each with a cache that stays its own, but for those
 * without one; one or two operations each; store buffers of four; the barrier granted, or
 * denied from any call of it on. An operation is two stores to one word. Not in it:
 * caches that change threads,
 * HEAP_NO_SERIALIZE, HeapDestroy, fork; the list of caches as a list: it is a set, whose
 * head is read at once.
 *
 *   correct  USERS GRANTED:         the gate is shut twice, recursively; the barrier is made
 *   correct  USERS:                 the same; the barrier may be denied, at any time
 *   correct  CLOSERS:               two threads shut it
 *   correct  NEWCOMER GRANTED:      a thread makes its cache meanwhile
 *   correct  SPY GRANTED:           a thread has the heap watched meanwhile
 *   correct  STOPS GRANTED:         it is stopped: for operations that pass the gate, too
 *   correct  DRAINS GRANTED:        it is paused: caches in use are left alone, others worked with
 *   correct  DRAINS:                the same; another thread may go fenced at any time
 *   correct  ELSEWHERE:             another heap's closer finds that the barrier is denied
 *   broken   USERS NO_BARRIER:      the closer does without a barrier
 *   broken   USERS OWN_STORES_LATE: the barrier does not begin with the closer's own stores
 *   broken   USERS NO_WAIT:         the closer does not wait for operations under way
 *   broken   USERS KEY_FIRST:       the key is read before the cache is marked busy
 *   broken   USERS NO_FENCE:        fenced operations have no fence
 *   broken   USERS NO_DRAIN:        nothing takes the place of the denied barrier
 *   broken   ELSEWHERE FENCED_EARLY: who finds another thread going fenced does not wait
 *   broken   NEWCOMER GRANTED ENLIST_ONCE: a new cache's key is not looked at again
 *   broken   NEWCOMER GRANTED LOOKED_TWICE: its keys are not for the modes it compares
 *   broken   NEWCOMER GRANTED KEYS_FIRST: keys are taken before the word says why
 *   broken   SPY GRANTED KEYS_UNLOCKED: two threads store keys at the same time
 *   broken   STOPS GRANTED ONE_WAIT: operations that pass the gate are not waited for
 *   broken   DRAINS GRANTED NO_BARRIER: the heap is paused without a barrier
 *   broken   DRAINS GRANTED NO_LOOK: the pauser does not look whether a cache is in use
 *   broken   DRAINS UNFENCED:       the heap is paused though nothing is fenced yet
 *   stuck    USERS LOCK_KEPT:       who opens the gate keeps its lock
 */
#ifdef SPY
#define CELLS 21
#else
#define CELLS 18
#endif
#include "tso.pml"

#if defined(USERS) || defined(CLOSERS)
#define CLOSINGS 2
#else
#define CLOSINGS 1
#endif

/* Cells. */
#define WORD 0      /* the heap's modes */
#define OWNER 1     /* gate.owner_a: a thread's number + 1 */
#define UNCACHED 2  /* gate.uncached_a */
#define GATE 3      /* gate.lock */
#define MODES 4     /* mode_lock */
#define HOLD 5      /* arena/hold.c's lock */
#define DENIED 6    /* denied_a */
#define IS_DONE 7   /* are_fenced_a */
#define HEAP 8      /* the owner's work in the heap: 1 while it is half done */
#define KEY(q) (9 + (q)) /* alloc_key_a */
#define BUSY(q) (12 + (q))
#define WORK(q) (15 + (q)) /* an operation's: 1 while it is half done */
#define WATCHED(q) (18 + (q)) /* spied_key_a, of SPY only */

#define CLOSED 1
#define FENCED 2
#define SPIED 4
#define STOPPED 8
#define NO_KEY 0
#define HANDLE 1
#define NOBODY THREADS

/* Who passes a closed gate, and what keeps it out all the same. */
#if defined(STOPS) || defined(DRAINS)
#define passes(p) (p == 2)
#else
#define passes(p) false
#endif
#define mode_for(p) (passes(p) -> STOPPED : CLOSED)

/* What the inlines use of the thread that calls them, besides its number `p`. */
#define LOCALS byte seen, key, passed, shut, turns, depth, next;

byte listed;           /* owners_a: one bit a cache; changed by compare-and-swap only */
bool is_inside[THREADS]; /* ghost: from an operation's decision to go on to its last store */
bool is_taken[THREADS];  /* ghost: its cache is the pauser's */
byte holder = NOBODY;  /* ghost: who has shut the gate and may rely on it */
bool will_be_denied;   /* ghost: the system refuses each barrier from now on */
byte ended;

/* mode.c */

/* For the modes in `key`. */
inline store_keys(q)
{
    store(p, KEY(q), (key == 0 -> HANDLE : NO_KEY));
#ifdef SPY
    store(p, WATCHED(q), (key == SPIED -> HANDLE : NO_KEY));
#endif
    key = 0
}

inline change_keys(q)
{
    if
    :: seen & (1 << q) ->
#ifdef KEYS_FIRST
        key = next;
#else
        key = load(p, WORD);
#endif
        store_keys(q)
    :: else
    fi
}

/* `keeper`: who holds the gate from the moment the word changes on. */
inline change_word(set, clear, keeper)
{
    atomic {
        is_drained(p);
        memory[WORD] = (memory[WORD] & ~(clear)) | (set);
        holder = keeper;
    }
    fence(p)
}

inline change_modes(set, clear, keeper)
{
#ifndef KEYS_UNLOCKED
    acquire(p, MODES);
#endif
#ifdef KEYS_FIRST
    next = (load(p, WORD) & ~(clear)) | (set);
#else
    change_word(set, clear, keeper);
#endif
    seen = listed;
    change_keys(0);
    change_keys(1);
    change_keys(2);
    seen = 0;
#ifdef KEYS_FIRST
    change_word(set, clear, keeper);
#endif
#ifndef KEYS_UNLOCKED
    release(p, MODES)
#else
    skip
#endif
}

inline go_fenced()
{
    if
    :: load(p, IS_DONE)
    :: else ->
        acquire(p, HOLD);
        if
        :: !load(p, IS_DONE) ->
#ifdef FENCED_EARLY
            store(p, IS_DONE, 1);
            fence(p);
#endif
            change_modes(FENCED, 0, holder);
#ifndef NO_DRAIN
            barrier_in_all();
#endif
            store(p, IS_DONE, 1)
        :: else
        fi;
        release(p, HOLD)
    fi
}

inline enlist()
{
    atomic {
        is_drained(p);
        listed = listed | (1 << p);
    }
    do
    :: next = load(p, WORD);
#ifdef LOOKED_TWICE
       key = load(p, WORD);
#else
       key = next;
#endif
       store_keys(p);
       fence(p);
#ifdef ENLIST_ONCE
       break
#else
       if
       :: load(p, WORD) == next -> break
       :: else
       fi
#endif
    od;
    next = 0
}

/* barrier.c, gate.c */

inline barrier_or_fenced()
{
    if
    :: load(p, DENIED) -> go_fenced()
    :: else ->
        if
#ifndef GRANTED
        :: atomic { will_be_denied = true; store(p, DENIED, 1) }
           go_fenced()
#endif
        :: !will_be_denied -> barrier_in_all()
        fi
    fi
}

inline await(q)
{
    if
    :: q != p -> load(p, BUSY(q)) == 0
    :: else
    fi
}

inline await_quiet()
{
#ifndef NO_BARRIER
    barrier_or_fenced();
#endif
#ifndef NO_WAIT
    seen = listed;
    do
    :: seen & 1 -> await(0); seen = seen & ~1
    :: seen & 2 -> await(1); seen = seen & ~2
    :: seen & 4 -> await(2); seen = seen & ~4
    :: else -> break
    od;
    load(p, UNCACHED) == 0;
#endif
}

#define is_owner(p) (load(p, OWNER) == (p) + 1)
#define is_alone(p) ((p == 0 || !is_inside[0]) && (p == 1 || !is_inside[1]) && \
                     (p == 2 || !is_inside[2]))

inline close_gate()
{
    if
    :: is_owner(p) -> depth++
    :: else ->
        acquire(p, GATE);
        change_modes(CLOSED, 0, holder);
        store(p, OWNER, p + 1);
        depth = 1;
        await_quiet();
#ifdef STOPS
        change_modes(STOPPED, 0, holder);
#ifndef ONE_WAIT
        await_quiet();
#endif
#endif
        atomic {
            assert(is_alone(p));
            holder = p;
        }
    fi
}

inline open_gate()
{
    assert(is_owner(p));
    depth--;
    if
    :: depth > 0
    :: else ->
        store(p, OWNER, 0);
#if defined(STOPS) || defined(DRAINS)
        change_modes(0, CLOSED | STOPPED, NOBODY);
#else
        change_modes(0, CLOSED, NOBODY);
#endif
#ifndef LOCK_KEPT
        release(p, GATE)
#endif
    fi
}

/* `turns`: whether the pauser may rely on what it sees. */
inline ask_for_barrier()
{
#ifndef NO_BARRIER
    if
    :: load(p, DENIED) -> turns = load(p, IS_DONE)
    :: else ->
        if
#ifndef GRANTED
        :: atomic { will_be_denied = true; store(p, DENIED, 1) }
           turns = load(p, IS_DONE)
#endif
        :: !will_be_denied -> barrier_in_all(); turns = 1
        fi
    fi;
#else
    turns = 1;
#endif
#ifdef UNFENCED
    turns = 1
#else
    skip
#endif
}

inline work_if_quiet(q)
{
    if
#ifdef NO_LOOK
    :: true ->
#else
    :: load(p, BUSY(q)) == 0 ->
#endif
        atomic {
            assert(!is_inside[q]);
            is_taken[q] = true;
        }
        assert(load(p, WORK(q)) == 0);
        store(p, WORK(q), 1);
        store(p, WORK(q), 0);
        is_taken[q] = false
#ifndef NO_LOOK
    :: else
#endif
    fi
}

inline pause_and_work()
{
    acquire(p, GATE);
    change_modes(CLOSED | STOPPED, 0, holder);
    store(p, OWNER, p + 1);
    depth = 1;
    ask_for_barrier();
    if
    :: turns ->
        work_if_quiet(1);
        work_if_quiet(2)
    :: else
    fi;
    turns = 0;
    open_gate()
}

inline is_shut()
{
    shut = load(p, WORD);
    if
    :: shut & FENCED ->
#ifndef NO_FENCE
        fence(p);
#endif
        shut = load(p, WORD)
    :: else
    fi;
    shut = (shut & mode_for(p)) && !is_owner(p);
}

inline pass()
{
    do
    :: !passes(p) && (load(p, WORD) & CLOSED) && !is_owner(p) ->
        acquire(p, GATE);
        release(p, GATE)
    :: passes(p) && (load(p, WORD) & STOPPED) -> !(load(p, WORD) & STOPPED)
    :: else -> break
    od
}

/* thread.c, heap.c of the API */

/* The operation itself, once it may go on. */
inline operate()
{
    atomic {
        assert(holder == NOBODY || holder == p);
        assert(!is_taken[p]);
        is_inside[p] = true;
    }
    assert(load(p, HEAP) == 0);
    assert(load(p, WORK(p)) == 0);
    store(p, WORK(p), 1);
    store(p, WORK(p), 0);
    is_inside[p] = false;
}

inline enter_and_operate()
{
    do
    :: store(p, BUSY(p), 1);
       is_shut();
       if
       :: shut ->
           store(p, BUSY(p), 0);
           turns++;
           assert(turns <= CLOSINGS);
           pass()
       :: else -> break
       fi
    od;
    turns = 0;
    operate();
    store(p, BUSY(p), 0);
}

/* HeapAlloc: a fast path, which may find no free block; else the general one. */
inline operate_cached()
{
#ifdef KEY_FIRST
    shut = load(p, KEY(p));
    store(p, BUSY(p), 1);
#else
    store(p, BUSY(p), 1);
    shut = load(p, KEY(p));
#endif
#ifdef SPY
    if
    :: shut != HANDLE ->
        store(p, BUSY(p), 0);
        store(p, BUSY(p), 1);
        shut = load(p, WATCHED(p))
    :: else
    fi;
#endif
    if
    :: shut == HANDLE ->
        shut = 0;
        operate();
        store(p, BUSY(p), 0)
    :: true ->
        shut = 0;
        store(p, BUSY(p), 0);
        enter_and_operate()
    fi
}

inline count_uncached(by)
{
    atomic {
        is_drained(p);
        memory[UNCACHED] = memory[UNCACHED] + by;
    }
}

inline operate_uncached()
{
    do
    :: count_uncached(1);
       is_shut();
       if
       :: shut ->
           count_uncached(-1);
           turns++;
           assert(turns <= CLOSINGS);
           pass()
       :: else -> break
       fi
    od;
    turns = 0;
    operate();
    count_uncached(-1);
}

inline work_alone()
{
    assert((p == 0 || !load(p, WORK(0))) && (p == 1 || !load(p, WORK(1))) &&
           (p == 2 || !load(p, WORK(2))));
    store(p, HEAP, 1);
    store(p, HEAP, 0);
}

/* the threads */

proctype user(byte p; byte operations)
{
    LOCALS
    do
    :: operations > 0 -> operations--; operate_cached()
    :: else -> break
    od;
    ended++
}

proctype newcomer(byte p; byte operations)
{
    LOCALS
    enlist();
    enter_and_operate();
    do
    :: operations > 0 -> operations--; operate_cached()
    :: else -> break
    od;
    ended++
}

proctype passer_by(byte p; byte operations)
{
    LOCALS
    do
    :: operations > 0 -> operations--; operate_uncached()
    :: else -> break
    od;
    ended++
}

/* It has a cache of its own, and goes on using it while it is the gate's owner. */
proctype closer(byte p; byte closings; bool is_twice)
{
    LOCALS
    do
    :: closings > 0 ->
        closings--;
        close_gate();
        if
        :: is_twice ->
            close_gate();
            open_gate()
        :: else
        fi;
        work_alone();
        enter_and_operate();
        open_gate()
    :: else -> break
    od;
    ended++
}

/* It looks for idle caches. */
proctype drainer(byte p)
{
    LOCALS
    pause_and_work();
    ended++
}

/* It closes another heap's gate, and finds that the barrier is denied. */
proctype elsewhere(byte p)
{
    LOCALS
    barrier_or_fenced();
    ended++
}

/* It attaches and detaches. */
proctype spy(byte p)
{
    LOCALS
    change_modes(SPIED, 0, holder);
    change_modes(0, SPIED, holder);
    ended++
}

#define has_right_key(q) ((listed & (1 << q)) == 0 || \
                          ((memory[WORD] == 0) == (memory[KEY(q)] == HANDLE)))

inline list_caches()
{
    memory[KEY(0)] = HANDLE;
    memory[KEY(1)] = HANDLE;
#if defined(CLOSERS) || defined(STOPS) || (defined(DRAINS) && defined(GRANTED))
    memory[KEY(2)] = HANDLE;
    listed = 7
#else
    listed = 3
#endif
}

init
{
    atomic {
        list_caches();
#if defined(USERS)
        run closer(0, 2, true);
        run user(1, 2);
        run passer_by(2, 1)
#elif defined(CLOSERS)
        run closer(0, 1, false); run closer(1, 1, false);
        run user(2, 2)
#elif defined(NEWCOMER)
        run closer(0, 1, false);
        run user(1, 1);
        run newcomer(2, 1)
#elif defined(SPY)
        run closer(0, 1, false);
        run user(1, 1);
        run spy(2)
#elif defined(STOPS)
        run closer(0, 1, false);
        run user(1, 1);
        run user(2, 2)
#elif defined(DRAINS)
        run drainer(0);
#ifdef GRANTED
        run user(2, 1);
#else
        run elsewhere(2);
#endif
        run user(1, 2)
#elif defined(ELSEWHERE)
        run closer(0, 1, false);
        run user(1, 2);
        run elsewhere(2)
#endif
    }
    atomic {
        ended == THREADS && is_drained(0) && is_drained(1) && is_drained(2);
        assert(has_right_key(0) && has_right_key(1) && has_right_key(2));
        assert(memory[UNCACHED] == 0 && !(memory[BUSY(0)] || memory[BUSY(1)] || memory[BUSY(2)]))
    }
}
