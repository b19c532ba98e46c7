/* SPDX-License-Identifier: MIT */
/*
 * A lock that its owner may acquire again, and that knows whose it is: the one lock of
 * molehill's under which foreign code runs. Kept over fork by the thread that forks.
 */
#pragma once

#include "base/atom.h"
#include "os/thread.h"

struct mole_recursive {
    struct mole_lock lock;

    /*
     * owner_a: mole_thread_serial of who has the lock.
     *   writers  who has it; a fork's child
     *   readers  any: only the owner can find its own number
     *   orders   relaxed: the lock orders
     *   keeps    0 unless the lock is held
     */
    _Atomic(uint64_t) owner_a;
    size_t depth; /* owner only: acquisitions without release */
};

/* One that is static. */
#define MOLE_RECURSIVE     \
    {                      \
        .lock = MOLE_LOCK, \
    }

void mole_recursive_acquire(struct mole_recursive *lock);

/* Acquire the lock if nobody has it, not this thread either. */
bool mole_recursive_try(struct mole_recursive *lock) mole_must_check;

/* True: that was the last one, the lock is anybody's. */
bool mole_recursive_release(struct mole_recursive *lock);

bool mole_recursive_is_mine(const struct mole_recursive *lock);

/* In a fork's child: anybody's, unless it is the calling thread's. */
void mole_recursive_repair(struct mole_recursive *lock);
