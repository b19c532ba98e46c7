/* SPDX-License-Identifier: MIT */
/*
 * Holes: pages of a slab that no live block lies in. A free block's memory holds nothing
 * of anybody's, for links are in the table, so that such a page may go back to the system
 * while the slab stays; it reads as zero when a block of it is used again. Checked heaps
 * do write into free blocks, and keep theirs.
 *
 * A page can only come to life by an allocation, which is the owner's. Frees by other
 * threads at the same time make more holes, and none fewer.
 */
#pragma once

#include "arena/span.h"

/* Bits of span->purged. */
enum { MOLE_HOLES_BITS = 32 };

/*
 * What a bit stands for: a page; of larger slabs a 32nd: 2, 4, 8... pages, as they have.
 */
static inline size_t mole_holes_unit(const struct mole_span *span)
{
    size_t pages = span->pages / MOLE_HOLES_BITS;
    return pages > 1 ? pages * MOLE_PAGE : MOLE_PAGE;
}

/*
 * Give the slab's holes back to the system, but for those that span->purged has as given
 * back before. Returns how many pages. By its owner, inside an operation, who has not
 * allocated from the slab since he cleared span->purged.
 */
size_t mole_holes_purge(struct mole_span *span);

/* Pages given back since the start. */
uint64_t mole_holes_purged(void);
