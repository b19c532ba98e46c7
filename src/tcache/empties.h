/* SPDX-License-Identifier: MIT */
/*
 * A cache's empties: empty slabs that it keeps, by class, for the next time it needs
 * one. Making a slab and giving it back costs as much as some fifty allocations, and
 * programs that allocate and free in turn would do so over and over. Owner only, inside
 * an operation.
 */
#pragma once

#include "tcache/tcache.h"

/* What all of a cache have at most. */
enum { MOLE_EMPTY_PAGES = 64 };

/* Keep a slab that is empty, quiet and in no list. False: there is no room for it. */
bool mole_empties_put(struct mole_tcache *cache, struct mole_span *span) mole_must_check;

/* One of the class, or NULL. */
struct mole_span *mole_empties_take(struct mole_tcache *cache, unsigned class);

/* Give all of them back. Returns whether there were any. */
bool mole_empties_drop(struct mole_tcache *cache, struct mole_pool_slots *slots);
