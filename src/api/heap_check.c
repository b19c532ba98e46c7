/* SPDX-License-Identifier: MIT */
#include "api/heap_check.h"

#include "api/heap_walk.h"
#include "api/last_error.h"
#include "arena/corruption.h"
#include "arena/guard.h"

bool mole_heap_check_all(struct mole_heap *heap, DWORD flags)
{
    if (!(heap->checks & MOLE_GUARD_ALL) || mole_heap_walk_validate(heap, flags))
        return true;
    mole_corruption_found(heap, NULL, "it does not validate");
    return false;
}

/*
 * Whether the call refuses a block with a damaged tail. Of HeapReAlloc the documents say
 * that it fails when the heap is damaged (case 134); Windows looks at its parameters only
 * when global_flag says so.
 */
static bool looks_at_tail(const struct mole_heap *heap, enum mole_heap_check_call call)
{
    if (heap->checks & MOLE_GUARD_CALLS)
        return true;
    if (call != MOLE_CHECK_RESIZE || !(heap->checks & MOLE_GUARD_TAIL))
        return false;
    return (heap->checks & MOLE_GUARD_OWN_TAIL) || !mole_last_error_is_compat();
}

bool mole_heap_check_found(struct mole_heap *heap, struct mole_span *span,
                           const void *block, DWORD flags, enum mole_heap_check_call call)
{
    if (!mole_heap_check_all(heap, flags))
        return false;
    if (!span || !looks_at_tail(heap, call) || mole_guard_is_whole(span, block))
        return span != NULL;
    mole_corruption_found(heap, block, "written to behind its end");
    return false;
}
