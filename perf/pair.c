/* SPDX-License-Identifier: MIT */
/*
 * Local pairs: `batch` blocks out, then the same blocks back in the order given: order=0
 * first in first out, 1 last in first out, 2 random. batch=1 frees each block at once.
 * One op is one allocation and its free. Also what instructions per pair are counted on.
 */
#include "harness.h"
#include "target.h"

enum order { ORDER_FIFO, ORDER_LIFO, ORDER_RANDOM };

static struct perf_sizes sizes;
static uint64_t batch;
static void **slots;     /* batch of them, for each lane */
static uint32_t *places; /* the order in which a batch goes back */

static void setup(void)
{
    uint64_t order = perf_option("order", ORDER_FIFO);
    struct perf_random random;

    perf_sizes_from_options(&sizes);
    batch = perf_option("batch", 1);
    if (batch == 0 || order > ORDER_RANDOM)
        perf_die("pair: batch from 1, order 0 to 2");
    slots = perf_pages(perf_lanes() * batch * sizeof *slots);
    places = perf_pages(batch * sizeof *places);
    perf_random_seed(&random, batch);
    for (uint64_t i = 0; i < batch; i++) {
        uint64_t other = order == ORDER_RANDOM ? perf_random_below(&random, i + 1) : i;
        places[i] = places[other];
        places[other] = (uint32_t)(order == ORDER_LIFO ? batch - 1 - i : i);
    }
}

static uint64_t run_immediate(uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        void *block = PERF_ALLOC(perf_size(&sizes, i));
        perf_touch(block);
        PERF_FREE(block);
    }
    return ops;
}

static uint64_t run_batches(void **mine, uint64_t ops)
{
    uint64_t done;

    for (done = 0; done < ops; done += batch) {
        for (uint64_t i = 0; i < batch; i++) {
            mine[i] = PERF_ALLOC(perf_size(&sizes, done + i));
            perf_touch(mine[i]);
        }
        for (uint64_t i = 0; i < batch; i++)
            PERF_FREE(mine[places[i]]);
    }
    return done;
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    return batch == 1 ? run_immediate(ops) : run_batches(slots + lane * batch, ops);
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
