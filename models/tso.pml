/* SPDX-License-Identifier: MIT */
/*
 * Memory as x86 processors have it (TSO), for the models that include this: a store waits
 * in its thread's buffer, first in, first out, until the memory takes it, at any moment; a
 * load sees the thread's own newest pending store, else the memory; an atomic
 * read-modify-write and a fence wait until the thread's buffer is empty.
 *
 * A buffer holds DEPTH stores; a thread that has more waits, as a processor does. All
 * shared variables are cells of `memory`; those that only read-modify-writes change may be
 * variables of their own.
 *
 * The including model defines CELLS (cells are numbered from 0) and may define DEPTH.
 */
#define THREADS 3
#ifndef DEPTH
#define DEPTH 4
#endif

byte memory[CELLS];
byte pending[THREADS]; /* stores in the thread's buffer */
byte target[THREADS * DEPTH];
byte stored[THREADS * DEPTH];

#define SLOT(p, i) ((p) * DEPTH + (i))
#define NEWER(p, i, c, otherwise)                                                \
    ((pending[p] > (i) && target[SLOT(p, i)] == (c)) -> stored[SLOT(p, i)] : otherwise)
#if DEPTH == 4
#define load(p, c)                                                               \
    NEWER(p, 3, c, NEWER(p, 2, c, NEWER(p, 1, c, NEWER(p, 0, c, memory[c]))))
#else
#define load(p, c) NEWER(p, 2, c, NEWER(p, 1, c, NEWER(p, 0, c, memory[c])))
#endif

inline store(p, c, v)
{
    d_step {
        pending[p] < DEPTH;
        stored[SLOT(p, pending[p])] = v;
        target[SLOT(p, pending[p])] = c;
        pending[p]++;
    }
}

#define is_drained(p) (pending[p] == 0)

inline fence(p)
{
    is_drained(p);
}

/*
 * The system's barrier: the caller's stores before it are seen; then each thread passes a
 * fence, in whatever order, before it returns. Uses the calling thread's `p` and `passed`,
 * which is 0 before and after.
 */
inline barrier_in_all()
{
#ifndef OWN_STORES_LATE
    fence(p);
#endif
    do
    :: !(passed & 1) && is_drained(0) -> passed = passed | 1
    :: !(passed & 2) && is_drained(1) -> passed = passed | 2
    :: !(passed & 4) && is_drained(2) -> passed = passed | 4
    :: passed == 7 -> passed = 0; break
    od
}

/* A lock's acquiring is a read-modify-write; its releasing no more than a store. */
inline acquire(p, c)
{
    atomic {
        is_drained(p) && memory[c] == 0;
        memory[c] = 1;
    }
}

inline release(p, c)
{
    store(p, c, 0);
}

inline take_oldest(p)
{
    d_step {
        pending[p] > 0;
        memory[target[SLOT(p, 0)]] = stored[SLOT(p, 0)];
        target[SLOT(p, 0)] = target[SLOT(p, 1)];
        stored[SLOT(p, 0)] = stored[SLOT(p, 1)];
        target[SLOT(p, 1)] = target[SLOT(p, 2)];
        stored[SLOT(p, 1)] = stored[SLOT(p, 2)];
#if DEPTH == 4
        target[SLOT(p, 2)] = target[SLOT(p, 3)];
        stored[SLOT(p, 2)] = stored[SLOT(p, 3)];
#endif
        target[SLOT(p, DEPTH - 1)] = 0;
        stored[SLOT(p, DEPTH - 1)] = 0;
        pending[p]--;
    }
}

active proctype processors()
{
end:
    do
    :: take_oldest(0)
    :: take_oldest(1)
    :: take_oldest(2)
    od
}
