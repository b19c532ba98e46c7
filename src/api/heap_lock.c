/* SPDX-License-Identifier: MIT */
/*
 * HeapLock and HeapUnlock: the gate of a heap. That of the process heap is shut under the
 * COM spy's lock, because an operation of the spy's may wait at it.
 */
#include <molehill/heapapi.h>

#include "api/handle.h"
#include "api/last_error.h"
#include "arena/heap.h"
#include "spy/com.h"
#include "tcache/process.h"

static struct mole_heap *heap_of(HANDLE handle)
{
    struct mole_heap *heap = mole_handle_heap(handle);
    if (!heap)
        mole_last_error_fail(ERROR_INVALID_HANDLE);
    return heap;
}

BOOL WINAPI HeapLock(HANDLE hHeap)
{
    struct mole_heap *heap = heap_of(hHeap);
    if (!heap)
        return FALSE;
    bool is_process = heap == mole_process_heap();
    if (is_process) {
        mole_process_call_in_child(mole_com_repair_lock);
        mole_com_lock();
    }
    if (!heap->arena.is_locked || mole_gate_close(heap))
        return TRUE;
    if (is_process)
        mole_com_unlock();
    mole_last_error_fail(ERROR_INVALID_HANDLE);
    return FALSE;
}

BOOL WINAPI HeapUnlock(HANDLE hHeap)
{
    struct mole_heap *heap = heap_of(hHeap);
    if (!heap)
        return FALSE;
    if (heap->arena.is_locked && !mole_gate_open(heap)) {
        mole_last_error_fail(ERROR_NOT_OWNER);
        return FALSE;
    }
    if (heap == mole_process_heap())
        mole_com_unlock();
    mole_com_settle();
    return TRUE;
}
