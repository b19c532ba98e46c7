/* SPDX-License-Identifier: MIT */
/*
 * A cache's empties: empty slabs that it keeps, by class, for the next time it needs
 * one. Making a slab and giving it back costs as much as some fifty allocations, and
 * programs that allocate and free in turn would do so over and over. Owner only, inside
 * an operation.
 *
 * An owner who frees the last block himself may keep more than one to whom others give
 * back, unless the program shrinks (warmth.h). What is more than a few pages and lies
 * unused from one sweep to the next goes back.
 */
#pragma once

#include "tcache/tcache.h"

/* What all of a cache have: always at most, and at most of its owner's own frees. */
enum { MOLE_EMPTY_PAGES = 64, MOLE_EMPTY_MOST = 1024 };

/*
 * Keep a slab that is empty, quiet and in no list; `is_own`: the owner freed its last
 * block. False: there is no room for it.
 */
bool mole_empties_put(struct mole_tcache *cache, struct mole_span *span, bool is_own)
    mole_must_check;

/* One of the class, or NULL. */
struct mole_span *mole_empties_take(struct mole_tcache *cache, unsigned class);

/* A sweep begins: if there are more than a few that nobody took, all go back. */
void mole_empties_sweep(struct mole_tcache *cache);

/* Give all of them back. Returns whether there were any. */
bool mole_empties_drop(struct mole_tcache *cache, struct mole_pool_slots *slots);
