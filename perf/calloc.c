/* SPDX-License-Identifier: MIT */
/*
 * Zeroed blocks: `batch` out, written to (first byte of each page), then back. One op is
 * one calloc and its free.
 */
#include "harness.h"
#include "target.h"

static struct perf_sizes sizes;
static uint64_t batch;
static void **slots;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    batch = perf_option("batch", 64);
    slots = perf_pages(perf_lanes() * batch * sizeof *slots);
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void **mine = slots + lane * batch;
    uint64_t done;

    for (done = 0; done < ops; done += batch) {
        for (uint64_t i = 0; i < batch; i++) {
            size_t bytes = perf_size(&sizes, done + i);
            mine[i] = PERF_CALLOC(bytes);
            perf_touch_pages(mine[i], 0, bytes);
        }
        for (uint64_t i = 0; i < batch; i++)
            PERF_FREE(mine[i]);
    }
    return done;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
