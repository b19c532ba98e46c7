/* SPDX-License-Identifier: MIT */
/*
 * The two events that count, for a block that is in no sample: inlined, for the usual
 * case of one spy. Anything else goes to spy.c.
 */
#pragma once

#include "os/grace.h"
#include "os/thread.h"
#include "spy/spy.h"

/* What the events look at, for who is not in the core, where these are hidden. */
struct mole_spy_view {
    const struct mole_grace_state *grace;
    const _Atomic(struct mole_set *) *set_a;
    const ptrdiff_t *errno_offset;
};
extern mole_shared const struct mole_spy_view mole_spy_view;

/* The same in the core: the compiler knows what is in it. */
mole_hot const struct mole_spy_view *mole_spy_here(void)
{
    static const struct mole_spy_view here = {&mole_grace_state, &mole_set_a,
                                              &mole_thread_errno_offset};
    return &here;
}

/* The events inside a section that is open: any number of spies, or none. */
mole_slow mole_shared void mole_spy_tell_allocated(const struct mole_set *set,
                                                   struct mole_spied heap, void *block,
                                                   size_t bytes);
mole_slow mole_shared void mole_spy_tell_freed(const struct mole_set *set,
                                               struct mole_spied heap, void *block,
                                               size_t bytes);

/* Whether the only spy there is hears of the scope; a set without such one says no. */
mole_hot bool mole_spy_is_only(const struct mole_set_entry *only, uint64_t scope)
{
    return likely(only->scope == MOLE_SPY_EVERYWHERE || only->scope == scope);
}

/* Make one callback. The section it is in is the thread's outermost. */
mole_hot void mole_spy_call(const struct mole_spy_view *view,
                            const struct mole_set_entry *entry,
                            void (*tell)(void *, void *, void *, size_t), void *name,
                            void *block, size_t bytes)
{
    int saved = *mole_thread_errno_at(*view->errno_offset);
    mole_grace_thread.frames = &entry->frame;
    tell(entry->spy.context, name, block, bytes);
    mole_grace_thread.frames = NULL;
    /* No store if it changes nothing: the next call would have to wait for it. */
    int *error = mole_thread_errno_at(*view->errno_offset); /* again: registers are few */
    if (unlikely(*error != saved))
        *error = saved;
}

mole_hot void mole_spy_allocated_fast(const struct mole_spy_view *view,
                                      struct mole_spied heap, void *block, size_t bytes)
{
    struct mole_grace_reader *reader = mole_grace_enter_fast(view->grace);
    if (unlikely(!reader)) {
        mole_spy_allocated(heap, block, bytes, MOLE_SPY_NO_MARK);
        return;
    }
    const struct mole_set *set = load_acq(view->set_a); /* HB-SET-1 */
    const struct mole_set_entry *only = set->only;
    if (mole_spy_is_only(only, heap.scope))
        mole_spy_call(view, only, only->spy.allocated, heap.name, block, bytes);
    else
        mole_spy_tell_allocated(set, heap, block, bytes);
    mole_grace_leave_fast(reader);
}

mole_hot void mole_spy_freed_fast(const struct mole_spy_view *view,
                                  struct mole_spied heap, void *block, size_t bytes)
{
    struct mole_grace_reader *reader = mole_grace_enter_fast(view->grace);
    if (unlikely(!reader)) {
        mole_spy_freed(heap, block, bytes, MOLE_SPY_NO_MARK);
        return;
    }
    const struct mole_set *set = load_acq(view->set_a); /* HB-SET-1 */
    const struct mole_set_entry *only = set->only;
    if (mole_spy_is_only(only, heap.scope))
        mole_spy_call(view, only, only->spy.freed, heap.name, block, bytes);
    else
        mole_spy_tell_freed(set, heap, block, bytes);
    mole_grace_leave_fast(reader);
}
