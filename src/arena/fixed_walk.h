/* SPDX-License-Identifier: MIT */
/*
 * Going through a fixed-size heap from end to end: for HeapWalk, HeapSummary, HeapCompact
 * and HeapValidate. The arena's lock is held. What is in caches counts as free; unless
 * the gate is shut it comes and goes meanwhile, and what is found may not be all.
 */
#pragma once

#include "arena/census.h"
#include "arena/fixed.h"
#include "arena/walk.h"

/* The first entry behind the heap's page, and the one after that at `after`. */
enum mole_walk_result mole_fixed_walk_first(const struct mole_fixed *fixed,
                                            struct mole_walk_entry *entry);
enum mole_walk_result mole_fixed_walk_next(const struct mole_fixed *fixed,
                                           const void *after,
                                           struct mole_walk_entry *entry);

/*
 * Granules of what begins there, a live block or a free extent; else of a block in a
 * cache, 1, to be followed by others up to the next thing that begins.
 */
size_t mole_fixed_walk_length(const struct mole_fixed *fixed, size_t granule);

/*
 * Whether an address in the memory, where no live block starts, is that of a granule that
 * is free and was used before.
 */
bool mole_fixed_walk_is_free(const struct mole_fixed *fixed, const void *address);

/* The heap's memory, as mole_walk_add_slabs tells of it. */
void mole_fixed_walk_add(const struct mole_fixed *fixed, struct mole_walk_slabs *slabs);

/* Bytes of the longest free extent; 0: there is none. */
size_t mole_fixed_walk_largest_free(const struct mole_fixed *fixed);

void mole_fixed_walk_census(const struct mole_fixed *fixed, struct mole_census *census);

/*
 * Whether table and sets say the same, and nothing else; `is_quiet`: nobody is inside of
 * the heap, so it must be so in every entry, and in what guards
 * blocks.
 */
bool mole_fixed_walk_is_right(const struct mole_fixed *fixed, bool is_quiet);
