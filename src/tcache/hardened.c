/* SPDX-License-Identifier: MIT */
#include "tcache/hardened.h"

#include "arena/corruption.h"
#include "arena/link.h"

static bool is_free(const struct mole_span *span, size_t index)
{
    return index < span->fresh &&
           !mole_span_entry_is_live(load_rlx(&span->entry_a[index]));
}

bool mole_hardened_pop(struct mole_span *span, uint32_t mark, void **block)
{
    size_t index = span->free;
    if (index == MOLE_END)
        return false;
    *block = span->base + index * span->block_bytes;
    size_t next = is_free(span, index) ? mole_link_get(span, index) : index;
    if (next == index || (next != MOLE_END && !is_free(span, next)))
        mole_corruption_found(span->heap, *block, "its slab's free list is overwritten");
    mole_head_set(span, (uint32_t)next);
    store_rlx(&span->entry_a[index], (uint16_t)mark);
    return true;
}

bool mole_hardened_push(struct mole_span *span, size_t index)
{
    mole_link_set(span, index, span->free);
    mole_head_set(span, (uint32_t)index);
    return --span->countdown != 0;
}
