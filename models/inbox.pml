/* SPDX-License-Identifier: MIT */
/*
 * The inbox and the woken list: each block that is pushed comes back once; where blocks
 * are, the slab is listed, and no slab twice; a slab is given back, or stolen, only when
 * nobody touches it any more.
 *
 * Mirrors src/arena/inbox.h: mole_inbox_wake mole_inbox_push mole_inbox_take
 *     mole_inbox_is_quiet
 * Mirrors src/tcache/slab.c: mole_slab_make_full mole_slab_make_current retire list_full
 *     replace_current splice mole_slab_drain mole_slab_collect
 * Mirrors src/tcache/refill.c: find_slab mole_refill_next
 * Mirrors src/tcache/steal.c: claim steal_from
 * Labels HB-INBOX-1, HB-INBOX-2, HB-WOKEN-1, HB-STEAL-1.
 *
 * In it: one owner with two slabs of two blocks, one current, one full; two threads that push
 * one block of each, or a thread that pushes all and a thief; the owner does three of the things
 * that matter here, in whatever order; store buffers of four. Not in it: lists of more than one
 * block; whether slabs fill their runs: these do; countdowns: a slab all of whose blocks are back
 * is retired; what is done with a stolen slab.
 *
 *   correct  PUSHERS:               two threads push, the owner takes
 *   correct  THIEF:                 one pushes, one steals, the owner takes
 *   broken   PUSHERS PUSH_BY_STORE: the push is a load and a store
 *   broken   PUSHERS TAKE_BY_STORE: the take is a load and a store
 *   broken   PUSHERS WAKE_BY_STORE: the slab is listed by load and store
 *   broken   PUSHERS UNLISTED_EARLY: each take says that the slab is not listed
 *   broken   PUSHERS UNLISTED_LATE: the slab is said to be unlisted after it was emptied
 *   broken   PUSHERS NEXT_LATE:     the next slab is looked up after this one is unlisted
 *   broken   PUSHERS RETIRE_LISTED: a slab is given back while it is listed
 *   broken   THIEF NO_STATE:        a slab is stolen that its owner allocates from
 *   broken   THIEF STATE_FIRST:     the thief looks at the state before it has the blocks
 *   broken   THIEF NOT_RELISTED:    the thief keeps what it does not steal to itself
 */
#define CELLS 13
#include "tso.pml"

#ifdef THIEF
#define ROUNDS 3
#else
#define ROUNDS 3
#endif

/* Cells. */
#define INBOX(s) (s)
#define ENTRY(b) (2 + (b))
#define NEXT(s) (6 + (s))  /* woken_next: a slab's number + 1; 0: none */
#define WOKEN 8            /* woken_a: likewise */
#define STATE(s) (9 + (s)) /* state_a */
#define RETURNED 11        /* returned_a */
#define HANDED 12          /* the owner's client gave its block to the pusher */

/* The word of an inbox. */
#define LISTED 128
#define COUNT(word) (((word) >> 4) & 7)
#define FIRST(word) ((word) & 15)
#define END 15
#define WORD(count, first) ((count) << 4 | (first))

#define CURRENT 0
#define FULL 1
#define PARTIAL 2

#define SLABS 2
#define BLOCKS 4
#define CAPACITY 2
#define SLAB_OF(b) ((b) >> 1)

byte back;         /* ghosts: blocks on the owner's free lists, a bit each */
byte gone;         /* slabs given back or stolen, a bit each */
byte ended;

#define bit(n) (1 << (n))
#define is_gone(s) (gone & bit(s))
#define all_of(s) (3 << (2 * (s)))

/* What the inlines use of the thread that calls them, besides its number `p`. */
#define LOCALS byte word, with, head, span, follower, index, n;

/* inbox.h */

/* Only by who made the slab LISTED. */
inline wake(s)
{
    head = load(p, WOKEN);
    do
    :: assert(!is_gone(s));
       store(p, NEXT(s), head);
#ifdef WAKE_BY_STORE
       store(p, WOKEN, s + 1);
       break
#else
       if
       :: atomic {
              is_drained(p) && memory[WOKEN] == head;
              memory[WOKEN] = s + 1
          }
          break
       :: atomic {
              is_drained(p) && memory[WOKEN] != head;
              head = memory[WOKEN]
          }
       fi
#endif
    od;
    head = 0
}

inline count_returned(by)
{
    atomic {
        is_drained(p);
        memory[RETURNED] = memory[RETURNED] + by
    }
}

inline push(b, s)
{
    assert(!is_gone(s));
    word = load(p, INBOX(s));
    do
    :: store(p, ENTRY(b), FIRST(word));
       with = LISTED | WORD(COUNT(word) + 1, b);
#ifdef PUSH_BY_STORE
       store(p, INBOX(s), with);
       break
#else
       if
       :: atomic {
              is_drained(p) && memory[INBOX(s)] == word;
              memory[INBOX(s)] = with
          }
          break
       :: atomic {
              is_drained(p) && memory[INBOX(s)] != word;
              word = memory[INBOX(s)]
          }
       fi
#endif
    od;
    if
    :: !(word & LISTED) -> wake(s)
    :: else
    fi;
    if
    :: COUNT(with) == CAPACITY -> count_returned(1)
    :: else
    fi;
    word = 0;
    with = 0
}

inline swap(s, next)
{
#ifdef TAKE_BY_STORE
    word = load(p, INBOX(s));
    store(p, INBOX(s), next)
#else
    atomic {
        is_drained(p);
        word = memory[INBOX(s)];
        memory[INBOX(s)] = next
    }
#endif
}

/* Sets `word`. */
inline take(s, unlist)
{
    if
    :: unlist ->
#ifdef UNLISTED_LATE
        swap(s, LISTED | END);
        atomic {
            is_drained(p);
            memory[INBOX(s)] = memory[INBOX(s)] & ~LISTED
        }
#else
        swap(s, END)
#endif
    :: else ->
        word = load(p, INBOX(s));
        if
        :: COUNT(word) == 0
        :: else ->
#ifdef UNLISTED_EARLY
            swap(s, END)
#else
            swap(s, LISTED | END)
#endif
        fi
    fi
}

#ifdef RETIRE_LISTED
#define is_quiet(s) (COUNT(load(p, INBOX(s))) == 0)
#else
#define is_quiet(s) (load(p, INBOX(s)) == END)
#endif

/* slab.c, refill.c */

inline retire(s)
{
    if
    :: is_quiet(s) -> gone = gone | bit(s)
    :: else
    fi
}

inline splice()
{
    index = FIRST(word);
    n = COUNT(word);
    do
    :: n > 0 ->
        assert(index < BLOCKS && !(back & bit(index)));
        back = back | bit(index);
        n--;
        index = load(p, ENTRY(index))
    :: else -> break
    od;
    index = 0
}

inline drain(s, unlist)
{
    assert(!is_gone(s));
    take(s, unlist);
    if
    :: COUNT(word) == CAPACITY -> count_returned(-1)
    :: else
    fi;
    splice();
    if
    :: load(p, STATE(s)) == FULL && COUNT(word) > 0 -> store(p, STATE(s), PARTIAL)
    :: else
    fi;
    if
    :: load(p, STATE(s)) == PARTIAL && (back & all_of(s)) == all_of(s) -> retire(s)
    :: else
    fi;
    word = 0
}

inline take_woken()
{
    atomic {
        is_drained(p);
        span = memory[WOKEN];
        memory[WOKEN] = 0
    }
}

inline collect()
{
    take_woken();
    do
    :: span != 0 ->
#ifdef NEXT_LATE
        drain(span - 1, true);
        follower = load(p, NEXT(span - 1));
#else
        follower = load(p, NEXT(span - 1));
        drain(span - 1, true);
#endif
        span = follower
    :: else -> break
    od;
    follower = 0
}

/* steal.c */

/* Sets `index`: whether the slab is the thief's. */
inline claim(s)
{
    index = false;
#ifdef STATE_FIRST
    with = load(p, STATE(s));
#endif
    word = load(p, INBOX(s));
    if
    :: COUNT(word) == CAPACITY ->
        if
        :: atomic {
               is_drained(p) && memory[INBOX(s)] == word;
               memory[INBOX(s)] = END
           }
#ifndef STATE_FIRST
           with = load(p, STATE(s));
#endif
#ifdef NO_STATE
           with = FULL;
#endif
           if
           :: with == FULL -> index = true
           :: else -> store(p, INBOX(s), word)
           fi;
           with = 0
        :: atomic { is_drained(p) && memory[INBOX(s)] != word }
        fi
    :: else
    fi;
    word = 0
}

inline steal()
{
    take_woken();
    do
    :: span != 0 ->
        follower = load(p, NEXT(span - 1));
        claim(span - 1);
        if
        :: index ->
            count_returned(-1);
            atomic {
                assert(memory[STATE(span - 1)] == FULL && !is_gone(span - 1));
                assert(!(back & all_of(span - 1)));
                gone = gone | bit(span - 1);
                index = false
            }
        :: else ->
#ifdef NOT_RELISTED
            skip
#else
            wake(span - 1)
#endif
        fi;
        span = follower
    :: else -> break
    od;
    follower = 0
}

/* the threads */

proctype pusher(byte p; byte first; byte second)
{
    LOCALS
    push(first, SLAB_OF(first));
    push(second, SLAB_OF(second));
    ended++
}

/* All blocks; the last one is the owner's client's at first. */
proctype pusher_of_all(byte p)
{
    LOCALS
    push(2, 1);
    push(0, 0);
    push(1, 0);
    load(p, HANDED) != 0;
    push(3, 1);
    ended++
}

/*
 * Its client frees the last block of the full slab, which becomes current, by a list or
 * at once (replace_current), and allocates it again.
 */
inline recycle()
{
    if
    :: !load(p, HANDED) && load(p, STATE(1)) != CURRENT ->
        if
        :: true -> store(p, STATE(1), PARTIAL)
        :: true -> skip
        fi;
        store(p, STATE(1), CURRENT);
        store(p, HANDED, 1)
    :: else
    fi
}

/* A current slab is set aside: no block of it is free. */
inline set_aside(s)
{
    if
    :: load(p, STATE(s)) == CURRENT && !(back & all_of(s)) -> store(p, STATE(s), FULL)
    :: else
    fi
}

/* All blocks of the current slab came back, were allocated and freed by the owner again. */
inline use_up()
{
    if
    :: load(p, STATE(0)) == CURRENT && (back & all_of(0)) == all_of(0) ->
        store(p, STATE(0), FULL);
        store(p, STATE(0), PARTIAL);
        retire(0)
    :: else
    fi
}

inline drain_current(s)
{
    if
    :: load(p, STATE(s)) == CURRENT -> drain(s, false)
    :: else
    fi
}

/* Everybody else has ended: `n` becomes the slabs that are in the list. */
inline look_at_list()
{
    d_step {
        span = memory[WOKEN];
        do
        :: span != 0 ->
            assert(!(n & bit(span - 1)));
            n = n | bit(span - 1);
            span = memory[NEXT(span - 1)]
        :: else -> break
        od
    }
}

#define is_listed_rightly(s)                                                     \
    (is_gone(s) || (((memory[INBOX(s)] & LISTED) != 0) == ((n & bit(s)) != 0) && \
                    (COUNT(memory[INBOX(s)]) == 0 || (n & bit(s)) != 0)))
#define came_back(s) (is_gone(s) || (back & all_of(s)) == all_of(s))

proctype owner(byte p; byte rounds)
{
    LOCALS
    do
    :: rounds > 0 ->
        rounds--;
        if
        :: true -> drain_current(0)
        :: true -> collect()
#ifdef THIEF
        :: true -> set_aside(0)
        :: true -> set_aside(1)
        :: true -> recycle()
#else
        :: true -> use_up()
#endif
        fi
    :: else -> break
    od;
    store(p, HANDED, 1);
    ended == 2 && is_drained(0) && is_drained(1) && is_drained(2);
    look_at_list();
    assert(is_listed_rightly(0) && is_listed_rightly(1));
    n = 0;
    collect();
    assert(came_back(0) && came_back(1) && memory[RETURNED] == 0);
    ended++
}

proctype thief(byte p)
{
    LOCALS
    steal();
    ended++
}

init
{
    atomic {
        memory[INBOX(0)] = END;
        memory[INBOX(1)] = END;
        memory[STATE(1)] = FULL;
        run owner(0, ROUNDS);
#ifdef THIEF
        run pusher_of_all(1);
        run thief(2)
#else
        run pusher(1, 0, 2);
        run pusher(2, 3, 1)
#endif
    }
    ended == THREADS
}
