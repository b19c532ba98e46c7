/* SPDX-License-Identifier: MIT */
/*
 * Whole operations on blocks, whatever their size and whoever owns their slab: what the
 * Win32 functions and malloc's share. The fast paths of both are shortcuts of these.
 */
#pragma once

#include "tcache/thread.h"

enum {
    MOLE_BLOCK_ZERO = 1,     /* clear a new block, or what grows */
    MOLE_BLOCK_IN_PLACE = 2, /* resize, but never move */
    MOLE_BLOCK_UNGATED = 4,  /* also while another thread has shut the heap's gate */
    MOLE_BLOCK_APART = 8,    /* a new block in pages of its own, whatever its size */
};

/*
 * A block of `bytes`, at least 16-byte aligned and to `align` (a power of two); or NULL.
 * Any size is allowed.
 */
mole_slow mole_shared void *mole_block_alloc(struct mole_heap *heap, size_t bytes,
                                             size_t align, unsigned how) mole_must_check;

/* The span of the live block that starts at `address` in `heap`; NULL: there is none. */
mole_shared struct mole_span *mole_block_find(struct mole_heap *heap,
                                              const void *address);

/* Whether the address lies in molehill's memory, live or not. */
mole_shared bool mole_block_is_ours(const void *address);

/*
 * Count an address given to malloc that is not in molehill's memory; how many there were.
 */
mole_shared void mole_block_count_foreign(void);
uint64_t mole_block_foreign(void);

/*
 * Say what is wrong with an address of ours that is no live block of malloc's but was
 * given to `call`, and abort.
 */
mole_slow mole_shared _Noreturn void mole_block_blame(const char *call,
                                                      const void *address);

/*
 * Free such a block. False: it was freed while this call waited at the heap's gate.
 */
mole_slow mole_shared bool mole_block_free(struct mole_span *span, void *block,
                                           unsigned how);

/*
 * The bytes the block may use: its slab's block size, what it has of a large span's
 * pages, or its granules.
 */
mole_shared size_t mole_block_room(const struct mole_span *span, const void *block);

/*
 * Whether a block of the slab may stay where it is with `bytes`: it has room for them,
 * and would not waste half of that.
 */
mole_hot bool mole_block_suits(const struct mole_span *span, size_t bytes)
{
    size_t room = span->block_bytes;
    return bytes <= room &&
           (2 * bytes >= room || room <= 128 || span->class == MOLE_CLASS_MIXED);
}

/*
 * Resize such a block. Its address after that, or NULL: nothing happened. Clearing is
 * part of it, as the gate sees it.
 */
mole_shared void *mole_block_resize(struct mole_span *span, void *block, size_t bytes,
                                    unsigned how) mole_must_check;

/*
 * What a block left behind that got another address: the old block, which still is one,
 * or the run it was in; or nothing.
 */
struct mole_block_rest {
    struct mole_heap *heap;
    struct mole_span *span;
    void *block;
    struct mole_run *run;
};

/*
 * The same in two steps: nobody else gets the old address before the second one. How it
 * was resized, APART included, decides whether there is a rest.
 */
void *mole_block_resize_begin(struct mole_span *span, void *block, size_t bytes,
                              unsigned how, struct mole_block_rest *rest) mole_must_check;
void mole_block_resize_end(struct mole_block_rest *rest, unsigned how);
