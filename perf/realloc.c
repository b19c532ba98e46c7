/* SPDX-License-Identifier: MIT */
/*
 * Growth: `vectors` buffers grow in turns from `min` to `max` bytes, then are freed and
 * start again; by doubling (step=0) or by `step` bytes each time. What was gained is
 * written to, the first byte of each page. One op is one realloc.
 */
#include "harness.h"
#include "target.h"

#define MAX_VECTORS 64u

static uint64_t vectors, min, max, step;

static void setup(void)
{
    vectors = perf_option("vectors", 4);
    min = perf_option("min", 16);
    max = perf_option("max", 65536);
    step = perf_option("step", 0);
    if (vectors == 0 || vectors > MAX_VECTORS || min == 0 || max <= min)
        perf_die("realloc: vectors from 1 to 64, min below max");
    perf_show_bytes(min, max);
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void *vector[MAX_VECTORS];
    const uint64_t count = vectors; /* nobody changes it, but only so can it be seen */
    uint64_t done = 0;
    (void)lane;

    while (done < ops) {
        for (uint64_t i = 0; i < count; i++) {
            vector[i] = PERF_ALLOC(min);
            perf_touch(vector[i]);
        }
        for (size_t old = min, bytes; old < max; old = bytes) {
            bytes = step == 0 ? 2 * old : old + step;
            for (uint64_t i = 0; i < count; i++, done++) {
                vector[i] = PERF_REALLOC(vector[i], bytes);
                perf_touch_pages(vector[i], old, bytes);
            }
        }
        for (uint64_t i = 0; i < count; i++)
            PERF_FREE(vector[i]);
    }
    return done;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
