/* SPDX-License-Identifier: MIT */
/*
 * Wiping: making a cache whose heap is at rest (rest.h) as if nothing had ever been
 * allocated from it. Slabs of the home run that are current stay, with all blocks free;
 * what a wipe costs does not depend on how many blocks there were, but for a page's worth
 * a slab.
 */
#pragma once

#include "tcache/tcache.h"

/*
 * Wipe the cache, which is the heap's only one by now. Returns how many blocks were freed
 * through it. The calling thread owns it, and the heap is at rest.
 */
uint64_t mole_wipe_cache(struct mole_tcache *cache, struct mole_pool_slots *slots);
