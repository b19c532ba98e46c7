/* SPDX-License-Identifier: MIT */
/*
 * Short threads: create one, let it allocate `blocks` blocks and free all but the last
 * `kept` of them, join it, free the rest here. One op is one thread's life.
 */
#include <pthread.h>

#include "harness.h"
#include "target.h"

#define MAX_BLOCKS 1000u

struct errand {
    void *block[MAX_BLOCKS];
};

static struct perf_sizes sizes;
static uint64_t blocks, kept;
static struct errand *errands; /* one for each lane */

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    blocks = perf_option("blocks", 100);
    kept = perf_option("kept", 0);
    if (blocks > MAX_BLOCKS || kept > blocks)
        perf_die("thread_exit: blocks up to 1000, kept at most as many");
    errands = perf_pages(perf_lanes() * sizeof *errands);
}

static void *errand_main(void *argument)
{
    struct errand *errand = argument;
    for (uint64_t i = 0; i < blocks; i++) {
        errand->block[i] = PERF_ALLOC(perf_size(&sizes, i));
        perf_touch(errand->block[i]);
    }
    for (uint64_t i = 0; i < blocks - kept; i++)
        PERF_FREE(errand->block[i]);
    return NULL;
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    struct errand *errand = &errands[lane];

    for (uint64_t done = 0; done < ops; done++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, errand_main, errand) != 0)
            perf_die("thread_exit: no thread to be had");
        pthread_join(thread, NULL);
        for (uint64_t i = blocks - kept; i < blocks; i++)
            PERF_FREE(errand->block[i]);
    }
    return ops;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
