/* SPDX-License-Identifier: MIT */
/*
 * The gate under weak memory, fenced: GenMC knows no barrier in all threads. Whoever has
 * shut it is alone; he sees what operations did before, and they see what he did.
 *
 * Mirrors src/arena/gate.c: await_quiet mole_gate_is_shut
 * Mirrors src/arena/mode.c: mole_mode_change
 * Mirrors src/tcache/tcache.h: mole_tcache_enter mole_tcache_leave
 * Labels HB-GATE-1, HB-GATE-2.
 *
 *   correct  -:               as it is
 *   broken   NO_FENCE:        an operation has no fence between mark and look
 *   broken   CLOSER_UNFENCED: the closer has none between word and wait
 *   broken   LEAVE_RELAXED:   the mark's end does not release
 *   broken   AWAIT_RELAXED:   waiting for it does not acquire
 *   broken   LOOK_RELAXED:    the look at the word does not acquire
 *   broken   OPEN_RELAXED:    opening does not release
 */
#include "weak.h"

enum { CLOSED = 1 };

#ifdef LEAVE_RELAXED
#define store_leave store_rlx
#else
#define store_leave store_rel
#endif
#ifdef AWAIT_RELAXED
#define load_await load_rlx
#else
#define load_await load_acq
#endif
#ifdef LOOK_RELAXED
#define load_look load_rlx
#else
#define load_look load_acq
#endif
#ifdef OPEN_RELAXED
#define cas_word cas_weak_rlx
#else
#define cas_word cas_weak_rel
#endif

static _Atomic(uint64_t) word_a;
static _Atomic(uint8_t) busy_a;
static int work; /* in the heap: not atomic */

static void begin(void)
{
    store_rlx(&word_a, 0);
    store_rlx(&busy_a, 0);
    work = 0;
}

static void change_word(uint64_t set, uint64_t clear)
{
    uint64_t word = load_rlx(&word_a);
    while (!cas_word(&word_a, &word, (word & ~clear) | set)) { /* HB-GATE-2 */
    }
#ifndef CLOSER_UNFENCED
    fence_seq_cst();
#endif
}

/* Operations, if the gate lets them in. */
static void *first(void *unused)
{
    for (int i = 0; i < 2; i++) {
        store_rlx(&busy_a, 1);
#ifndef NO_FENCE
        fence_seq_cst();
#endif
        if (!(load_look(&word_a) & CLOSED)) /* HB-GATE-2 */
            work++;
        store_leave(&busy_a, 0); /* HB-GATE-1 */
    }
    return unused;
}

static void *second(void *unused)
{
    change_word(CLOSED, 0);
    while (load_await(&busy_a)) /* HB-GATE-1 */
        wait_a_little();
    work++;
    change_word(0, CLOSED);
    return unused;
}

static void end(void)
{
    assert(work >= 1 && work <= 3);
}
