/* SPDX-License-Identifier: MIT */
/*
 * What stays after a load: each lane allocates its share of `total` in small blocks, in
 * one repetition, and frees them when the harness asks for it; after_ms= tells how much
 * later resident memory is read. The blocks are the list of themselves, so that no table
 * stays. Not in the list; one op is a block.
 */
#include "harness.h"
#include "target.h"

struct link {
    struct link *next;
};

static struct perf_sizes sizes;
static uint64_t total;
static struct link **first; /* of each lane's blocks */

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    total = perf_option("total", 400ull << 20);
    first = perf_pages(perf_lanes() * sizeof *first);
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    struct link **last = &first[lane];
    uint64_t count = 0, share = total / perf_lanes();
    (void)ops;

    for (uint64_t bytes = 0; bytes < share; count++) {
        size_t size = perf_size(&sizes, count);
        *last = PERF_ALLOC(size);
        (*last)->next = NULL;
        last = &(*last)->next;
        bytes += size;
    }
    return count;
}

static void finish(unsigned lane)
{
    while (first[lane] != NULL) {
        struct link *gone = first[lane];
        first[lane] = gone->next;
        PERF_FREE(gone);
    }
}

const struct perf_workload perf_workload = {.setup = setup, .run = run, .finish = finish};
