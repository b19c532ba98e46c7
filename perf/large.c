/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: `live` stay out, each op frees one at random and allocates another;
 * touched=1 writes the first byte of each page, as one who uses the block does, touched=0
 * only the first.
 */
#include "harness.h"
#include "target.h"

static struct perf_sizes sizes;
static uint64_t live;
static bool touched;
static void **slots;
static struct perf_random *randoms;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    live = perf_option("live", 8);
    touched = perf_option("touched", 1) != 0;
    slots = perf_pages(perf_lanes() * live * sizeof *slots);
    randoms = perf_pages(perf_lanes() * sizeof *randoms);
    for (unsigned lane = 0; lane < perf_lanes(); lane++)
        perf_random_seed(&randoms[lane], lane);
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void **mine = slots + lane * live;
    struct perf_random random = randoms[lane];

    for (uint64_t i = 0; i < ops; i++) {
        void **slot = &mine[perf_random_below(&random, live)];
        size_t bytes = perf_size(&sizes, random.state);
        if (*slot != NULL)
            PERF_FREE(*slot);
        *slot = PERF_ALLOC(bytes);
        perf_touch_pages(*slot, 0, touched ? bytes : 1);
    }
    randoms[lane] = random;
    return ops;
}

static void finish(unsigned lane)
{
    perf_free_all(slots + lane * live, live);
}

const struct perf_workload perf_workload = {.setup = setup, .run = run, .finish = finish};
