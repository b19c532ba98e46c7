/* SPDX-License-Identifier: MIT */
/*
 * Programs for a checker of C11's memory model, GenMC, which goes through all executions
 * of one round. Built by a compiler they are ordinary programs of many rounds.
 */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/base/atom.h"

#ifdef BY_GENMC
enum { ROUNDS = 1, TIMES = 1 };
#define wait_a_little() ((void)0)
#else
#include <sched.h>
#include <stdio.h>
enum { ROUNDS = 1000, TIMES = 20 }; /* TIMES a round, what is done once for GenMC */
#define wait_a_little() sched_yield()
#endif

/* Everything as it was before the first step of any thread. */
static void begin(void);

/* After the last one of both. */
static void end(void);

static void *first(void *unused);
static void *second(void *unused);

int main(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t threads[2];
        begin();
        if (pthread_create(&threads[0], NULL, first, NULL) != 0 ||
            pthread_create(&threads[1], NULL, second, NULL) != 0)
            return 1;
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        end();
    }
#ifndef BY_GENMC
    printf("1 passed, 0 failed, 0 skipped\n");
#endif
    return 0;
}
