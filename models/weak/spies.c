/* SPDX-License-Identifier: MIT */
/*
 * The set of spies under weak memory, with counted sections: a reader sees the whole set,
 * and it is written to only when no reader is left.
 *
 * Mirrors src/os/grace.c: enter_counted mole_grace_leave_slow wait_for_counted
 * Mirrors src/spy/set.c: publish
 * Labels HB-GRACE-1, HB-GRACE-2, HB-SET-1.
 *
 *   correct  -:               as it is
 *   broken   PUBLISH_RELAXED: the set is published without release
 *   broken   LOAD_RELAXED:    it is loaded without acquire
 *   broken   LEAVE_RELAXED:   the section's end does not release
 *   broken   WAIT_RELAXED:    waiting for it does not acquire
 *   broken   NO_WAIT:         nobody waits for sections
 *   broken   UNFENCED:        no fence between count and look
 */
#include "weak.h"

#ifdef PUBLISH_RELAXED
#define store_set store_rlx
#else
#define store_set store_rel
#endif
#ifdef LOAD_RELAXED
#define load_set load_rlx
#else
#define load_set load_acq
#endif
#ifdef LEAVE_RELAXED
#define sub_leave sub_rlx
#else
#define sub_leave sub_rel
#endif
#ifdef WAIT_RELAXED
#define load_wait load_rlx
#else
#define load_wait load_acq
#endif
#ifdef UNFENCED
#define add_enter add_rlx
#define fence_enter() ((void)0)
#else
#define add_enter add_seq_cst
#define fence_enter() fence_seq_cst()
#endif

struct set {
    int count;
};

static struct set set;
static _Atomic(struct set *) set_a;
static _Atomic(unsigned) phase_a;
static _Atomic(uint64_t) inside_a[2];

static void begin(void)
{
    set.count = 0;
    store_rlx(&set_a, NULL);
    store_rlx(&phase_a, 0);
    store_rlx(&inside_a[0], 0);
    store_rlx(&inside_a[1], 0);
}

static void read_set(void)
{
    unsigned phase = load_rlx(&phase_a);
    add_enter(&inside_a[phase], 1); /* HB-GRACE-2 */
    fence_enter();
    const struct set *now = load_set(&set_a); /* HB-SET-1 */
    if (now)
        assert(now->count == 1);
    sub_leave(&inside_a[phase], 1); /* HB-GRACE-1 */
}

static void *first(void *unused)
{
    for (int i = 0; i < TIMES; i++)
        read_set();
    return unused;
}

static void wait_for_counted(void)
{
    for (int i = 0; i < 2; i++) {
        unsigned phase = load_rlx(&phase_a);
        fence_seq_cst(); /* HB-GRACE-2 */
        store_rlx(&phase_a, !phase);
        fence_seq_cst();
        while (load_wait(&inside_a[phase])) /* HB-GRACE-1 */
            wait_a_little();
    }
}

/* Attach, detach; then the set's memory is somebody else's. */
static void *second(void *unused)
{
    set.count = 1;
    store_set(&set_a, &set); /* HB-SET-1 */
    wait_a_little();
    store_set(&set_a, NULL); /* HB-SET-1 */
#ifndef NO_WAIT
    wait_for_counted();
#endif
    set.count = 2;
    return unused;
}

static void end(void)
{
    assert(set.count == 2);
}
