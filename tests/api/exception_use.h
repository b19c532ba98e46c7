/* SPDX-License-Identifier: MIT */
/*
 * A heap that another thread can have for itself: what must be so after an exception.
 */
#pragma once

#include <molehill/spy.h>

#include "exceptions.h"
#include "workers.h"

static inline const char *use_all(struct worker *worker)
{
    HANDLE heap = *(HANDLE *)worker->shared;
    PROCESS_HEAP_ENTRY entry = {.lpData = NULL};
    void *small = HeapAlloc(heap, 0, 100), *large = HeapAlloc(heap, 0, 300000);

    if (!small || !large || !HeapLock(heap))
        return "HeapAlloc or HeapLock";
    while (HeapWalk(heap, &entry)) {
    }
    if (GetLastError() != ERROR_NO_MORE_ITEMS)
        return "HeapWalk";
    large = HeapReAlloc(heap, 0, large, 600000);
    if (!large || !HeapUnlock(heap) || !HeapValidate(heap, 0, NULL))
        return "HeapReAlloc, HeapUnlock or HeapValidate";
    return HeapFree(heap, 0, small) && HeapFree(heap, 0, large) ? NULL : "HeapFree";
}

/* This thread is inside of nothing, and another has the heap to itself. */
static inline void expect_all_free(HANDLE heap)
{
    require(mh_spy_wait() == 0, "the thread is in a callback, or has a lock");
    run_workers(1, use_all, &heap);
    HANDLE process_heap = GetProcessHeap();
    run_workers(1, use_all, &process_heap);
}
