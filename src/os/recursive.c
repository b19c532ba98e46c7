/* SPDX-License-Identifier: MIT */
#include "os/recursive.h"

bool mole_recursive_is_mine(const struct mole_recursive *lock)
{
    return load_rlx(&lock->owner_a) == mole_thread_serial();
}

static void own(struct mole_recursive *lock)
{
    store_rlx(&lock->owner_a, mole_thread_serial());
    lock->depth = 1;
}

void mole_recursive_acquire(struct mole_recursive *lock)
{
    if (mole_recursive_is_mine(lock)) {
        lock->depth++;
        return;
    }
    mole_lock_acquire(&lock->lock);
    own(lock);
}

bool mole_recursive_try(struct mole_recursive *lock)
{
    if (mole_recursive_is_mine(lock) || !mole_lock_try(&lock->lock))
        return false;
    own(lock);
    return true;
}

bool mole_recursive_release(struct mole_recursive *lock)
{
    if (--lock->depth)
        return false;
    store_rlx(&lock->owner_a, 0);
    mole_lock_release(&lock->lock);
    return true;
}

void mole_recursive_repair(struct mole_recursive *lock)
{
    if (mole_recursive_is_mine(lock))
        return;
    mole_lock_init(&lock->lock);
    store_rlx(&lock->owner_a, 0);
}
