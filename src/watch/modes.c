/* SPDX-License-Identifier: MIT */
#include "watch/modes.h"

#include "arena/hold.h"
#include "arena/mode.h"
#include "os/grace.h"
#include "tcache/process.h"

static struct mole_lock lock = MOLE_LOCK;
static bool (*process_heap_is_wanted)(void); /* under lock */

static unsigned modes_for(unsigned wants)
{
    return (wants & MOLE_SPY_WANTS_ALL ? (unsigned)MOLE_MODE_SPIED : 0) |
           (wants & MOLE_SPY_WANTS_SAMPLE ? (unsigned)MOLE_MODE_SAMPLED : 0) |
           (wants & MOLE_SPY_WANTS_ASKING ? (unsigned)MOLE_MODE_ASKED : 0);
}

/* The modes that the heap with this id should have. Under lock. */
static unsigned modes_of(const struct mole_heap *heap, uint64_t id)
{
    if (heap == mole_process_malloc_heap())
        id = MOLE_SPY_ON_MALLOC;
    unsigned modes = modes_for(mole_spy_wants(id));
    if (heap == mole_process_heap() && process_heap_is_wanted && process_heap_is_wanted())
        modes |= MOLE_MODE_SPIED | MOLE_MODE_RECORDED;
    return modes;
}

/* Under lock. */
static void update(struct mole_heap *heap)
{
    uint64_t id = mole_heap_id(heap);
    unsigned modes = modes_of(heap, id);
    if (id && modes != (mole_mode_of(heap) & MOLE_MODE_WATCHED))
        (void)mole_mode_change(heap, id, modes, MOLE_MODE_WATCHED & ~modes);
}

/* Under lock. */
static void update_all(void)
{
    unsigned modes = modes_for(mole_spy_wants(MOLE_SPY_EVERYWHERE));
    mole_hold_begin();
    mole_mode_change_to_come(modes, MOLE_MODE_WATCHED & ~modes);
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        update(heap);
    mole_hold_end();
}

/* In a fork's child, which may have come in the middle of a change. */
static void repair(void)
{
    mole_lock_init(&lock);
    mole_spy_repair();
    mole_lock_acquire(&lock);
    update_all();
    mole_lock_release(&lock);
}

/* Acquire the lock, under which nothing calls foreign code. */
static void begin(void)
{
    mole_grace_prepare();
    mole_grace_introduce();
    mole_process_call_in_child(repair);
    mole_lock_acquire(&lock);
}

int mole_modes_attach(const struct mh_spy *spy, uint64_t scope)
{
    begin();
    int result = mole_set_add(spy, scope);
    if (result == 0)
        update_all();
    mole_lock_release(&lock);
    return result;
}

int mole_modes_detach(const struct mh_spy *spy)
{
    if (mole_set_is_empty())
        return MH_DETACHED;
    begin();
    int result = mole_set_remove(spy);
    if (result == 0)
        update_all();
    mole_lock_release(&lock);
    return result;
}

void mole_modes_ask(bool (*wants)(void))
{
    begin();
    process_heap_is_wanted = wants;
    update(mole_process_heap());
    mole_lock_release(&lock);
}
