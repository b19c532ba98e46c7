/* SPDX-License-Identifier: MIT */
/*
 * HeapReAlloc: a short way for what stays where it is, and the general case.
 */
#include <molehill/heapapi.h>

#include "api/exception.h"
#include "api/heap_call.h"
#include "arena/corruption.h"
#include "arena/exact.h"
#include "arena/large.h"
#include "arena/mode.h"
#include "arena/span_map.h"
#include "tcache/thread.h"
#include "watch/watch.h"

/* What is to be resized is no live block of the heap. */
static mole_slow void *refuse(const struct mole_failure *failure)
{
    mole_corruption_blame(failure->heap, failure->function, failure->block);
    return mole_exception_fail(failure, ERROR_INVALID_PARAMETER);
}

/*
 * Set the size of a block that stays where it is without waste: in a slab of the
 * thread's, or with room of its own. False: take the long way, nothing has happened.
 */
static bool resize_here(HANDLE handle, const void *block, SIZE_T bytes)
{
    struct mole_tcache *cache = mole_thread_recent(handle);
    bool is_done = false;
    uintptr_t page;
    size_t index;
    mole_tcache_enter(cache);
    if (likely(load_acq(&cache->owner.alloc_key_a) == handle && /* HB-GATE-2 */
               mole_owner_is_key(handle) && mole_span_map_has(&mole_map, block, &page))) {
        struct mole_span *span = load_acq(&mole_map.table[page]); /* HB-MAP-1 */
        if (likely(span->owner == &cache->owner)) {
            is_done = mole_block_suits(span, bytes) &&
                      mole_span_index(span, block, &index) &&
                      mole_span_entry_is_live(load_rlx(&span->entry_a[index]));
            if (likely(is_done))
                mole_exact_set(span, index, bytes);
        } else if (span->heap == cache->owner.heap) {
            is_done = mole_large_resize_here(span, block, bytes);
        }
    }
    mole_tcache_leave(cache);
    return is_done;
}

LPVOID WINAPI HeapReAlloc(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem, SIZE_T dwBytes)
{
    if (likely(!(dwFlags & HEAP_ZERO_MEMORY)) && resize_here(hHeap, lpMem, dwBytes))
        return lpMem;
    struct mole_heap *heap = mole_handle_heap(hHeap);
    const struct mole_failure failure = {"HeapReAlloc", hHeap, heap,
                                         dwFlags,       lpMem, dwBytes};
    if (!heap)
        return mole_exception_fail(&failure, ERROR_INVALID_HANDLE);
    if (!lpMem)
        return mole_exception_fail(&failure, ERROR_SUCCESS);
    struct mole_span *span = mole_call_find(heap, lpMem, dwFlags, MOLE_CHECK_RESIZE);
    if (!span)
        return refuse(&failure);
    struct mole_record *record =
        mole_call_is_recorded(heap) ? mole_com_resizing(lpMem) : NULL;
    void *block = mole_watch_resize(span, lpMem, dwBytes, mole_call_how(dwFlags));
    /* Gone: freed by who had the heap while this call waited. */
    bool is_gone = !block && !mole_block_find(heap, lpMem);
    if (unlikely(record))
        mole_com_resized(record, block, is_gone);
    if (block)
        return block;
    return is_gone ? refuse(&failure)
                   : mole_exception_fail(&failure, ERROR_NOT_ENOUGH_MEMORY);
}
