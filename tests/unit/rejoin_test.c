/* SPDX-License-Identifier: MIT */
#include "arena/rejoin.h"

#include "arena/pool.h"
#include "arena/region.h"
#include "arena/warmth.h"
#include "unit.h"

enum { CHUNKS = 8 };

static struct mole_pool_slots slots;
static struct mole_run *runs[CHUNKS];
static char *base; /* of the chunks the test has */

static struct mole_run *take_run(size_t chunks)
{
    struct mole_run *run = mole_pool_take(NULL, chunks);
    require(run != NULL, "no run of %zu chunks", chunks);
    require(run->chunks == chunks, "a run of %u chunks for %zu", run->chunks, chunks);
    return run;
}

/* The region has so many chunks left, and the pool nothing. */
static void begin(size_t chunks)
{
    stop_passes();
    mole_warmth_missed(1000); /* what is given back stays warm */
    mole_region_shrink(chunks);
}

/* The region is used up by runs of one chunk each, all dirty, all taken. */
static void begin_taken(void)
{
    begin(CHUNKS);
    mole_pool_enlist(&slots);
    for (size_t i = 0; i < CHUNKS; i++) {
        runs[i] = take_run(1);
        memset(runs[i]->base, 0xDD, MOLE_CHUNK);
    }
    base = runs[0]->base;
    require(!mole_pool_take(NULL, 1), "the region has more than %d chunks", CHUNKS);
}

static void give(size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++)
        mole_pool_give(i % 2 ? &slots : NULL, runs[i * 3 % CHUNKS]);
}

Test(rejoin, neighbours_become_one_run)
{
    begin_taken();
    give(0, CHUNKS - 1);
    struct mole_run *run = take_run(CHUNKS);
    require(run->base == base, "it is at %p, not %p", (void *)run->base, (void *)base);
    require(!run->is_zero, "it claims to be zero");
    require(!mole_pool_take(NULL, 1), "one of its chunks was there twice");
    require(is_all(run->base, CHUNKS * MOLE_CHUNK, 0xDD), "its contents are gone");
}

Test(rejoin, runs_with_a_gap_between_them_are_not_joined)
{
    begin_taken();
    for (size_t i = 0; i < CHUNKS; i++)
        if (i != 3)
            mole_pool_give(NULL, runs[i]);
    require(!mole_pool_take(NULL, 5), "five chunks in a row");
    require(take_run(4)->base == base + 4 * MOLE_CHUNK, "not those above the gap");
    require(take_run(3)->base == base, "not those below the gap");
    mole_pool_give(NULL, runs[3]);
    require(take_run(1)->base == base + 3 * MOLE_CHUNK, "not the one between");
}

Test(rejoin, a_joined_run_is_zero_only_if_every_part_is)
{
    for (size_t dirty = 0; dirty <= CHUNKS; dirty++) {
        if (dirty == 0)
            begin_taken();
        for (size_t i = 0; i < CHUNKS; i++)
            if (i != dirty)
                mole_pool_give(NULL, runs[i]);
        (void)mole_pool_purge();
        if (dirty < CHUNKS)
            mole_pool_give(NULL, runs[dirty]);
        struct mole_run *run = take_run(CHUNKS);
        size_t tested = dirty * MOLE_CHUNK;
        require(run->is_zero == (dirty == CHUNKS), "part %zu is dirty: %u", dirty,
                run->is_zero);
        require(is_all(run->base, tested, 0), "a part that was purged is not zero");
        require(dirty == CHUNKS || run->base[tested] == (char)0xDD, "where is the dirt?");
        memset(run->base, 0xDD, CHUNKS * MOLE_CHUNK);
        mole_pool_give(NULL, run);
        for (size_t i = 0; i < CHUNKS; i++)
            runs[i] = take_run(1);
    }
}

Test(rejoin, a_joined_run_stays_warm_as_long_as_its_youngest_part)
{
    begin_taken();
    for (size_t i = 0; i < CHUNKS; i++) {
        if (i == CHUNKS - 1)
            (void)mole_pool_pass();
        mole_pool_give(NULL, runs[i]);
    }
    mole_pool_give(NULL, take_run(CHUNKS)); /* given now: counts as young anyway */
    require(mole_pool_pass() == 1 && mole_pool_purged() == 0, "it was purged too early");
    require(mole_pool_pass() == 0 && mole_pool_purged() == 1, "it was not purged");
}

Test(rejoin, a_larger_run_is_split_and_the_rest_stays)
{
    begin(CHUNKS);
    mole_pool_give(NULL, take_run(CHUNKS));
    struct mole_run *first = take_run(3);
    struct mole_run *second = take_run(4);
    struct mole_run *third = take_run(1);
    require(second->base == mole_run_end(first) && third->base == mole_run_end(second),
            "they are not what the large one was");
    require(!mole_pool_take(NULL, 1), "more chunks than there are");
    require(mole_rejoin_count() <= 1, "it was joined, not split");
}

Test(rejoin, both_parts_of_a_cold_run_are_zero)
{
    begin(CHUNKS);
    struct mole_run *run = take_run(CHUNKS);
    memset(run->base, 0xDD, CHUNKS * MOLE_CHUNK);
    mole_pool_give(NULL, run);
    (void)mole_pool_purge();
    struct mole_run *first = take_run(3), *rest = take_run(5);
    require(first->is_zero && is_all(first->base, 3 * MOLE_CHUNK, 0), "the first is not");
    require(rest->is_zero && is_all(rest->base, 5 * MOLE_CHUNK, 0), "the rest is not");
}

Test(rejoin, a_run_has_no_chunk_too_many)
{
    begin(11);
    struct mole_run *run = take_run(11); /* else 12 */
    mole_pool_give(NULL, run);
    require(take_run(11) == run, "it did not come again");
    require(mole_rejoin_count() == 0, "it had to be looked for");
}

Test(rejoin, among_runs_of_one_bin_those_too_small_stay)
{
    begin(21);
    struct mole_run *small = take_run(10), *large = take_run(11);
    mole_pool_give(NULL, large);
    mole_pool_give(NULL, small);
    require(take_run(11) == large, "not the one of 11");
    require(take_run(10) == small, "the one of 10 is gone");
}

Test(rejoin, fresh_chunks_behind_the_last_run_are_joined_to_it)
{
    begin(10);
    struct mole_run *run = take_run(6);
    char *start = run->base;
    memset(start, 0xDD, 6 * MOLE_CHUNK);
    mole_pool_give(NULL, run);
    run = take_run(9);
    require(run->base == start && !run->is_zero, "it is another");
    require(is_all(start + 6 * MOLE_CHUNK, 3 * MOLE_CHUNK, 0), "fresh ones are not zero");
    require(take_run(1)->base == mole_run_end(run), "the tenth is lost");
    require(!mole_pool_take(NULL, 1), "there was an eleventh");
}

Test(rejoin, nothing_is_joined_or_split_while_there_are_fresh_chunks)
{
    begin(5 * CHUNKS);
    for (size_t i = 0; i < CHUNKS; i++)
        runs[i] = take_run(1);
    for (size_t i = 0; i < CHUNKS; i++)
        mole_pool_give(NULL, runs[i]);
    mole_pool_give(NULL, take_run(3));
    uint64_t locks = mole_lock_count();
    struct mole_run *four = take_run(4);
    for (size_t i = 0; i < CHUNKS; i++)
        (void)take_run(1);
    require(four->is_zero && mole_rejoin_count() == 0, "they were joined");
    require(take_run(3)->chunks == 3, "the run of three was split");
    require(mole_lock_count() == locks, "a lock was taken");
}

Test(rejoin, records_of_joined_runs_are_used_for_split_ones)
{
    begin_taken();
    give(0, CHUNKS - 1);
    mole_pool_give(NULL, take_run(CHUNKS));
    size_t committed = mole_meta_committed(MOLE_META_RECORDS);
    for (size_t times = 0; times < 3000; times++) {
        for (size_t i = 0; i < CHUNKS; i++)
            runs[i] = take_run(1);
        give(0, CHUNKS - 1);
        mole_pool_give(NULL, take_run(CHUNKS));
    }
    require(mole_rejoin_count() >= 3000, "it was joined %zu times only",
            (size_t)mole_rejoin_count());
    require(mole_meta_committed(MOLE_META_RECORDS) == committed,
            "records took %zu bytes more",
            mole_meta_committed(MOLE_META_RECORDS) - committed);
}

Test(rejoin, what_cannot_be_had_is_looked_for_once)
{
    begin_taken();
    for (size_t i = 0; i < CHUNKS; i += 2)
        mole_pool_give(&slots, runs[i]);
    uint64_t before = mole_rejoin_count();
    for (size_t i = 0; i < 100; i++)
        require(!mole_pool_take(NULL, 2 + i % 6), "two chunks in a row");
    require(mole_rejoin_count() == before + 1, "it was looked for %zu times",
            (size_t)(mole_rejoin_count() - before));
    require(load_rlx(&slots.slot_a[0]) == NULL, "nobody looked into the slots");
    mole_pool_give(&slots, runs[1]);
    require(take_run(3)->base == base, "what came back since was not found");
    require(mole_rejoin_count() == before + 2, "it was looked for more than once more");
}

Test(rejoin, less_than_what_failed_is_looked_for_again)
{
    begin_taken();
    give(0, CHUNKS - 1);
    require(!mole_pool_take(NULL, CHUNKS + 1), "more than all");
    uint64_t before = mole_rejoin_count();
    (void)take_run(CHUNKS);
    require(mole_rejoin_count() <= before + 1, "it was looked for twice");
}

Test(rejoin, a_failure_leaves_the_runs_as_they_were)
{
    begin_taken();
    for (size_t i = 0; i < CHUNKS; i++)
        mole_pool_give(NULL, runs[i]);
    require(!mole_pool_take(NULL, CHUNKS + 1), "more than all");
    for (size_t i = 0; i < CHUNKS; i++) {
        struct mole_run *run = take_run(1);
        size_t same = 0;
        for (size_t j = 0; j < CHUNKS; j++)
            same += run == runs[j];
        require(same == 1, "a run of one chunk is another");
    }
}

/* What the process can still do when it has given the rest of its memory back. */
Test(rejoin, heaps_use_what_other_sizes_left)
{
    stop_passes();
    size_t all = (size_t)64 * MIB;
    HANDLE heap = create_heap(0);
    mole_region_shrink(all / MOLE_CHUNK);
    for (size_t bytes = 100; bytes < all; bytes *= 17) {
        size_t count = 0;
        void **list = NULL;
        for (void **block; (block = HeapAlloc(heap, 0, bytes > 8 ? bytes : 8)); count++) {
            *block = list;
            list = block;
        }
        require(count * bytes > all / 2, "only %zu blocks of %zu bytes", count, bytes);
        while (list) {
            void **next = *list;
            require(HeapFree(heap, 0, list), "HeapFree failed");
            list = next;
        }
    }
    require(mole_rejoin_count() > 0, "nothing was joined");
}
