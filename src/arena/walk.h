/* SPDX-License-Identifier: MIT */
/*
 * Going through a heap entry by entry, for HeapWalk: all that is known between two steps
 * is the address of the last entry. Reads descriptors and tables only, never a block; a
 * block in flight is free in its table and so is never shown as live.
 *
 *   the heap itself --> runs of slabs, oldest first, each by ascending address:
 *   live blocks, free blocks in a row, pages of no slab in a row --> large blocks
 *
 * Each step holds the arena's lock, under which spans come and go. While the gate is shut
 * for others the entries are exactly what there is; else blocks that come and go may be
 * missed, and a slab that goes ends the walk.
 */
#pragma once

#include "arena/heap.h"

enum mole_walk_kind {
    MOLE_WALK_HEAP,   /* its first page, which stands for its runs of slabs */
    MOLE_WALK_LIVE,   /* a live block of a slab */
    MOLE_WALK_FREE,   /* free blocks of one slab, side by side */
    MOLE_WALK_UNUSED, /* pages of no slab, side by side */
    MOLE_WALK_LARGE,  /* a live large block */
};

struct mole_walk_entry {
    char *at;
    size_t bytes; /* of live blocks, the size of their request */
    enum mole_walk_kind kind;
};

enum mole_walk_result { MOLE_WALK_FOUND, MOLE_WALK_END, MOLE_WALK_UNKNOWN };

/*
 * The entry after the one at `after`; NULL: the first. MOLE_WALK_UNKNOWN: there is no
 * entry at `after`, which may be any value.
 */
enum mole_walk_result mole_walk_next(struct mole_heap *heap, const void *after,
                                     struct mole_walk_entry *entry);

/* The runs of slabs. */
struct mole_walk_slabs {
    char *first;            /* of all entries in them, the lowest address there can be */
    char *last;             /* behind the highest */
    size_t committed_bytes; /* pages of slabs, and the heap's first */
    size_t reserved_bytes;
};

void mole_walk_add_slabs(struct mole_heap *heap, struct mole_walk_slabs *slabs);

/* The most bytes of a free entry, or of one of unused pages; 0: there is none. */
size_t mole_walk_largest_free(struct mole_heap *heap);
