/* SPDX-License-Identifier: MIT */
/*
 * Functions on whole heaps: HeapWalk, HeapCompact, and HeapValidate without a block.
 */
#include "api/heap_walk.h"

#include <errno.h>
#include <molehill/heapapi.h>
#include <string.h>

#include "api/handle.h"
#include "api/last_error.h"
#include "arena/audit.h"
#include "arena/hold.h"
#include "arena/mode.h"
#include "arena/walk.h"
#include "os/barrier.h"
#include "tcache/compact.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum { REGION_OF_LARGE = 64 }; /* what Windows says of blocks mapped one by one */

/* The structure has 32 bits for sizes that may need more. */
static DWORD saturated(size_t bytes)
{
    return bytes < UINT32_MAX ? (DWORD)bytes : UINT32_MAX;
}

static void describe_slabs(struct mole_heap *heap, PROCESS_HEAP_ENTRY *entry)
{
    struct mole_walk_slabs slabs;
    mole_walk_add_slabs(heap, &slabs);
    entry->Region.dwCommittedSize = saturated(slabs.committed_bytes);
    entry->Region.dwUnCommittedSize =
        saturated(slabs.reserved_bytes - slabs.committed_bytes);
    entry->Region.lpFirstBlock = slabs.first;
    entry->Region.lpLastBlock = slabs.last;
}

static void fill(struct mole_heap *heap, const struct mole_walk_entry *found,
                 PROCESS_HEAP_ENTRY *entry)
{
    static const WORD flags[] = {
        [MOLE_WALK_HEAP] = PROCESS_HEAP_REGION,
        [MOLE_WALK_LIVE] = PROCESS_HEAP_ENTRY_BUSY,
        [MOLE_WALK_FREE] = 0,
        [MOLE_WALK_UNUSED] = PROCESS_HEAP_UNCOMMITTED_RANGE,
        [MOLE_WALK_LARGE] = PROCESS_HEAP_ENTRY_BUSY,
    };
    memset(entry, 0, sizeof *entry);
    entry->lpData = found->at;
    entry->cbData = saturated(found->bytes);
    entry->wFlags = flags[found->kind];
    if (found->kind == MOLE_WALK_LARGE)
        entry->iRegionIndex = REGION_OF_LARGE;
    if (found->kind == MOLE_WALK_HEAP)
        describe_slabs(heap, entry);
}

BOOL WINAPI HeapWalk(HANDLE hHeap, LPPROCESS_HEAP_ENTRY lpEntry)
{
    struct mole_heap *heap = mole_handle_heap(hHeap);
    if (!heap) {
        mole_last_error_fail(ERROR_INVALID_HANDLE);
        return FALSE;
    }
    if (!lpEntry) {
        mole_last_error_fail(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    mole_gate_pass(heap, false);
    struct mole_walk_entry found;
    switch (mole_walk_next(heap, lpEntry->lpData, &found)) {
    case MOLE_WALK_FOUND:
        fill(heap, &found, lpEntry);
        return TRUE;
    case MOLE_WALK_END:
        mole_last_error_fail(ERROR_NO_MORE_ITEMS);
        return FALSE;
    default:
        mole_last_error_fail(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
}

/* Have the heap for oneself, as far as the call's flags ask for that. */
enum hold { IS_NOT_HELD, IS_HELD, IS_STOPPED, IS_GONE };

static enum hold hold(struct mole_heap *heap, DWORD flags)
{
    if (!heap->arena.is_locked)
        return IS_HELD;
    if (flags & HEAP_NO_SERIALIZE)
        return IS_NOT_HELD;
    return mole_gate_stop(heap) ? IS_STOPPED : IS_GONE;
}

static void let_go(struct mole_heap *heap, enum hold held)
{
    if (held == IS_STOPPED)
        mole_gate_resume(heap);
}

bool mole_heap_walk_validate(struct mole_heap *heap, DWORD flags)
{
    int saved = errno;
    enum hold held = hold(heap, flags);
    bool is_good = held != IS_GONE && mole_audit_heap(heap, held != IS_NOT_HELD);
    let_go(heap, held);
    errno = saved;
    return is_good;
}

/* Of what molehill has at hand, all that no thread keeps for itself. */
static void give_to_system(struct mole_pool_slots *slots)
{
    if (slots)
        mole_pool_drain(slots);
    (void)mole_pool_purge();
}

void mole_heap_walk_compact_all(void)
{
    if (!mole_process_start())
        return;
    int saved = errno;
    struct mole_pool_slots *slots = mole_thread_slots();
    if (!mole_barrier_all()) /* find out before all heaps are held */
        mole_mode_go_fenced();
    mole_hold_begin();
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap)) {
        bool is_wanted = heap->arena.is_locked && heap != mole_process_malloc_heap();
        bool is_alive = load_acq(&heap->word_a); /* HB-HEAP-1 */
        if (!is_wanted || !is_alive || !mole_gate_try_stop(heap))
            continue;
        mole_compact_heap(heap, slots);
        mole_gate_resume(heap);
    }
    mole_hold_end();
    give_to_system(slots);
    errno = saved;
}

bool mole_heap_walk_compact(struct mole_heap *heap, DWORD flags, SIZE_T *most)
{
    int saved = errno;
    enum hold held = hold(heap, flags);
    if (held == IS_GONE)
        return false;
    struct mole_pool_slots *slots = mole_thread_slots();
    if (held != IS_NOT_HELD)
        mole_compact_heap(heap, slots);
    *most = mole_walk_largest_free(heap);
    let_go(heap, held);
    if (heap->arena.is_locked) /* other heaps take no lock */
        give_to_system(slots);
    errno = saved;
    return true;
}

SIZE_T WINAPI HeapCompact(HANDLE hHeap, DWORD dwFlags)
{
    SIZE_T most = 0;
    struct mole_heap *heap = mole_handle_heap(hHeap);
    if (!heap || !mole_heap_walk_compact(heap, dwFlags, &most)) {
        mole_last_error_fail(ERROR_INVALID_HANDLE);
        return 0;
    }
    if (most == 0)
        SetLastError(NO_ERROR);
    return most;
}
