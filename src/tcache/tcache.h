/* SPDX-License-Identifier: MIT */
/*
 * Thread caches: the slabs one thread owns in one heap. The owner takes blocks from a
 * slab's free list and puts them back without atomics; blocks freed by others come back
 * through the slabs' inboxes. A HEAP_NO_SERIALIZE heap has one cache, used by whoever's
 * turn it is.
 *
 *   direct[(bytes - 1) / 16] --> current slab of the class --> free list (in its table)
 *   partial[class] --> slabs with free blocks           (full slabs are in no list)
 *
 * A slab's countdown takes the place of a counter of used blocks. Only frees move it:
 *
 *   current  starts so high that it is only ever used to count frees
 *   full     starts at a few frees; at 0 the slab is worth listing as partial
 *   partial  starts at the blocks in use, for nobody allocates from it; at 0 the slab is
 *            empty
 */
#pragma once

#include "arena/fixed.h"
#include "base/draw.h"
#include "tcache/growth.h"
#include "tcache/large_cache.h"

enum {
    MOLE_BATCHES =
        MOLE_SLAB_CLASSES, /* one a class: blocks freed in turn mostly share slabs */
    MOLE_BATCH_BLOCKS = 128,
    MOLE_BATCH_BYTES = 12 * 1024,
    MOLE_COUNT_ON = 1 << 30, /* a current slab's countdown */
};

/*
 * Blocks of another owner's slab, freed here and not handed over yet; linked in their
 * table.
 */
struct mole_batch {
    struct mole_span *span; /* NULL: empty */
    uint16_t first, last;
    uint16_t room; /* for so many more; with the last of them it goes */
    uint16_t most; /* blocks it goes with */
};

/*
 * Free blocks of a fixed-size heap that a cache has at hand: fixed_cache.h. Owner only.
 */
struct mole_fixed_cache {
    _Atomic(uint32_t) *entry_a; /* the heap's table */
    char *origin;               /* the heap's granule 0 */
    uint64_t end;               /* its blocks in the stacks lie below this granule */
    uint32_t left;              /* granules that the cache may yet take hold of */
    uint32_t granted;           /* granules that it may hold in all */
    uint64_t frees;
    uint32_t first[MOLE_DIRECT_COUNT]; /* by granules less one */
};

/* Where a cache's sweep is: sweep.h. Owner only. Ticks are times MOLE_PASS_MS. */
struct mole_sweep {
    struct mole_span *next; /* in the class; NULL: it is done */
    uint32_t now;           /* tick of the last step; 0: none yet */
    uint32_t began;         /* tick of the sweep's first step */
    uint8_t class;          /* MOLE_SLAB_CLASSES: there is no sweep under way */
    uint8_t wait;           /* calls to mole_sweep_go_on until the next step */
};

struct mole_tcache {
    struct mole_owner owner;

    /* Owner only, all of it. */
    struct mole_span *direct[MOLE_DIRECT_COUNT];
    struct mole_span *current[MOLE_SLAB_CLASSES]; /* mole_tcache_none: no slab yet */
    struct mole_span *partial[MOLE_SLAB_CLASSES];
    struct mole_span *empties[MOLE_SLAB_CLASSES]; /* kept: empties.h */
    uint32_t empty_pages, dear_pages, dear_least, dear_room, dear_made; /* empties.c */
    struct mole_growth growth;
    uint8_t used[MOLE_SLAB_CLASSES]; /* blocks freed and forgotten, saturating: usage.h */
    struct mole_run *page_runs;      /* runs cut in pages that have free ones */
    struct mole_batch batch[MOLE_BATCHES];
    uint64_t frees; /* by countdowns that were armed anew, and batches */
    struct mole_meta_stack
        *home;             /* where the record goes when its heap ends, see create */
    struct mole_draw draw; /* bytes until a block is one of a sample */
    bool is_torn;          /* in a fork's child: to be rebuilt from the tables */
    uint8_t drained;       /* whoever drains it while idle: classes that are done */
    bool keeps_all;        /* the same: empty slabs are kept until they are taken */
    struct mole_sweep sweep;
    struct mole_fixed_cache fixed; /* of a fixed-size heap; else unused */
    struct mole_large_cache large;
};

/* The current slab where there is none: never has a free block. */
extern mole_own struct mole_span mole_tcache_none;

/* The cache of threads that have none: all its slabs are mole_tcache_none. */
extern mole_own struct mole_tcache mole_tcache_idle;

/* Enter and leave an operation, for the gate. Slow paths keep it up all through. */
mole_hot void mole_tcache_enter(struct mole_tcache *cache)
{
    store_rlx(&cache->owner.busy_a, 1); /* HB-GATE-1 begins anew */
    fence_compiler();
}

mole_hot void mole_tcache_leave(struct mole_tcache *cache)
{
    store_rel(&cache->owner.busy_a, 0); /* HB-GATE-1 */
}

/*
 * Take a free block of the slab and store `mark` (mole_span_mark) in its entry; false
 * when the slab has none. Owner only, inside an operation.
 */
mole_hot bool mole_tcache_pop(struct mole_span *span, uint32_t mark, void **block)
{
    size_t index = span->free;
    if (unlikely(index == MOLE_END))
        return false;
    span->free = load_rlx_folded(&span->entry_a[index]);
    mole_forget(index);
    mole_forget(mark);
    store_rlx_folded(&span->entry_a[index], (uint16_t)mark);
    uint32_t offset = (uint32_t)index * span->block_bytes; /* slabs are small */
    *block = span->base + offset;
    return true;
}

/*
 * Put the live block with this index back. False: the countdown ended, the caller goes on
 * with mole_tcache_counted_down. Owner only, inside an operation.
 */
mole_hot bool mole_tcache_push(struct mole_span *span, size_t index)
{
    uint32_t head = span->free;
    mole_forget(head);
    store_rlx_folded(&span->entry_a[index], (uint16_t)head);
    span->free = (uint32_t)index;
    return likely(--span->countdown != 0);
}

/*
 * A cache for the heap, on its list, owned by `thread`; or NULL.
 *
 * Records come from `home` and return there. A thread that keeps a cache sets home to a
 * stack of its own: a fast path may enter the cache of a heap that is gone before it
 * notices, and must then find nobody else's. NULL: the stack of caches that no thread
 * keeps.
 */
struct mole_tcache *mole_tcache_create(struct mole_heap *heap, uintptr_t thread,
                                       struct mole_meta_stack *home) mole_must_check;

/*
 * Give the records of a list of caches back whose heap has ended. Returns how many blocks
 * were freed in them (mole_tcache_frees).
 */
uint64_t mole_tcache_destroy(struct mole_owner *owners);

/*
 * Where the caches of HEAP_NO_SERIALIZE heaps come from: several threads may remember
 * them.
 */
extern mole_own struct mole_meta_stack mole_tcache_shared;

/*
 * A block of 1 <= bytes <= MOLE_SLAB_MAX of `class`, or NULL: refill and retry. Inside an
 * operation; `slots` as for mole_pool_take.
 */
mole_slow mole_shared void *mole_tcache_alloc_slow(struct mole_tcache *cache,
                                                   struct mole_pool_slots *slots,
                                                   unsigned class, uint32_t mark)
    mole_must_check;

/*
 * What is left when memory is short: the same from caches of the heap that are up for
 * adoption, as `thread`. With MOLE_CLASS_COUNT they only give back what they can: NULL.
 */
mole_slow void *mole_tcache_alloc_from_orphans(struct mole_heap *heap,
                                               struct mole_pool_slots *slots,
                                               uintptr_t thread, unsigned class,
                                               uint32_t mark) mole_must_check;

/* What a slab's countdown at 0 asks for. Owner only, inside an operation. */
mole_slow mole_shared void mole_tcache_counted_down(struct mole_tcache *cache,
                                                    struct mole_pool_slots *slots,
                                                    struct mole_span *span);

/*
 * Free a block of another owner's slab, by a batch of `cache`, the caller's own in that
 * heap, or at once when it is NULL. False: it is not live (of two at a time see batch.c).
 */
mole_shared bool mole_tcache_free_remote(struct mole_tcache *cache,
                                         struct mole_span *span, size_t index);

/* Hand over all batches. Owner only. */
void mole_tcache_flush(struct mole_tcache *cache);

/* Blocks freed through this cache. Owner only, or when the owner is quiet. */
uint64_t mole_tcache_frees(const struct mole_tcache *cache);

/* Lists handed over to other owners since the start. */
uint64_t mole_tcache_batches(void);
