/* SPDX-License-Identifier: MIT */
/*
 * Which heaps are watched: their modes (arena/heap.h) follow what the attached spies want
 * to hear of. Each change of the spies is made here, one at a time, and has reached all
 * heaps when the call returns; operations under way meanwhile may see either.
 *
 * HB-MODE-1 lets a heap that is being made meanwhile see it too.
 */
#pragma once

#include "spy/spy.h"

struct mole_heap;

/* 0, MH_ATTACHED or MH_NO_MEMORY. `scope`: a heap's id, or MOLE_SPY_... */
int mole_modes_attach(const struct mh_spy *spy, uint64_t scope);

/* 0 or MH_DETACHED. Callbacks under way are not waited for: mole_set_settle. */
int mole_modes_detach(const struct mh_spy *spy);

/*
 * From now on `wants()` says whether the process heap is to be watched whatever spies are
 * attached; to be called again whenever its answer changes. It waits for nothing.
 */
void mole_modes_ask(bool (*wants)(void));
