/* SPDX-License-Identifier: MIT */
#include "arena/warmth.h"

#include "arena/bins.h"

/*
 * extra_a: what the limit is above the least, in chunks.
 *   writers  mole_warmth_missed, mole_warmth_pass
 *   readers  mole_warmth_allows
 *   orders   relaxed: a run purged too much or too few is no error
 *   keeps    nothing: a pass may undo a rise at the same time
 *
 * is_full_a: see mole_warmth_is_full.
 *   writers  mole_warmth_allows
 *   readers  mole_warmth_is_full
 *   orders   relaxed: likewise
 *   keeps    nothing
 */
static _Atomic(size_t) extra_a;
static _Atomic(bool) is_full_a;

void mole_warmth_missed(size_t chunks)
{
    add_rlx(&extra_a, 2 * chunks);
}

bool mole_warmth_allows(size_t chunks)
{
    size_t limit = load_rlx(&extra_a) + MOLE_WARMTH_LEAST;
    bool is_full = mole_bins_warm_chunks() + chunks > limit;
    if (load_rlx(&is_full_a) != is_full)
        store_rlx(&is_full_a, is_full);
    return !is_full;
}

bool mole_warmth_is_full(void)
{
    return load_rlx(&is_full_a);
}

void mole_warmth_pass(void)
{
    size_t extra = load_rlx(&extra_a);
    store_rlx(&extra_a, extra - (extra + 31) / 32);
}
