/* SPDX-License-Identifier: MIT */
/*
 * The process's heaps as Win32 shows them: GetProcessHeap, GetProcessHeaps, HeapSummary.
 */
#include <molehill/heapapi.h>

#include "api/handle.h"
#include "api/last_error.h"
#include "arena/census.h"
#include "tcache/process.h"
#include "tcache/thread.h"

HANDLE WINAPI GetProcessHeap(void)
{
    return mole_process_start() ? load_rlx(&mole_process_heap()->handle_a) : NULL;
}

/* A live heap, and when it was made. */
struct entry {
    uint64_t id;
    HANDLE handle;
};

/* Live heaps that have a handle; stores the first `room` met. */
static DWORD list_heaps(struct entry *entries, DWORD room)
{
    DWORD count = 0;
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap)) {
        uint64_t id = load_acq(&heap->word_a) & ~(uint64_t)MOLE_MODE_MASK; /* HB-HEAP-1 */
        HANDLE handle = load_rlx(&heap->handle_a);
        fence_acq(); /* HB-HEAP-3 */
        if (!id || heap == mole_process_malloc_heap() || id != mole_heap_id(heap))
            continue; /* dead, or reused while we looked */
        if (count < room)
            entries[count] = (struct entry){.id = id, .handle = handle};
        count++;
    }
    return count;
}

/* Let entry `root` sink in the heap-ordered tree entries[0 .. count). */
static void sink(struct entry *entries, DWORD root, DWORD count)
{
    struct entry moved = entries[root];
    for (;;) {
        DWORD child = 2 * root + 1;
        if (child + 1 < count && entries[child + 1].id > entries[child].id)
            child++;
        if (child >= count || entries[child].id <= moved.id)
            break;
        entries[root] = entries[child];
        root = child;
    }
    entries[root] = moved;
}

/* By age, oldest first. Heapsort: qsort may allocate. */
static void sort(struct entry *entries, DWORD count)
{
    for (DWORD root = count / 2; root-- > 0;)
        sink(entries, root, count);
    for (DWORD end = count; end-- > 1;) {
        struct entry newest = entries[0];
        entries[0] = entries[end];
        entries[end] = newest;
        sink(entries, 0, end);
    }
}

DWORD WINAPI GetProcessHeaps(DWORD NumberOfHeaps, PHANDLE ProcessHeaps)
{
    if (!mole_process_start())
        goto fail;
    DWORD count = list_heaps(NULL, 0);
    if (NumberOfHeaps == 0)
        return count;
    if (!ProcessHeaps) {
        mole_last_error_fail(ERROR_INVALID_PARAMETER);
        return 0;
    }
    HANDLE scratch_heap = GetProcessHeap();
    DWORD room = count;
    struct entry *entries = HeapAlloc(scratch_heap, 0, sizeof *entries * room);
    if (!entries)
        goto fail;
    count = list_heaps(entries, room);
    if (count > room)
        count = room; /* heaps made meanwhile: this is the list of a moment ago */
    sort(entries, count);
    for (DWORD i = 0; i < count && i < NumberOfHeaps; i++)
        ProcessHeaps[i] = entries[i].handle;
    HeapFree(scratch_heap, 0, entries);
    return count;
fail:
    mole_last_error_fail(ERROR_NOT_ENOUGH_MEMORY);
    return 0;
}

BOOL WINAPI HeapSummary(HANDLE hHeap, DWORD dwFlags, LPHEAP_SUMMARY lpSummary)
{
    (void)dwFlags;
    struct mole_heap *heap = mole_handle_heap(hHeap);
    if (!heap) {
        mole_last_error_fail(ERROR_INVALID_HANDLE);
        return FALSE;
    }
    if (!lpSummary || lpSummary->cb != sizeof *lpSummary) {
        mole_last_error_fail(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    mole_gate_pass(heap, false);
    struct mole_census census;
    mole_census_take(heap, &census);
    lpSummary->cbAllocated = census.live_bytes;
    lpSummary->cbCommitted = census.committed_bytes;
    lpSummary->cbReserved = census.reserved_bytes;
    lpSummary->cbMaxReserve = census.reserved_bytes;
    return TRUE;
}
