/* SPDX-License-Identifier: MIT */
/* Calls made by a second thread that are to wait at a heap's gate, or to pass it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "asleep.h"
#include "support.h"

enum { BEGUN = 1, ENDED = 2 };

/* A thread that makes one call, and what has become of it. */
struct caller {
    HANDLE heap;
    void *block;
    bool (*call)(struct caller *caller);
    atomic_int tid;
    atomic_int state;
    bool result;
    pthread_t thread;
};

static inline void *call_main(void *argument)
{
    struct caller *caller = argument;
    atomic_store(&caller->tid, (int)syscall(SYS_gettid));
    atomic_store(&caller->state, BEGUN);
    caller->result = caller->call(caller);
    atomic_store(&caller->state, ENDED);
    return NULL;
}

static inline void start(struct caller *caller)
{
    require(pthread_create(&caller->thread, NULL, call_main, caller) == 0, "no thread");
}

/* Wait until the thread is asleep in its call. */
static inline void expect_blocked(struct caller *caller)
{
    for (int i = 0; i < 60000; i++) {
        int state = atomic_load(&caller->state);
        require(state != ENDED, "the call came through a locked heap");
        if (state == BEGUN && sleeps_on_futex(atomic_load(&caller->tid)))
            return;
        pause_shortly();
    }
    require(false, "the thread neither slept nor ended");
}

static inline void expect_through(struct caller *caller)
{
    pthread_join(caller->thread, NULL);
    require(caller->result, "the call failed");
}

static inline void lock(HANDLE heap)
{
    require(HeapLock(heap), "HeapLock failed");
}

static inline void unlock(HANDLE heap)
{
    require(HeapUnlock(heap), "HeapUnlock failed");
}

static inline bool lock_and_unlock(struct caller *caller)
{
    return HeapLock(caller->heap) && HeapUnlock(caller->heap);
}

/* The call blocks while the heap is locked, and comes through after. */
static inline void expect_to_wait(HANDLE heap, bool (*call)(struct caller *), void *block)
{
    struct caller caller = {.heap = heap, .call = call, .block = block};
    lock(heap);
    start(&caller);
    expect_blocked(&caller);
    unlock(heap);
    expect_through(&caller);
}

/* The call comes through although the heap is locked. */
static inline void expect_to_pass(HANDLE heap, bool (*call)(struct caller *), void *block)
{
    struct caller caller = {.heap = heap, .call = call, .block = block};
    lock(heap);
    start(&caller);
    expect_through(&caller);
    unlock(heap);
}
