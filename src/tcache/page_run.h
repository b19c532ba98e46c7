/* SPDX-License-Identifier: MIT */
/*
 * Page runs: runs of one chunk that a cache cuts into spans of 1, 2, 4, 8 or 16 pages.
 * Which pages are free stands in a bitmap of the run; runs with free pages are on the
 * cache's list. Owner only, inside an operation.
 */
#pragma once

#include "tcache/tcache.h"

static inline char *mole_page_run_at(const struct mole_run *run, int page)
{
    return run->base + (size_t)page * MOLE_PAGE;
}

/*
 * Put a run that has free pages on the cache's list: the home run of a new heap, for one.
 */
void mole_page_run_list(struct mole_tcache *cache, struct mole_run *run);

/*
 * `pages` pages in a row, a power of two, from `*page` on in the run that is returned;
 * from the arena if no listed run has them. NULL: no memory.
 */
struct mole_run *mole_page_run_take(struct mole_tcache *cache,
                                    struct mole_pool_slots *slots, uint32_t pages,
                                    int *page) mole_must_check;

/*
 * Give them back. Whether all of the run is free now, and no page of it the cache's any
 * more: the arena is to have it. The heap's home stays.
 */
bool mole_page_run_give(struct mole_tcache *cache, struct mole_run *run, uint32_t pages,
                        int page) mole_must_check;
