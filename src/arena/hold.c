/* SPDX-License-Identifier: MIT */
#include "arena/hold.h"

#include "base/atom.h"
#include "os/thread.h"

/*
 * is_held_a: somebody goes through heaps that are not its own.
 *   writers  who holds the lock; a fork's child
 *   readers  await
 *   orders   set between fences: HB-HOLD-1; cleared release, load acquire: HB-HOLD-2
 *   keeps    false while the lock is free
 */
static _Atomic(bool) is_held_a;
static struct mole_lock lock = MOLE_LOCK;

static void begin(void)
{
    store_rlx(&is_held_a, true);
    fence_seq_cst(); /* HB-HOLD-1 */
}

void mole_hold_begin(void)
{
    mole_lock_acquire(&lock);
    begin();
}

bool mole_hold_try(void)
{
    if (!mole_lock_try(&lock))
        return false;
    begin();
    return true;
}

void mole_hold_end(void)
{
    store_rel(&is_held_a, false); /* HB-HOLD-2 */
    mole_lock_release(&lock);
}

void mole_hold_await(void)
{
    fence_seq_cst();                      /* HB-HOLD-1 */
    if (unlikely(load_acq(&is_held_a))) { /* HB-HOLD-2 */
        mole_lock_acquire(&lock);
        mole_lock_release(&lock);
    }
}

void mole_hold_repair(void)
{
    mole_lock_init(&lock);
    store_rlx(&is_held_a, false);
}
