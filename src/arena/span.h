/* SPDX-License-Identifier: MIT */
/*
 * Spans: runs of pages with one descriptor, a record apart (group.h), never unmapped. A
 * slab is a span cut into equal blocks; a large span is one block.
 *
 * A slab's table has one entry a block and answers everything about it:
 *
 *   live   MOLE_LIVE | requested bytes (exact.h), or MOLE_WHOLE where nobody asks
 *   free   index of the next free block of the slab, or MOLE_END; see link.h
 *
 * so the table is also the free list, and free blocks hold nothing. A block on its way
 * back from another thread is free in its table from the moment of the call.
 */
#pragma once

#include <assert.h>
#include <stddef.h>

#include "arena/owner.h"
#include "arena/run.h"
#include "base/atom.h"
#include "base/attr.h"

enum {
    MOLE_LIVE = 0x8000,  /* an entry with this bit is a live block's */
    MOLE_WHOLE = 0xffff, /* the entry of a live block that may use all of its bytes */
    MOLE_END = 0x7fff,   /* no next free block */
    MOLE_MOST_BLOCKS = 4096,
};

enum mole_span_kind {
    MOLE_SPAN_NONE,  /* no blocks: nobody's, or a heap's first page */
    MOLE_SPAN_LARGE, /* one block */
    MOLE_SPAN_SLAB,
    MOLE_SPAN_FIXED, /* all blocks of a fixed-size heap */
};

enum mole_span_state {
    MOLE_SPAN_CURRENT, /* the slab its owner allocates this class from */
    MOLE_SPAN_FULL,    /* set aside: no free block when last looked at */
    MOLE_SPAN_PARTIAL, /* in its owner's list of slabs with free blocks */
};

struct mole_span {
    ptrdiff_t to_owner;       /* const while mapped: from here, see late.h */
    struct mole_owner *owner; /* const while mapped; of large spans mole_owner_nobody */
    char *base;               /* const while mapped: the first block */
    uint64_t recip;           /* const while mapped: 2^64 / block_bytes, rounded up */
    uint32_t block_bytes;     /* const while mapped */
    uint16_t capacity;        /* const while mapped: blocks; large: see large.h */
    uint8_t class;            /* const while mapped */
    uint8_t kind;             /* const while mapped: enum mole_span_kind */
    struct mole_heap *heap;   /* const while mapped */
    uint32_t group;           /* const: of group.h */
    uint32_t run;   /* const while mapped, but for a large block that moves: its number */
    uint32_t pages; /* const while mapped */
    uint16_t link_key; /* const while mapped: what links are coded with, or 0 */
    uint8_t rested;    /* const while its heap lives: of an earlier heap (rest.h) */

    /* From here on what the owner writes all the time: not in the line others read. */
    alignas(MOLE_CACHE_LINE)
        int32_t countdown; /* owner only: frees by the owner until it looks again */
    uint32_t free;         /* owner only: first of the free list, or MOLE_END */
    int32_t armed;         /* owner only: what countdown started from */

    /*
     * inbox_a: blocks freed by threads that do not own the slab, as a list in the table:
     * MOLE_INBOX_LISTED | count << 16 | index of the first.
     *   writers  any thread pushes a list; the owner takes all
     *   readers  the owner
     *   orders   push CAS acq_rel, take swap acquire: HB-INBOX-1, HB-INBOX-2
     *   keeps    a block is in exactly one of: client, free list, a batch, inbox
     */
    _Atomic(uint32_t) inbox_a;
    uint16_t fresh; /* owner only: blocks ever put on the free list */

    /*
     * state_a: of a slab, enum mole_span_state.
     *   writers  the owner
     *   readers  the owner; a thief that took the slab out of the woken list (steal.c)
     *   orders   relaxed: what a thief must know came with the inbox, HB-INBOX-1
     *   keeps    a full slab whose blocks are all in its inbox stays full
     */
    _Atomic(uint8_t) state_a;
    uint8_t dirty; /* whoever maps the slab: entries may look live */
    /*
     * empty_a: of the last class, a bit a block: its MOLE_WHOLE means 0 bytes, not 1.
     *   writers  the holder of a block whose size becomes 0 or 1
     *   readers  whoever finds MOLE_WHOLE in the block's entry
     *   orders   relaxed, as entry_a
     *   keeps    true of blocks with such an entry; of others it says nothing
     */
    _Atomic(uint32_t) empty_a;
    union {
        struct mole_span *next; /* owner only: its list of partial slabs */
        uint64_t mark; /* large, block's holder: spies that heard of it in a sample */
    };
    union {
        struct mole_span *prev; /* owner only: see next */
        size_t marked_bytes;    /* large, block's holder: the size that they heard of */
    };
    struct mole_span *woken_next; /* whoever set MOLE_INBOX_LISTED, then the owner */
    union {
        char *head;  /* slab of malloc's heap, owner only: see head.h */
        size_t room; /* large, block's holder: bytes from base to the run's end */
        const struct mole_fixed *fixed; /* const while mapped: MOLE_SPAN_FIXED */
    };

    /*
     * bytes_a: large: the requested size, or MOLE_LARGE_FREE.
     *   writers  who allocates, resizes or frees the block: the client excludes others
     *   readers  the same; whole-heap inspection
     *   orders   relaxed
     *   keeps    <= room while live
     */
    union {
        _Atomic(size_t) bytes_a;
        struct { /* owner only: of a partial slab, see tcache/sweep.h and holes.h */
            uint16_t listed, look_at;
            uint32_t purged;
        };
    };

    /*
     * entry_a: the table, see the top of this file.
     *   writers  the block's holder while live; then whoever has the list the block is in
     *   readers  any
     *   orders   relaxed: HB-INBOX-1 and the client's own order carry the blocks
     *   keeps    entry_a[capacity] is never live
     */
    alignas(MOLE_CACHE_LINE) _Atomic(uint16_t) entry_a[];
};
static_assert(offsetof(struct mole_span, countdown) == MOLE_CACHE_LINE &&
                  offsetof(struct mole_span, entry_a) == (size_t)2 * MOLE_CACHE_LINE,
              "who frees a block of another thread's reads the first line only");

#define MOLE_LARGE_FREE SIZE_MAX

/* What the span map says of addresses that are no span's: it refuses all. */
extern mole_own struct mole_span mole_span_nobody;

/* `to_owner` is for who may be late: late.h. */
void mole_span_set_owner(struct mole_span *span, struct mole_owner *owner);
void mole_span_set_run(struct mole_span *span, const struct mole_run *run);
static inline struct mole_run *mole_span_run(const struct mole_span *span)
{
    return (struct mole_run *)(void *)mole_meta_of_number(span->run);
}

/*
 * The index of the block that starts at `address`, which lies in the slab's pages; false
 * for an address inside a block. One multiplication: its high half is the index, and its
 * low half is below the reciprocal exactly at a block's start.
 */
mole_hot bool mole_span_index(const struct mole_span *span, const void *address,
                              size_t *index)
{
    uint64_t offset = (uint64_t)((const char *)address - span->base);
    __extension__ unsigned __int128 product = offset;
    product *= span->recip;
    *index = (size_t)(product >> 64);
    fence_compiler(); /* read recip again: as an operand, not into a register first */
    return (uint64_t)product < span->recip;
}

mole_hot bool mole_span_entry_is_live(uint16_t entry)
{
    return (int16_t)entry < 0;
}

/* Requested size of the live block at `address`; MOLE_LARGE_FREE where none starts. */
size_t mole_span_bytes(const struct mole_span *span, const void *address);

/* A descriptor for a slab or, with capacity 0, a large span; or NULL. */
struct mole_span *mole_span_take(size_t capacity) mole_must_check;
void mole_span_give(struct mole_span *span);

/* Make `span` a slab at `base`, empty, and its free list too; put it in the span map. */
void mole_span_map_slab(struct mole_span *span, char *base, uint32_t pages,
                        unsigned class, struct mole_owner *owner, struct mole_run *run);

/* Take a slab or large span out of the map. */
void mole_span_unmap(struct mole_span *span);
/* Blocks of `class` in `pages` pages. */
size_t mole_span_capacity(uint32_t pages, unsigned class);

/* Put a page's worth of never used blocks on the empty free list. False: none left. */
bool mole_span_carve(struct mole_span *span) mole_must_check;

/* In a fork's child: every block that is not live goes on the free list. */
void mole_span_rebuild(struct mole_span *span);

/* Whether the slab is an earlier heap's that this one has no block in. */
bool mole_span_is_unused(const struct mole_span *span);

/* Live blocks, by reading the table. */
size_t mole_span_live_count(const struct mole_span *span);

/* Walk all invariants of a slab; for tests and debug builds. The owner is quiet. */
void mole_span_check(const struct mole_span *span);
