/* SPDX-License-Identifier: MIT */
/*
 * guard — what is written around and into the blocks of heaps that are checked, so that
 * their clients' errors can be seen: where the checks of HeapCreate's flags and of
 * global_flag are done.
 *
 *   a live block     | bytes asked for | tail: 16 x AB | canary | rest of the slot |
 *   new bytes        BAADF00D, whole DWORDs
 *   a free slot      FEEEFEEE all over, from the moment it is carved; likewise what is
 *                    free of a fixed-size heap, from the first use of memory behind it
 *
 * Tails and fills are Windows' (spec 2.15), with their exception: what is
 * MOLE_GUARD_APART bytes or larger is new memory there, all zero, and so is what follows
 * it. Canaries are of hardened heaps: 8 bytes made of a secret of the heap's and of the
 * block's address. Blocks of a checked heap are larger than asked for by heap->pad;
 * tables and descriptors keep the size asked for.
 *
 * All writes are made inside of operations on the heap, of which MOLE_MODE_CHECKED makes
 * slow ones; whole slabs are looked through while the heap is stopped.
 */
#pragma once

#include "arena/heap.h"

enum {
    MOLE_GUARD_TAIL = 1,      /* tails */
    MOLE_GUARD_FILL = 2,      /* fills of new and of free memory */
    MOLE_GUARD_CALLS = 4,     /* calls refuse blocks with a damaged tail */
    MOLE_GUARD_ALL = 8,       /* calls look through the whole heap first */
    MOLE_GUARD_HARD = 16,     /* canaries, coded links, random order; errors are fatal */
    MOLE_GUARD_OWN_TAIL = 32, /* tails because HeapCreate was told so */
    MOLE_GUARD_APART = 0xff000,
};

/* Flags of HeapCreate. */
enum {
    MOLE_HEAP_TAIL_CHECKING = 0x20,
    MOLE_HEAP_FREE_CHECKING = 0x40,
    MOLE_HEAP_HARDENED = 0x200,
};

/* Windows' bits of global_flag; the others mean nothing here. */
enum {
    MOLE_GLOBAL_TAIL_CHECK = 0x10,
    MOLE_GLOBAL_FREE_CHECK = 0x20,
    MOLE_GLOBAL_VALIDATE_PARAMETERS = 0x40,
    MOLE_GLOBAL_VALIDATE_ALL = 0x80,
};

/* What heaps to come have by global_flag, besides what HeapCreate is told. */
void mole_guard_set_global(uint32_t global_flag);

/*
 * Set up the checks of a heap that nobody has allocated from and nobody uses: as its
 * creation flags and global_flag say.
 */
void mole_guard_begin(struct mole_heap *heap);

/* Whether a heap created now with these flags has any checks. */
bool mole_guard_is_wanted(uint32_t flags);

/* Take up what global_flag says now. False: the heap was used, and stays as it is. */
bool mole_guard_take_up(struct mole_heap *heap);

/* The room that a block of `bytes` takes; sizes that cannot be had stay such. */
static inline size_t mole_guard_padded(const struct mole_heap *heap, size_t bytes)
{
    return bytes > PTRDIFF_MAX ? bytes : bytes + heap->pad;
}

/* Whether Windows' debug checks are on: then its front ends are not. */
static inline bool mole_guard_is_debug(const struct mole_heap *heap)
{
    return heap->checks & ~(unsigned)MOLE_GUARD_HARD;
}

/*
 * Whether the block is one that Windows maps by itself, which a fixed-size heap has not.
 */
static inline bool mole_guard_is_apart(const struct mole_heap *heap, size_t bytes)
{
    return bytes >= MOLE_GUARD_APART && !heap->fixed;
}

/* Whether a new block has to be clear although nobody asked for that. */
static inline bool mole_guard_is_clear(const struct mole_heap *heap, size_t bytes)
{
    return mole_guard_is_apart(heap, bytes) &&
           (heap->checks & (MOLE_GUARD_TAIL | MOLE_GUARD_FILL));
}

/* A new block; `is_clear`: its bytes are zero and stay so. */
void mole_guard_born(struct mole_heap *heap, char *block, size_t bytes, bool is_clear);

/*
 * A block that had `old` bytes and may have moved; `is_clear`: what it grew by is zero.
 */
void mole_guard_resized(struct mole_heap *heap, char *block, size_t old, size_t bytes,
                        bool is_clear);

/* A block that ends here. It is still live in its table. */
void mole_guard_died(const struct mole_span *span, char *block);

/* Memory that is free from now on, other than by a block's end. */
void mole_guard_freed(const struct mole_heap *heap, char *start, size_t bytes);

/* Slots that come to be: `count` from the one with this index on. */
void mole_guard_carved(const struct mole_span *span, size_t index, size_t count);

/* What is right behind the live block is as it was written. */
bool mole_guard_is_whole(const struct mole_span *span, const char *block);

/*
 * A slot that was free until now, or a new block of a fixed-size heap, is as it was left.
 */
bool mole_guard_is_dead(const struct mole_span *span, const char *block);

/*
 * All slots ever used of a slab, all large blocks, and what was ever used of a fixed-size
 * heap are as they should be.
 */
bool mole_guard_is_right(const struct mole_span *span);

/* In a fork's child: make them so; or one block, or slot, of the span. */
void mole_guard_repair(const struct mole_span *span);
void mole_guard_repair_block(const struct mole_span *span, char *block);
