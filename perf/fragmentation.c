/* SPDX-License-Identifier: MIT */
/*
 * Fragmentation: `live` blocks; each round evicts three of four at random and refills
 * with another range of sizes, as a cache does whose values change size over the years.
 * Time shows how holes are found again, peak RSS how many are not. One op is one block
 * replaced.
 */
#include "harness.h"
#include "target.h"

#define PHASES 3u

static struct perf_sizes sizes[PHASES];
static uint64_t live;
static void **slots;
static struct perf_random dice;
static unsigned phase;

static void setup(void)
{
    perf_sizes_draw(&sizes[0], 16, 128, false);
    perf_sizes_draw(&sizes[1], 200, 600, false);
    perf_sizes_draw(&sizes[2], 64, 2048, true);
    perf_show_bytes(16, 2048);
    live = perf_option("live", 100000);
    slots = perf_pages(live * sizeof *slots);
    perf_random_seed(&dice, 0);
    if (perf_lanes() != 1)
        perf_die("fragmentation: one thread is wanted");
}

static uint64_t refill(void)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i < live; i++) {
        if (slots[i] != NULL)
            continue;
        slots[i] = PERF_ALLOC(perf_size(&sizes[phase], perf_random_next(&dice)));
        perf_touch(slots[i]);
        filled++;
    }
    phase = (phase + 1) % PHASES;
    return filled;
}

static void evict(void)
{
    for (uint64_t i = 0; i < live; i++) {
        if (slots[i] == NULL || perf_random_below(&dice, 4) == 0)
            continue;
        PERF_FREE(slots[i]);
        slots[i] = NULL;
    }
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    uint64_t done = 0;
    (void)lane;

    while (done < ops) {
        evict();
        done += refill();
    }
    return done;
}

static void finish(unsigned lane)
{
    perf_free_all(slots + lane * live, live);
}

const struct perf_workload perf_workload = {.setup = setup, .run = run, .finish = finish};
