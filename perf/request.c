/* SPDX-License-Identifier: MIT */
/*
 * A request that allocates `blocks` blocks and then ends. On heaps: create one, allocate
 * from it, destroy it. On malloc: allocate and free them one by one. One op is one
 * request.
 */
#include "harness.h"
#include "target.h"

#define MAX_BLOCKS 1000u

static struct perf_sizes sizes;
static uint64_t blocks;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    blocks = perf_option("blocks", 10);
    if (blocks > MAX_BLOCKS)
        perf_die("request: blocks up to 1000");
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void *block[MAX_BLOCKS];
    (void)lane;

    for (uint64_t done = 0; done < ops; done++) {
        void *scope = PERF_SCOPE_CREATE();
        for (uint64_t i = 0; i < blocks; i++) {
            block[i] = PERF_SCOPE_ALLOC(scope, perf_size(&sizes, done * blocks + i));
            perf_touch(block[i]);
        }
        for (uint64_t i = 0; i < blocks; i++)
            PERF_SCOPE_FREE(scope, block[i]);
        PERF_SCOPE_DESTROY(scope);
    }
    return ops;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
