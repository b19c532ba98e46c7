/* SPDX-License-Identifier: MIT */
#include "arena/exact.h"

#include "arena/heap.h"
#include "arena/late.h"

size_t mole_exact_bytes(const struct mole_span *span, size_t index, uint16_t entry)
{
    if (likely(span->class != MOLE_CLASS_LAST) || !mole_span_heap(span)->is_sized)
        return entry == MOLE_WHOLE ? span->block_bytes : entry & ~(unsigned)MOLE_LIVE;
    if (entry == MOLE_WHOLE && load_rlx(&span->empty_a) >> index & 1)
        return 0;
    return MOLE_SLAB_MAX - (size_t)(entry & ~(unsigned)MOLE_LIVE);
}

/* The entry of a block of the last class that need not have been asked for so. */
static uint32_t mark_last(struct mole_span *span, size_t index, size_t bytes)
{
    if (bytes == 0)
        or_rlx(&span->empty_a, 1u << index);
    else if (bytes == 1)
        and_rlx(&span->empty_a, ~(1u << index));
    return bytes ? mole_exact_mark(MOLE_CLASS_LAST, bytes) : (uint32_t)MOLE_WHOLE;
}

void mole_exact_set(struct mole_span *span, size_t index, size_t bytes)
{
    uint32_t mark = MOLE_WHOLE;
    if (mole_span_heap(span)->is_sized)
        mark = span->class == MOLE_CLASS_LAST ? mark_last(span, index, bytes)
                                              : mole_span_mark(bytes);
    store_rlx(&span->entry_a[index], (uint16_t)mark);
}
