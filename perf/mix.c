/* SPDX-License-Identifier: MIT */
/*
 * A local mix on every lane, as a server's worker has it: many small blocks, some of a
 * kilobyte, few of up to 16, most of them gone soon and some kept long. Each lane has
 * `live` slots; an op frees what is in one and puts a new block there; 7 of 8 ops stay
 * among the lane's first 64 slots, so that these blocks are young.
 */
#include "harness.h"
#include "target.h"

#define YOUNG 64u

static struct perf_sizes small, middle, big;
static uint64_t live;
static void **slots;
static struct perf_random *randoms;

static void setup(void)
{
    perf_sizes_draw(&small, 8, 128, false);
    perf_sizes_draw(&middle, 129, 1024, false);
    perf_sizes_draw(&big, 1025, 16384, true);
    perf_show_bytes(8, 16384);
    live = perf_option("live", 1024);
    if (live <= YOUNG)
        perf_die("mix: more than 64 live slots are wanted");
    slots = perf_pages(perf_lanes() * live * sizeof *slots);
    randoms = perf_pages(perf_lanes() * sizeof *randoms);
    for (unsigned lane = 0; lane < perf_lanes(); lane++)
        perf_random_seed(&randoms[lane], lane);
}

/* 27 of 32 small, 4 middle, 1 big. */
static size_t draw_size(uint64_t draw)
{
    unsigned kind = draw % 32;
    const struct perf_sizes *sizes = kind < 27 ? &small : kind < 31 ? &middle : &big;
    return perf_size(sizes, draw >> 5);
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void **mine = slots + lane * live;
    struct perf_random random = randoms[lane];

    for (uint64_t i = 0; i < ops; i++) {
        uint64_t draw = perf_random_next(&random);
        uint64_t range = draw % 8 != 0 ? YOUNG : live;
        void **slot = &mine[(draw >> 32) * range >> 32];
        if (*slot != NULL)
            PERF_FREE(*slot);
        *slot = PERF_ALLOC(draw_size(draw >> 8));
        perf_touch(*slot);
    }
    randoms[lane] = random;
    return ops;
}

static void finish(unsigned lane)
{
    perf_free_all(slots + lane * live, live);
}

const struct perf_workload perf_workload = {.setup = setup, .run = run, .finish = finish};
