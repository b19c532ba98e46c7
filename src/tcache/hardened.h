/* SPDX-License-Identifier: MIT */
/*
 * Slabs of hardened heaps. The links in their tables are coded with a key of the slab's
 * (arena/link.h), and each is looked at when its block is taken: the fast paths' pop
 * and push know of no key and are kept from such heaps by MOLE_MODE_CHECKED.
 */
#pragma once

#include "tcache/head.h"

/* As mole_tcache_pop and mole_tcache_push. A damaged list ends the process. */
mole_slow bool mole_hardened_pop(struct mole_span *span, uint32_t mark, void **block);
mole_slow bool mole_hardened_push(struct mole_span *span, size_t index);

/* Either, or those of malloc's heap. */
static inline bool mole_hardened_pop_any(struct mole_span *span, uint32_t mark,
                                         void **block)
{
    if (unlikely(span->free == MOLE_END))
        return false; /* it may be no heap's */
    if (unlikely(span->link_key))
        return mole_hardened_pop(span, mark, block);
    return span->heap->is_sized ? mole_tcache_pop(span, mark, block)
                                : mole_head_pop(span, block);
}

static inline bool mole_hardened_push_any(struct mole_span *span, size_t index,
                                          void *block)
{
    if (unlikely(span->link_key))
        return mole_hardened_push(span, index);
    return span->heap->is_sized ? mole_tcache_push(span, index)
                                : mole_head_push(span, index, block);
}
