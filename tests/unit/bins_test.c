/* SPDX-License-Identifier: MIT */
#include "arena/bins.h"

#include "unit.h"

Test(bins, a_run_is_in_the_last_bin_it_is_large_enough_for)
{
    for (size_t chunks = 1; chunks < 200000; chunks += 1 + chunks / 1000) {
        unsigned bin = mole_bins_of(chunks);
        require(mole_bins_chunks(bin) <= chunks, "%zu chunks are in bin %u", chunks, bin);
        require(mole_bins_chunks(bin + 1) > chunks, "%zu chunks are in bin %u", chunks,
                bin);
    }
}

Test(bins, a_request_looks_in_the_first_bin_of_which_all_will_do)
{
    for (size_t chunks = 1; chunks < 200000; chunks += 1 + chunks / 1000) {
        unsigned bin = mole_bins_for(chunks);
        require(mole_bins_chunks(bin) >= chunks, "%zu chunks from bin %u", chunks, bin);
        require(bin == 0 || mole_bins_chunks(bin - 1) < chunks, "%zu chunks from bin %u",
                chunks, bin);
    }
}

Test(bins, the_most_chunks_there_can_be_have_a_bin)
{
    require(mole_bins_for((size_t)1 << 24) < MOLE_BINS, "1 TiB has none");
    require(mole_bins_for(SIZE_MAX / MOLE_CHUNK) >= MOLE_BINS, "2^48 chunks have one");
}

Test(bins, push_goes_by_size_and_by_whether_it_is_zero)
{
    stop_passes();
    struct mole_run *run = mole_run_create(11);
    require(run != NULL, "no run");
    unsigned bin = mole_bins_for(10);
    mole_bins_push(run);
    require(!mole_bins_pop_warm(bin), "a run of zeros is warm");
    require(mole_bins_pop_cold(bin) == run, "it is not with those of 10");
    run->is_zero = 0;
    mole_bins_push(run);
    require(!mole_bins_pop_cold(bin), "a dirty run is cold");
    require(mole_bins_pop_warm(bin) == run, "it is not with those of 10");
}

Test(bins, chunks_in_the_warm_stacks_are_counted)
{
    stop_passes();
    size_t before = mole_bins_warm_chunks();
    struct mole_run *run = mole_run_create(11);
    require(run != NULL, "no run");
    mole_bins_push(run);
    require(mole_bins_warm_chunks() == before, "cold ones are counted");
    require(mole_bins_pop_cold(mole_bins_for(10)) == run, "it is not there");
    run->is_zero = 0;
    mole_bins_push(run);
    require(mole_bins_warm_chunks() == before + 11, "they are not");
    require(mole_bins_pop_warm(mole_bins_for(10)) == run, "it is not there");
    require(mole_bins_warm_chunks() == before, "popped ones still are");
}
