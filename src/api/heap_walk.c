/* SPDX-License-Identifier: MIT */
/*
 * HeapWalk.
 */
#include "arena/walk.h"

#include <molehill/heapapi.h>
#include <string.h>

#include "api/last_error.h"
#include "tcache/process.h"

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
    struct mole_heap *heap = mole_process_start() ? mole_heap_find(hHeap) : NULL;
    if (!heap) {
        mole_last_error_fail(ERROR_INVALID_HANDLE);
        return FALSE;
    }
    if (!lpEntry) {
        mole_last_error_fail(ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    mole_gate_pass(heap);
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
