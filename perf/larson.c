/* SPDX-License-Identifier: MIT */
/*
 * Thread churn after the idea of Larson and Krishnan: every lane is a chain of threads.
 * Each of them replaces blocks at random among the `live` ones it inherited from the
 * thread before it, then ends and leaves them to the next; so blocks outlive the thread
 * that allocated them. A thread makes `turn` ops. One op is one free and one allocation,
 * the threads' cost included.
 */
#include <pthread.h>

#include "harness.h"
#include "target.h"

struct chain {
    void **slots;
    struct perf_random random;
};

static struct perf_sizes sizes;
static uint64_t live, turn;
static struct chain *chains;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    live = perf_option("live", 1000);
    turn = perf_option("turn", 10000);
    chains = perf_pages(perf_lanes() * sizeof *chains);
    for (unsigned lane = 0; lane < perf_lanes(); lane++) {
        chains[lane].slots = perf_pages(live * sizeof(void *));
        perf_random_seed(&chains[lane].random, lane);
    }
}

static void *turn_main(void *argument)
{
    struct chain *chain = argument;
    struct perf_random random = chain->random;

    for (uint64_t i = 0; i < turn; i++) {
        void **slot = &chain->slots[perf_random_below(&random, live)];
        if (*slot != NULL)
            PERF_FREE(*slot);
        *slot = PERF_ALLOC(perf_size(&sizes, random.state));
        perf_touch(*slot);
    }
    chain->random = random;
    return NULL;
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    uint64_t done;

    for (done = 0; done < ops; done += turn) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, turn_main, &chains[lane]) != 0)
            perf_die("larson: no thread to be had");
        pthread_join(thread, NULL);
    }
    return done;
}

static void finish(unsigned lane)
{
    perf_free_all(chains[lane].slots, live);
}

const struct perf_workload perf_workload = {.setup = setup, .run = run, .finish = finish};
