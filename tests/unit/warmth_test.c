/* SPDX-License-Identifier: MIT */
#include "arena/warmth.h"

#include "arena/pool.h"
#include "unit.h"

enum { CHUNKS = 2 * MOLE_WARMTH_LEAST, BYTES = CHUNKS * MOLE_CHUNK };

static struct mole_run *dirty_run(void)
{
    struct mole_run *run = mole_pool_take(NULL, CHUNKS);
    require(run != NULL, "no run");
    memset(run->base, 0xDD, BYTES);
    return run;
}

Test(warmth, what_nobody_asked_for_again_is_purged_when_it_is_given_back)
{
    stop_passes();
    struct mole_run *run = dirty_run();
    uint64_t before = mole_pool_purged();
    mole_pool_give(NULL, run);
    require(mole_pool_purged() == before + 1, "it stays");
    require(mole_warmth_is_full(), "nobody knows");
    require(is_all(run->base, BYTES, 0), "it was not purged");
}

Test(warmth, what_was_missed_once_may_stay)
{
    stop_passes();
    struct mole_run *run = dirty_run();
    mole_pool_give(NULL, run);
    require(dirty_run() == run, "another run");
    uint64_t before = mole_pool_purged();
    mole_pool_give(NULL, run);
    require(mole_pool_purged() == before, "it was purged");
    require(!mole_warmth_is_full(), "there is said to be too much");
    require(mole_pool_take(NULL, CHUNKS) == run, "another run");
    require(is_all(run->base, BYTES, 0xDD), "its contents are gone");
}

Test(warmth, a_little_may_stay_always)
{
    require(mole_warmth_allows(MOLE_WARMTH_LEAST), "the least is too much");
    require(!mole_warmth_allows(MOLE_WARMTH_LEAST + 1), "more than the least is not");
}

Test(warmth, passes_make_it_forget)
{
    mole_warmth_missed(1000);
    require(mole_warmth_allows(1000), "what was missed is too much");
    for (int i = 0; i < 1000; i++)
        mole_warmth_pass();
    require(!mole_warmth_allows(MOLE_WARMTH_LEAST + 1), "it remembers for ever");
    require(mole_warmth_allows(MOLE_WARMTH_LEAST), "the least went, too");
}
