/* SPDX-License-Identifier: MIT */
/* A COM spy and HeapLock of the process heap. */
#include "callers.h"
#include "malloc_spy.h"

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
