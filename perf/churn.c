/* SPDX-License-Identifier: MIT */
/*
 * Churn: `live` blocks stay out, and each op frees one of them at random and puts a new
 * one, of another size, in its place: a cache or a table of sessions that has reached its
 * size.
 */
#include "harness.h"
#include "target.h"

static struct perf_sizes sizes;
static uint64_t live;
static void **slots; /* live of them, for each lane */
static struct perf_random *randoms;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    live = perf_option("live", 10000);
    slots = perf_pages(perf_lanes() * live * sizeof *slots);
    randoms = perf_pages(perf_lanes() * sizeof *randoms);
    for (unsigned lane = 0; lane < perf_lanes(); lane++)
        perf_random_seed(&randoms[lane], lane);
    for (uint64_t i = 0; i < perf_lanes() * live; i++) {
        slots[i] = PERF_ALLOC(perf_size(&sizes, i));
        perf_touch(slots[i]);
    }
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void **mine = slots + lane * live;
    struct perf_random random = randoms[lane];

    for (uint64_t i = 0; i < ops; i++) {
        void **slot = &mine[perf_random_below(&random, live)];
        PERF_FREE(*slot);
        *slot = PERF_ALLOC(perf_size(&sizes, random.state));
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
