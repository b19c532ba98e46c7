/* SPDX-License-Identifier: MIT */
/*
 * Links between free blocks, in their slab's table (span.h). In hardened heaps they are
 * coded with a key that the slab was given when it was made. The fast paths, which do not
 * apply to those heaps, read and write links as they are.
 */
#pragma once

#include "arena/span.h"

/* What is linked behind the free block with this index. */
static inline uint32_t mole_link_get(const struct mole_span *span, size_t index)
{
    return load_rlx(&span->entry_a[index]) ^ (uint32_t)span->link_key;
}

/* Keys leave bit 15 alone: the entry stays that of a free block. */
static inline void mole_link_set(struct mole_span *span, size_t index, uint32_t next)
{
    store_rlx(&span->entry_a[index], (uint16_t)(next ^ span->link_key));
}
