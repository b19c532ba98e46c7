/* SPDX-License-Identifier: MIT */
/* What the calls that take a HANDLE, flags and a block have in common. */
#pragma once

#include "api/handle.h"
#include "api/heap_check.h"
#include "spy/com.h"
#include "tcache/block.h"

/* What a call's flags mean for its operation. */
static inline unsigned mole_call_how(DWORD flags)
{
    return (flags & HEAP_ZERO_MEMORY ? MOLE_BLOCK_ZERO : 0u) |
           (flags & HEAP_REALLOC_IN_PLACE_ONLY ? MOLE_BLOCK_IN_PLACE : 0u) |
           (flags & HEAP_NO_SERIALIZE ? MOLE_BLOCK_UNGATED : 0u);
}

/* The live block's span; NULL: the call is refused. `heap` may be NULL. */
static inline struct mole_span *mole_call_find(struct mole_heap *heap, const void *block,
                                               DWORD flags,
                                               enum mole_heap_check_call call)
{
    struct mole_span *span = heap ? mole_block_find(heap, block) : NULL;
    if (likely(!heap || !heap->checks))
        return span;
    return mole_heap_check_found(heap, span, block, flags, call) ? span : NULL;
}

/* Whether the block may have a record of the COM spy's. */
static inline bool mole_call_is_recorded(const struct mole_heap *heap)
{
    return unlikely(mole_com_wants()) && heap == mole_process_heap();
}
