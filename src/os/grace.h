/* SPDX-License-Identifier: MIT */
/*
 * Read-side sections and grace periods: mole_grace_wait returns when every section that
 * was open at the call has been closed. Sections nest; opening and closing them never
 * waits.
 *
 * Grace periods are liburcu's (flavour bp). It is loaded by mole_grace_prepare, before
 * the first section, and not linked: where the system denies part of membarrier its
 * constructor ends the process. There, in threads that are ending, in the children of
 * forks, in static programs, and under ThreadSanitizer, which does not see into liburcu,
 * sections are counted instead: that takes longer, and threads meet in the counters.
 *
 * Of liburcu's the read side is repeated here, so that it can be inlined: a thread's
 * reader is one word, how many sections it has open and in which period the first of them
 * began.
 *
 *  label       release side                  acquire side           makes visible
 *  HB-GRACE-1  leave: subtract, or the word  wait: load of it       what the section did
 *  HB-GRACE-2  wait: swap of phase_a, fence  enter: add, fence      see mole_grace_wait
 */
#pragma once

#include "base/atom.h"
#include "base/attr.h"

/* The head of liburcu's record of a thread. */
struct mole_grace_reader {
    /*
     * open_a: sections open, and the period in which the first of them began.
     *   writers  the thread
     *   readers  liburcu's grace periods
     *   orders   liburcu's: a membarrier on the other side, or a fence on this one;
     *            HB-GRACE-1
     *   keeps    what liburcu expects of it
     */
    _Atomic(unsigned long) open_a;
};

/* A section that is open. */
struct mole_grace {
    struct mole_grace_reader *reader; /* NULL: it is counted */
    unsigned phase;                   /* where */
};

/*
 * A thread's first sections are counted as well: who first comes in its very last
 * destructor could not be taken out of liburcu's list again.
 */
enum { MOLE_GRACE_VISITS = 32 };

/* The low half of open_a: how many sections. */
#define MOLE_GRACE_NESTING ((1UL << (sizeof(long) * 4)) - 1)

/* What readers need to know. */
struct mole_grace_state {
    /*
     * period_a: what a reader is set to when its first section opens.
     *   writers  liburcu's grace periods
     *   readers  enter
     *   orders   liburcu's
     *   keeps    its low half is 1
     */
    const _Atomic(unsigned long) *period_a; /* const after mole_grace_prepare */

    /*
     * is_fenced_a: readers have to have a fence.
     *   writers  mole_grace_wait, when membarrier turns out to be denied
     *   readers  enter, leave
     *   orders   relaxed: what is under way then is drained
     *   keeps    never false again
     */
    _Atomic(bool) is_fenced_a;
};
extern mole_own struct mole_grace_state mole_grace_state;

/* What sections and callbacks need of the thread: together, to be found at once. */
struct mole_grace_thread {
    /* Where liburcu notes the thread's reader; NULL is noted there when it has none. */
    struct mole_grace_reader **place;
    const struct mole_set_frame *frames; /* spy/spy.c's: the callbacks it is in */
};
extern mole_shared _Thread_local struct mole_grace_thread mole_grace_thread
    __attribute__((tls_model("initial-exec")));

/*
 * Before the first section of the process, outside of any operation: loads and allocates.
 */
void mole_grace_prepare(void);

/*
 * One of the calling thread's sections may allocate: have that now, before it takes a
 * lock that callbacks may want, too, and has sections under it.
 */
void mole_grace_introduce(void);

mole_slow struct mole_grace mole_grace_enter_slow(void);
mole_slow void mole_grace_leave_slow(struct mole_grace section);

/*
 * Open a section, if that is as easy as it mostly is: the thread is in no other, and has
 * a reader. Else NULL, and none is open.
 */
mole_hot struct mole_grace_reader *
mole_grace_enter_fast(const struct mole_grace_state *state)
{
    struct mole_grace_reader *reader = *mole_grace_thread.place;
    if (unlikely(!reader || load_rlx_folded(&reader->open_a) & MOLE_GRACE_NESTING))
        return NULL;
    store_rlx(&reader->open_a, load_rlx(state->period_a));
    fence_compiler();
    if (unlikely(load_rlx_folded(&state->is_fenced_a)))
        fence_seq_cst();
    return reader;
}

/* Close a section that mole_grace_enter_fast opened: it is the outermost. */
mole_hot void mole_grace_leave_fast(struct mole_grace_reader *reader)
{
    store_rel(&reader->open_a, 0); /* HB-GRACE-1 */
}

mole_hot struct mole_grace mole_grace_enter(void)
{
    struct mole_grace_reader *reader = mole_grace_enter_fast(&mole_grace_state);
    if (unlikely(!reader))
        return mole_grace_enter_slow();
    return (struct mole_grace){.reader = reader};
}

mole_hot void mole_grace_leave(struct mole_grace section)
{
    if (unlikely(!section.reader))
        mole_grace_leave_slow(section);
    else
        store_rel(&section.reader->open_a, /* HB-GRACE-1 */
                  load_rlx(&section.reader->open_a) - 1);
}

/* Whether the calling thread is inside a section; then it must not wait. */
bool mole_grace_is_inside(void);

void mole_grace_wait(void);

/* The calling thread is ending: from now on its sections are counted. */
void mole_grace_end_thread(void);

/* In a fork's child: sections of vanished threads are closed. */
void mole_grace_repair(void);
