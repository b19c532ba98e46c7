/* SPDX-License-Identifier: MIT */
#include "arena/pool.h"

#include "arena/warmth.h"
#include "os/pages.h"
#include "unit.h"

enum { CHUNKS = 6, BYTES = CHUNKS * MOLE_CHUNK };

static struct mole_pool_slots slots;

static struct mole_run *take_run(size_t chunks)
{
    struct mole_run *run = mole_pool_take(NULL, chunks);
    require(run != NULL, "no run of %zu chunks", chunks);
    require(run->chunks >= chunks, "a run of %u chunks for %zu", run->chunks, chunks);
    return run;
}

/*
 * Nobody else makes passes, nothing is in the pool that could come instead, and what the
 * tests give back may stay warm.
 */
static void begin(void)
{
    stop_passes();
    mole_warmth_missed(1000);
    for (size_t chunks = 1; chunks <= CHUNKS + 2; chunks++)
        while (!take_run(chunks)->is_zero) {
        }
}

static struct mole_run *dirty_run(size_t chunks)
{
    struct mole_run *run = take_run(chunks);
    memset(run->base, 0xDD, run->chunks * (size_t)MOLE_CHUNK);
    return run;
}

Test(pool, round_never_falls_and_is_at_least_the_request)
{
    size_t before = 0;
    for (size_t chunks = 1; chunks < 200000; chunks += 1 + chunks / 100) {
        size_t round = mole_pool_round(chunks);
        require(round >= chunks, "%zu chunks become %zu", chunks, round);
        require(round >= before, "%zu chunks become %zu, fewer ones %zu", chunks, round,
                before);
        require(mole_pool_round(round) == round, "%zu chunks become %zu, and more again",
                chunks, round);
        before = round;
    }
}

Test(pool, round_adds_at_most_a_quarter)
{
    for (size_t chunks = 1; chunks < 100000; chunks++)
        require(4 * mole_pool_round(chunks) <= 5 * chunks + 4, "%zu chunks become %zu",
                chunks, mole_pool_round(chunks));
    for (size_t chunks = 1; chunks <= 8; chunks++)
        require(mole_pool_round(chunks) == chunks, "%zu chunks become %zu", chunks,
                mole_pool_round(chunks));
}

Test(pool, a_new_run_reads_as_zero_and_says_so)
{
    begin();
    struct mole_run *run = take_run(CHUNKS);
    require(run->is_zero && is_all(run->base, BYTES, 0), "it does not");
}

Test(pool, a_run_that_was_given_comes_again_and_keeps_its_contents)
{
    begin();
    struct mole_run *run = dirty_run(CHUNKS);
    mole_pool_give(NULL, run);
    require(take_run(CHUNKS) == run, "another run");
    require(!run->is_zero, "it claims to be zero");
    require(is_all(run->base, BYTES, 0xDD), "its contents are gone");
}

Test(pool, a_run_one_size_larger_comes_before_new_memory)
{
    begin();
    struct mole_run *run = dirty_run(CHUNKS);
    mole_pool_give(NULL, run);
    require(take_run(CHUNKS - 1) == run, "another run");
}

Test(pool, warm_runs_come_before_cold_ones)
{
    begin();
    struct mole_run *cold = dirty_run(CHUNKS), *warm = dirty_run(CHUNKS);
    mole_pool_give(NULL, cold);
    require(mole_pool_purge() >= 1, "nothing was purged");
    mole_pool_give(NULL, warm);
    require(take_run(CHUNKS) == warm, "not the warm one first");
    require(take_run(CHUNKS) == cold, "not the cold one then");
}

Test(pool, a_purged_run_reads_as_zero_and_says_so)
{
    begin();
    struct mole_run *run = dirty_run(CHUNKS);
    mole_pool_give(NULL, run);
    uint64_t before = mole_pool_purged();
    require(mole_pool_purge() == 1, "not one run was purged");
    require(mole_pool_purged() == before + 1, "it was not counted");
    require(take_run(CHUNKS) == run, "another run");
    require(run->is_zero && is_all(run->base, BYTES, 0), "it is not zero");
}

Test(pool, one_pass_keeps_a_run_warm_and_two_make_it_cold)
{
    begin();
    struct mole_run *run = dirty_run(CHUNKS);
    mole_pool_give(NULL, run);
    uint64_t before = mole_pool_purged();
    require(mole_pool_pass() == 1, "it is not warm after one pass");
    require(mole_pool_purged() == before, "one pass purged it");
    require(run->base[0] == (char)0xDD, "one pass dropped its contents");
    require(mole_pool_pass() == 0, "it is warm after two passes");
    require(mole_pool_purged() == before + 1, "two passes did not purge it");
    require(take_run(CHUNKS) == run && run->is_zero && is_all(run->base, BYTES, 0),
            "it is not zero");
}

Test(pool, passes_leave_the_younger_run)
{
    begin();
    struct mole_run *old = dirty_run(CHUNKS), *young = dirty_run(CHUNKS);
    mole_pool_give(NULL, old);
    (void)mole_pool_pass();
    mole_pool_give(NULL, young);
    require(mole_pool_pass() == 1, "not one run is warm");
    require(take_run(CHUNKS) == young && young->base[0] == (char)0xDD, "not the younger");
    require(take_run(CHUNKS) == old && old->base[0] == 0, "the older one is not cold");
}

Test(pool, a_run_that_the_system_does_not_purge_stays_warm)
{
    begin();
    struct mole_run *run = dirty_run(CHUNKS);
    mole_pool_give(NULL, run);
    mole_pages_inject(1, true);
    require(mole_pool_purge() == 0, "it was purged all the same");
    mole_pages_inject(0, false);
    require(take_run(CHUNKS) == run && !run->is_zero, "it is not there, or called zero");
    require(is_all(run->base, BYTES, 0xDD), "its contents are gone");
}

Test(pool, a_slot_gives_its_thread_the_run_again)
{
    begin();
    mole_pool_enlist(&slots);
    struct mole_run *run = dirty_run(1);
    mole_pool_give(&slots, run);
    require(load_rlx(&slots.slot_a[0]) == run, "it is in no slot");
    require(take_run(1) != run, "another thread got it");
    require(mole_pool_take(&slots, 1) == run, "its thread did not get it");
    require(!load_rlx(&slots.slot_a[0]), "it is still in its slot");
}

Test(pool, slots_hold_one_chunk_runs_only)
{
    begin();
    struct mole_run *run = dirty_run(2);
    mole_pool_give(&slots, run);
    require(!load_rlx(&slots.slot_a[0]), "a run of two chunks is in a slot");
    require(take_run(2) == run, "it is nowhere");
}

Test(pool, what_does_not_fit_the_slots_is_everybodys)
{
    begin();
    struct mole_run *runs[MOLE_POOL_SLOTS + 1];
    for (size_t i = 0; i < LENGTH(runs); i++)
        runs[i] = dirty_run(1);
    for (size_t i = 0; i < LENGTH(runs); i++)
        mole_pool_give(&slots, runs[i]);
    require(take_run(1) == runs[MOLE_POOL_SLOTS], "the one too many was not there");
}

Test(pool, drain_empties_the_slots_for_everybody)
{
    begin();
    struct mole_run *run = dirty_run(1);
    mole_pool_give(&slots, run);
    mole_pool_drain(&slots);
    require(!load_rlx(&slots.slot_a[0]), "a run is in a slot");
    require(take_run(1) == run, "it is nowhere");
}

Test(pool, passes_empty_slots_that_are_not_used)
{
    begin();
    mole_pool_enlist(&slots);
    struct mole_run *run = dirty_run(1);
    mole_pool_give(&slots, run);
    require(mole_pool_pass() >= 1 && load_rlx(&slots.slot_a[0]) == run,
            "the first pass emptied a slot just filled");
    (void)mole_pool_pass();
    require(!load_rlx(&slots.slot_a[0]), "the second pass left it");
    (void)mole_pool_pass();
    require(take_run(1) == run && run->is_zero, "it was not purged");
}

Test(pool, a_run_that_cannot_be_is_refused)
{
    require(!mole_pool_take(NULL, (size_t)1 << 40), "2^40 chunks");
    require(!mole_pool_take(NULL, SIZE_MAX / MOLE_CHUNK), "all chunks there are");
}

Test(pool, tells_once_whether_it_was_fed)
{
    stop_passes();
    (void)mole_pool_was_fed();
    require(!mole_pool_was_fed(), "it was fed by nobody");
    mole_pool_give(NULL, take_run(CHUNKS));
    require(mole_pool_was_fed(), "it did not notice");
    require(!mole_pool_was_fed(), "it tells twice");
}
