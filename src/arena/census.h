/* SPDX-License-Identifier: MIT */
/*
 * Adding up a heap: reads only descriptors and tables, so that blocks on their way
 * between threads do not confuse it. Holds the arena's lock, under which slabs come and
 * go; blocks may be allocated and freed meanwhile, and large blocks too.
 */
#pragma once

#include "arena/heap.h"

struct mole_census {
    size_t live_bytes;      /* requested sizes of live blocks */
    size_t committed_bytes; /* pages of spans */
    size_t reserved_bytes;  /* runs */
};

void mole_census_take(struct mole_heap *heap, struct mole_census *census);
