/* SPDX-License-Identifier: MIT */
/*
 * Threads for tests. Criterion's assertions belong to the test's own thread, so a worker
 * answers with a sentence, or NULL when all was well, and run_workers asserts.
 */
#pragma once

#include <pthread.h>

#include "support.h"

struct worker {
    size_t index;
    void *shared; /* what all workers of the test share */
    const char *(*body)(struct worker *worker);
    const char *failure;
    pthread_t thread;
};

static inline void *worker_main(void *argument)
{
    struct worker *worker = argument;

    worker->failure = worker->body(worker);
    return NULL;
}

/* Run `count` threads to their ends. Small stacks, so that a thousand of them fit. */
static inline void run_workers(size_t count, const char *(*body)(struct worker *),
                               void *shared)
{
    struct worker *workers = calloc(count, sizeof(*workers));
    pthread_attr_t small;
    size_t started = 0;
    int refused = 0;

    require(workers != NULL, "the test has no memory for its threads");
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)256 << 10);
    for (; started < count && refused == 0; started += refused == 0) {
        struct worker *worker = &workers[started];
        *worker = (struct worker){.index = started, .shared = shared, .body = body};
        refused = pthread_create(&worker->thread, &small, worker_main, worker);
    }
    pthread_attr_destroy(&small);
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    require(refused == 0, "only %zu of %zu threads started: %s", started, count,
            strerror(refused));
    for (size_t i = 0; i < count; i++)
        require(workers[i].failure == NULL, "thread %zu: %s", i, workers[i].failure);
    free(workers);
}
