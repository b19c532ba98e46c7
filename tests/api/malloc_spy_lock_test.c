/* SPDX-License-Identifier: MIT */
/* A COM spy, HeapLock of the process heap, and threads that end. */
#include "callers.h"
#include "malloc_spy.h"

#include <molehill/spy.h>

static struct caller locker;

static void lock_meanwhile(struct spy *visited, const char *method, void *block)
{
    (void)method;
    (void)block;
    visited->inside = NULL;
    locker = (struct caller){.heap = GetProcessHeap(), .call = lock_and_unlock};
    start(&locker);
    expect_blocked(&locker);
}

/* Else its owner and the spy's call might wait for each other. */
Test(malloc_spy_lock, the_process_heap_is_locked_between_calls_of_a_spy)
{
    spy_init(&spy, 0);
    spy_register(&spy);
    spy.inside = lock_meanwhile;
    void *block = CoTaskMemAlloc(10);
    expect_through(&locker);
    require(HeapLock(GetProcessHeap()), "HeapLock failed");
    CoTaskMemFree(block);
    require(HeapUnlock(GetProcessHeap()), "HeapUnlock failed");
    spy_revoke(&spy);
}

static struct mh_spy observer = {.size = sizeof observer};
static int pending;

static void observe_meanwhile(struct spy *visited, const char *method, void *block)
{
    (void)method;
    (void)block;
    visited->inside = NULL;
    require(mh_spy_attach(&observer, MH_SPY_ALL) == 0, "attaching in a spy's method");
    pending = mh_spy_detach(&observer);
}

/* A thread in the observer's callback may wait for the lock that the method is under. */
SPY_CASE(malloc_spy_lock, an_observer_detached_in_a_method_is_waited_for_later, 0)
{
    (void)malloc;
    spy_register(&spy);
    spy.inside = observe_meanwhile;
    CoTaskMemFree(CoTaskMemAlloc(10));
    require(pending == MH_PENDING, "mh_spy_detach returned %d in a spy's method",
            pending);
    require(mh_spy_wait() == 0, "mh_spy_wait does not end it");
    spy_revoke(&spy);
}

/* After the destructor of molehill's own key, for keys are destroyed in rounds. */
static pthread_key_t key;

static void allocate_late(void *round)
{
    void *block = CoTaskMemAlloc(10);
    block = CoTaskMemRealloc(block, 5000);
    CoTaskMemFree(block);
    if ((uintptr_t)round < 3)
        pthread_setspecific(key, (char *)round + 1);
}

static void *end_late(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++)
        CoTaskMemFree(CoTaskMemAlloc(10));
    spy_clear(&spy);
    pthread_setspecific(key, (void *)1);
    return NULL;
}

SPY_CASE(malloc_spy_lock, a_thread_that_ends_is_spied_to_the_last, HEADER)
{
    pthread_t thread;
    (void)malloc;
    spy_register(&spy);
    require(pthread_key_create(&key, allocate_late) == 0, "no key");
    require(pthread_create(&thread, NULL, end_late, NULL) == 0, "no thread");
    pthread_join(thread, NULL);
    size_t calls = 0;
    for (const char *at = spy.log; (at = strstr(at, "PostRealloc(")) != NULL; at++)
        calls++;
    require(calls == 3, "%zu rounds of: %s", calls, spy.log);
    spy_revoke(&spy);
}
