/* SPDX-License-Identifier: MIT */
/* A thread that allocates and frees as fast as it can, to be kept out of a heap. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "asleep.h"
#include "support.h"

struct runner {
    HANDLE heap;
    atomic_bool stop;
    atomic_int tid;
    atomic_ullong pairs;
    const char *failure;
};

static inline void *run_pairs(void *argument)
{
    struct runner *runner = argument;
    atomic_store(&runner->tid, (int)syscall(SYS_gettid));
    while (!atomic_load(&runner->stop)) {
        DWORD flags = atomic_load(&runner->pairs) % 2 ? HEAP_ZERO_MEMORY : 0;
        void *block = HeapAlloc(runner->heap, flags, 64);
        if (!block || !HeapFree(runner->heap, 0, block))
            runner->failure = "a pair failed";
        atomic_fetch_add(&runner->pairs, 1);
    }
    return NULL;
}
