/* SPDX-License-Identifier: MIT */
#include "arena/gate.h"

#include "arena/mode.h"
#include "base/check.h"
#include "os/barrier.h"

bool mole_gate_is_any_mine(void)
{
    return mole_thread_has_gates();
}

static bool is_owner(const struct mole_gate *gate)
{
    return load_rlx(&gate->owner_a) == mole_thread_serial();
}

/* For a moment by turning round, then by letting others run. */
static void wait_a_little(unsigned *turns)
{
    if (++*turns < 100)
        mole_thread_relax();
    else if (*turns < 200)
        mole_thread_yield();
    else
        mole_thread_sleep_ms(1);
}

/* Every operation that began before the gate was shut has ended. */
static void await_quiet(struct mole_heap *heap)
{
    if (!mole_barrier_all())
        mole_mode_go_fenced();
    uintptr_t self = mole_thread_self();
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next) {
        unsigned turns = 0;
        if (load_rlx(&owner->thread_a) == self)
            continue;
        while (load_acq(&owner->busy_a)) /* HB-GATE-1 */
            wait_a_little(&turns);
    }
    unsigned turns = 0;
    while (load_acq(&heap->gate.uncached_a)) /* HB-GATE-1 */
        wait_a_little(&turns);
    /* Thieves look at the word under this lock (steal.c): the last one has left. */
    mole_arena_enter(&heap->arena);
    mole_arena_leave(&heap->arena);
}

/*
 * Let nobody begin in the heap with this id, whose lock the caller has acquired. False:
 * the heap is gone, and the lock is released.
 */
static bool bar(struct mole_heap *heap, uint64_t id, unsigned modes)
{
    struct mole_gate *gate = &heap->gate;
    if (!mole_mode_change(heap, id, modes, 0)) {
        mole_lock_release(&gate->lock);
        return false;
    }
    store_rlx(&gate->owner_a, mole_thread_serial());
    gate->depth = 1;
    mole_thread_count_gate(1);
    return true;
}

/* The same, and wait for those that are inside. */
static bool shut(struct mole_heap *heap, uint64_t id, unsigned modes)
{
    if (!bar(heap, id, modes))
        return false;
    await_quiet(heap);
    return true;
}

bool mole_gate_close(struct mole_heap *heap)
{
    struct mole_gate *gate = &heap->gate;
    if (is_owner(gate)) {
        gate->depth++;
        return true;
    }
    uint64_t id = mole_heap_id(heap);
    mole_lock_acquire(&gate->lock);
    return shut(heap, id, MOLE_MODE_CLOSED);
}

/* Its owner, who takes the last closing back, lets all in that `modes` kept out. */
static void reopen(struct mole_heap *heap, unsigned modes)
{
    mole_thread_count_gate(-1);
    store_rlx(&heap->gate.owner_a, 0);
    (void)mole_mode_change(heap, mole_heap_id(heap), 0, modes);
    mole_lock_release(&heap->gate.lock);
}

bool mole_gate_open(struct mole_heap *heap)
{
    struct mole_gate *gate = &heap->gate;
    if (!is_owner(gate))
        return false;
    if (--gate->depth == 0)
        reopen(heap, MOLE_MODE_CLOSED);
    return true;
}

void mole_gate_forget(struct mole_heap *heap)
{
    if (unlikely(is_owner(&heap->gate)))
        mole_thread_count_gate(-1);
}

bool mole_gate_stop(struct mole_heap *heap)
{
    if (!mole_gate_close(heap))
        return false;
    (void)mole_mode_change(heap, mole_heap_id(heap), MOLE_MODE_STOPPED, 0);
    await_quiet(heap);
    return true;
}

bool mole_gate_try_stop(struct mole_heap *heap)
{
    struct mole_gate *gate = &heap->gate;
    if (is_owner(gate))
        return mole_gate_stop(heap);
    uint64_t id = mole_heap_id(heap);
    return mole_lock_try(&gate->lock) &&
           shut(heap, id, MOLE_MODE_CLOSED | MOLE_MODE_STOPPED);
}

bool mole_gate_try_pause(struct mole_heap *heap)
{
    uint64_t id = mole_heap_id(heap);
    if (!mole_lock_try(&heap->gate.lock) ||
        !bar(heap, id, MOLE_MODE_CLOSED | MOLE_MODE_STOPPED))
        return false;
    if (mole_barrier_all() || mole_mode_are_fenced())
        return true;
    mole_gate_resume(heap);
    return false;
}

bool mole_gate_has_quiet(struct mole_owner *owner)
{
    return !load_acq(&owner->busy_a); /* HB-GATE-1 */
}

void mole_gate_resume(struct mole_heap *heap)
{
    struct mole_gate *gate = &heap->gate;
    check(is_owner(gate));
    if (--gate->depth == 0)
        reopen(heap, MOLE_MODE_CLOSED | MOLE_MODE_STOPPED);
    else
        (void)mole_mode_change(heap, mole_heap_id(heap), 0, MOLE_MODE_STOPPED);
}

/* What keeps an operation out. */
static unsigned mode_for(bool passes)
{
    return passes ? MOLE_MODE_STOPPED : MOLE_MODE_CLOSED;
}

bool mole_gate_is_shut(struct mole_heap *heap, bool passes)
{
    uint64_t word = load_acq(&heap->word_a); /* HB-GATE-2 */
    if (word & MOLE_MODE_FENCED) {
        fence_seq_cst();
        word = load_acq(&heap->word_a); /* HB-GATE-2 */
    }
    return (word & mode_for(passes)) && !is_owner(&heap->gate);
}

void mole_gate_pass(struct mole_heap *heap, bool passes)
{
    unsigned turns = 0;
    while ((load_rlx(&heap->word_a) & mode_for(passes)) && !is_owner(&heap->gate)) {
        if (passes) { /* the lock may be kept for longer than the stop */
            wait_a_little(&turns);
            continue;
        }
        mole_lock_acquire(&heap->gate.lock);
        mole_lock_release(&heap->gate.lock);
    }
}

void mole_gate_reset(struct mole_heap *heap)
{
    mole_lock_init(&heap->gate.lock);
    store_rlx(&heap->gate.owner_a, 0);
    store_rlx(&heap->gate.uncached_a, 0);
}

void mole_gate_repair(struct mole_heap *heap)
{
    /* Threads that found the gate shut may have vanished before they took theirs back. */
    store_rlx(&heap->gate.uncached_a, 0);
    if (is_owner(&heap->gate))
        return;
    mole_gate_reset(heap);
    (void)mole_mode_change(heap, mole_heap_id(heap), 0,
                           MOLE_MODE_CLOSED | MOLE_MODE_STOPPED);
}
