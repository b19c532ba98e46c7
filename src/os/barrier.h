/* SPDX-License-Identifier: MIT */
/*
 * A memory barrier in all threads of the process at once, made by one of them: what lets
 * a fast path do without a fence of its own.
 */
#pragma once

#include "base/attr.h"

/*
 * Each thread that runs passes a full barrier between the call and its return. False: the
 * system denies that (membarrier), from now on and for good.
 */
bool mole_barrier_all(void) mole_must_check;

/*
 * Wait until whatever the other threads did before the call is to be seen, without the
 * system's help: slowly. For the one time at which mole_barrier_all turns out to be
 * denied.
 */
void mole_barrier_drain(void);
