/* SPDX-License-Identifier: MIT */
/*
 * Caches in a fork's child whose threads vanished in the middle of an operation. What
 * they had in hand is torn; what is free and what is live is told by the tables alone.
 */
#pragma once

#include "tcache/tcache.h"

/*
 * Make the caches of a heap that are marked torn whole again from their tables, and
 * orphans. In a fork's child, before it has a second thread.
 */
void mole_rebuild_torn(struct mole_heap *heap, struct mole_pool_slots *slots);
