/* SPDX-License-Identifier: MIT */
#include "arena/region.h"

#include "unit.h"

Test(region, chunks_do_not_overlap)
{
    enum { COUNT = 100 };
    char *taken[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        taken[i] = mole_region_take(i % 4 + 1);
        require(taken[i] != NULL, "no chunks");
        memset(taken[i], (int)i, (i % 4 + 1) * MOLE_CHUNK);
    }
    for (size_t i = 0; i < COUNT; i++)
        require(is_all(taken[i], (i % 4 + 1) * MOLE_CHUNK, (unsigned char)i),
                "chunk %zu was overwritten", i);
}

Test(region, chunks_are_zero_and_aligned)
{
    for (size_t i = 1; i < 50; i++) {
        char *chunk = mole_region_take(i);
        require(chunk && (uintptr_t)chunk % MOLE_CHUNK == 0, "%p", (void *)chunk);
        require(is_all(chunk, i * MOLE_CHUNK, 0), "chunk %zu is not zero", i);
    }
}

Test(region, holds_what_was_handed_out_and_nothing_else)
{
    char *chunk = mole_region_take(2);
    require(chunk != NULL, "no chunks");
    int here = 0;
    require(mole_region_holds(chunk) && mole_region_holds(chunk + 2 * MOLE_CHUNK - 1),
            "it does not hold a chunk it gave");
    require(!mole_region_holds(chunk + 2 * MOLE_CHUNK), "it holds what comes next");
    require(!mole_region_holds(NULL), "it holds address 0");
    require(!mole_region_holds(&here), "it holds the stack");
    require(!mole_region_holds((void *)UINTPTR_MAX), "it holds the last address");
}

Test(region, more_than_it_has_is_refused_and_costs_nothing)
{
    size_t committed = mole_region_committed();
    size_t all = mole_region_reserved() / MOLE_CHUNK;
    require(!mole_region_take(all), "all of it was there, though some was in use");
    require(!mole_region_take(all + 1) && !mole_region_take(SIZE_MAX),
            "more than all was there");
    require(mole_region_committed() == committed, "pages were made usable");
    require(mole_region_take(1) != NULL, "one chunk is not there any more");
}

Test(region, fresh_chunks_are_those_not_handed_out)
{
    size_t before = mole_region_fresh();
    require(mole_region_take(3) != NULL, "no chunks");
    require(mole_region_fresh() == before - 3, "%zu of %zu are left", mole_region_fresh(),
            before);
    mole_region_shrink(5);
    require(mole_region_fresh() == 5 && !mole_region_take(6), "more than five are left");
    require(mole_region_take(5) && mole_region_fresh() == 0, "not all five were there");
}

Test(region, grows_in_steps)
{
    size_t before = mole_region_committed();
    require(mole_region_take(before / MOLE_CHUNK + 1) != NULL, "no chunks");
    require(mole_region_committed() > before, "%zu bytes are usable, as before", before);
    require(mole_region_committed() <= mole_region_reserved(), "more than it reserved");
}

enum { WORKERS = 4, CHUNKS = 300 };

static const char *take_chunks(struct worker *worker)
{
    void **taken = (void **)worker->shared + worker->index * CHUNKS;
    for (size_t i = 0; i < CHUNKS; i++) {
        taken[i] = mole_region_take(1);
        answer_unless(taken[i], "no chunk");
        answer_unless(is_all(taken[i], MOLE_CHUNK, 0), "a chunk is not zero");
        memset(taken[i], 1, 4096);
    }
    return NULL;
}

Test(region, threads_get_different_chunks)
{
    static void *taken[WORKERS * CHUNKS];
    run_workers(WORKERS, take_chunks, taken);
    require(all_distinct(taken, LENGTH(taken)), "two threads got the same chunk");
}
