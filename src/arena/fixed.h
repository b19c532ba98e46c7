/* SPDX-License-Identifier: MIT */
/*
 * Fixed-size heaps: one range of memory for blocks of any mix of sizes. Its state lies in
 * a table apart from it, an entry for each 16 bytes of memory, a granule:
 *
 *   live block    its first granule: MOLE_FIXED_LIVE | the size of its request
 *   in a cache    its first granule: MOLE_FIXED_CACHED | the next one there
 *                 (fixed_cache.h)
 *   free extent   its first granule: MOLE_FIXED_FREE | its granules
 *                 its last granule, if it is another one: MOLE_FIXED_TAIL | its granules
 *                 one more, unless it is one of these: how far it is from the first
 *   all others    0
 *
 * A block of n bytes has the granules that n bytes and the guards of a heap with checks
 * need, one if that is 0, and no more: so the size of the request tells its extent. Free
 * extents that touch are one.
 *
 * Free extents are found by their length, through two levels: a class for each power of
 * two, four for each of these from 8 granules on. Each class has a set (bit_tree.h) of
 * the places where its extents begin. Those of class k, of 2^k granules or more, begin at
 * least that far apart, so the set numbers windows of 2^k granules; the window's last
 * granule lies in the extent and tells where that begins: the third entry above. What
 * fits best by class is taken, at the lowest address.
 *
 *   handle's page | memory for blocks | pages of nobody | table, sets | page of nobody
 *
 * The arena's lock guards all but the entries of blocks that are live or in a cache,
 * which belong to the holder or the cache. Lookups read entries without it.
 */
#pragma once

#include "arena/bit_tree.h"
#include "arena/heap.h"

enum {
    MOLE_GRANULE_SHIFT = 4,
    MOLE_GRANULE = 1 << MOLE_GRANULE_SHIFT,
    MOLE_FIXED_CHARGED = 0x800, /* of the maximum, for bookkeeping: spec 2.12 */
    MOLE_FIXED_CLASSES = 107,
    MOLE_FIXED_FILLED = (MOLE_FIXED_CLASSES + 63) / 64,
    MOLE_FIXED_LONGEST = (1 << 28) - 1, /* granules of a free extent */
    MOLE_FIXED_SHARE = 64,              /* of the memory, this part may be in caches */

    MOLE_FIXED_KIND = 7 << 28,
    MOLE_FIXED_NUMBER = (1 << 28) - 1, /* what the kind leaves of an entry */
    MOLE_FIXED_FREE = 1 << 28,
    MOLE_FIXED_TAIL = 2 << 28,
    MOLE_FIXED_CACHED = 3 << 28,
};
#define MOLE_FIXED_LIVE 0x80000000u

/* What HeapCreate wants of one. */
struct mole_fixed_limits {
    size_t maximum_bytes; /* whole pages */
    size_t initial_bytes; /* whole pages, maximum_bytes at most */
    size_t most_bytes;    /* the largest request */
};

struct mole_fixed {
    struct mole_meta meta;

    /* const while the heap lives */
    char *origin; /* granule 0, which is none: the first block's is 1 */
    /*
     * entry_a: the table, see above.
     *   writers  who has the block; under the arena's lock, who takes and gives extents
     *   readers  any
     *   orders   relaxed: the lock and the client's own order carry the blocks
     *   keeps    an entry within a block or a free extent is not live
     */
    _Atomic(uint32_t) *entry_a;
    size_t end;   /* granules are below this */
    size_t pad;   /* bytes of guards behind each block: guard.h */
    size_t share; /* granules that caches may hold; 0 if the heap has checks */
    struct mole_fixed_limits limits;
    struct mole_span *span; /* what the span map says of the memory */
    char *sets;             /* the trees' words */
    size_t sets_bytes;

    /* Under the arena's lock. */
    size_t high;   /* granules from here on were never used */
    size_t mapped; /* granules below this have their pages in the span map */
    size_t credit; /* granules that caches may take hold of, and none has asked for */
    uint64_t filled[MOLE_FIXED_FILLED]; /* a bit a class: it has an extent */
    struct mole_bit_tree tree[MOLE_FIXED_CLASSES];
};

/* Granules of a block. */
mole_hot size_t mole_fixed_granules(size_t bytes)
{
    return (bytes - 1 + !bytes) / MOLE_GRANULE + 1;
}

/* The same with the guards that the heap's blocks have behind them. */
static inline size_t mole_fixed_length(const struct mole_fixed *fixed, size_t bytes)
{
    return mole_fixed_granules(bytes + fixed->pad);
}

static inline char *mole_fixed_at(const struct mole_fixed *fixed, size_t granule)
{
    return fixed->origin + granule * MOLE_GRANULE;
}

static inline uint32_t mole_fixed_entry(const struct mole_fixed *fixed, size_t granule)
{
    return load_rlx(&fixed->entry_a[granule]);
}

static inline bool mole_fixed_is(uint32_t entry, uint32_t kind)
{
    return !(entry & MOLE_FIXED_LIVE) && (entry & MOLE_FIXED_KIND) == kind;
}

/* The granule at an address in the memory; 0: the address is inside of one. */
static inline size_t mole_fixed_granule(const struct mole_fixed *fixed,
                                        const void *address)
{
    size_t offset = (size_t)((const char *)address - fixed->origin);
    return offset % MOLE_GRANULE ? 0 : offset / MOLE_GRANULE;
}

/* Chunks of the run that a heap of this maximum, whole pages, needs; 0: too many. */
size_t mole_fixed_chunks(size_t maximum_bytes);

/*
 * Make `heap`, which is not published yet, one of these: its home run has
 * mole_fixed_chunks chunks. Here it is decided how its pages may be used. False: no
 * memory.
 */
bool mole_fixed_create(struct mole_heap *heap, const struct mole_fixed_limits *limits)
    mole_must_check;

/* The heap is dead. Its run is left. */
void mole_fixed_destroy(struct mole_heap *heap);

/* An extent for a block, its entries all 0; 0: there is none. Under the lock. */
size_t mole_fixed_take(struct mole_fixed *fixed, size_t granules) mole_must_check;

/* Free an extent. Under the lock. */
void mole_fixed_give(struct mole_fixed *fixed, size_t granule, size_t granules);

/*
 * Make the extent of a live block longer, by what is free behind it, or shorter, and let
 * its entry say `bytes`. False: there is no room. Under the lock.
 */
bool mole_fixed_resize(struct mole_fixed *fixed, size_t granule, size_t bytes)
    mole_must_check;

/*
 * The size of the live block at an address in the memory, or MOLE_LARGE_FREE where none
 * starts.
 */
size_t mole_fixed_bytes(const struct mole_fixed *fixed, const void *address);

/*
 * In a fork's child: free all that is not live, whatever another thread had in hand.
 * Caches are empty.
 */
void mole_fixed_rebuild(struct mole_fixed *fixed);

/* Bytes from the start of the memory that are committed. Under the lock. */
size_t mole_fixed_committed(const struct mole_fixed *fixed);

/* Where the extent begins that is a member of a class's set. */
size_t mole_fixed_start(const struct mole_fixed *fixed, unsigned class, size_t window);

/* The class of free extents of this length, and how wide its windows are, as a power. */
unsigned mole_fixed_class(size_t granules);
unsigned mole_fixed_window_shift(unsigned class);
