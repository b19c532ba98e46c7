/* SPDX-License-Identifier: MIT */
#include "tcache/purger.h"

#include "os/thread.h"
#include "tcache/compact.h"
#include "tcache/idle.h"
#include "tcache/steal.h"

enum {
    NO_PURGER,  /* may be started */
    HAS_PURGER, /* or is being started */
    FORKED,     /* a fork's child that has had no further thread yet */
    FORBIDDEN,
};

/*
 * state_a: whether there is a purger.
 *   writers  poke, by CAS from NO_PURGER; a fork's child; allow
 *   readers  poke
 *   orders   relaxed: the thread's start orders what it needs
 *   keeps    HAS_PURGER: exactly one, or one being started
 */
static _Atomic(int) state_a;

/* Empty slabs whose owners do not come for them. */
static size_t steal_everywhere(void)
{
    size_t count = 0;
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        count += mole_steal(heap, NULL);
    return count;
}

static void run_purger(void)
{
    enum { PASSES_A_LOOK = 3, PASSES_ASLEEP = 8 };
    unsigned slept = 1, passes = 0;
    size_t awaited = 0;
    for (;;) {
        mole_thread_sleep_ms(slept * MOLE_PASS_MS);
        size_t stolen = steal_everywhere() + mole_compact_orphans();
        passes += slept;
        if (passes >= PASSES_A_LOOK) {
            awaited = mole_idle_look();
            passes = 0;
        }
        size_t warm = mole_pool_pass();
        bool was_fed = mole_pool_was_fed();
        slept = stolen || awaited || warm || was_fed ? 1 : PASSES_ASLEEP;
    }
}

static mole_slow void start(void)
{
    int none = NO_PURGER;
    if (!cas_acq(&state_a, &none, HAS_PURGER))
        return;
    static const struct mole_thread_job job = {.run = run_purger,
                                               .stack_bytes = (size_t)1 << 17};
    if (mole_thread_start(&job))
        mole_pool_leave_passes(true);
    else
        store_rlx(&state_a,
                  FORBIDDEN); /* no thread to be had: do not ask again and again */
}

void mole_purger_poke(void)
{
    if (unlikely(load_rlx(&state_a) == NO_PURGER) && !mole_thread_is_alone())
        start();
}

void mole_purger_allow(bool is_allowed)
{
    int state = load_rlx(&state_a);
    while (state != HAS_PURGER && (state == FORBIDDEN) == is_allowed &&
           !cas_weak_rlx(&state_a, &state, is_allowed ? NO_PURGER : FORBIDDEN)) {
    }
}

void mole_purger_forget(void)
{
    int expected = HAS_PURGER;
    (void)cas_acq(&state_a, &expected, FORKED);
    mole_pool_leave_passes(false);
}

void mole_purger_expect(void)
{
    int expected = FORKED;
    (void)cas_acq(&state_a, &expected, NO_PURGER);
}
