/* SPDX-License-Identifier: MIT */
/*
 * Freed large spans that a cache keeps whole, one of each size up to 1 MiB, or a few of
 * a size that buffers have, for its next block of that size: in the map, in their run,
 * and no live block (MOLE_LARGE_FREE).
 *
 *   free --put--> a slot --take, reuse--> a block
 *                 |   a pass: OLD; the next: BUSY, its pages go to the system, CLEAN
 *                 '--reclaim, drop--> the pool: for who needs memory, with the heap
 *
 * Only the cache's owner fills slots; anybody may empty them. A pass leaves the span
 * where it is, so that it needs nothing of the heap's, which may end meanwhile: then its
 * run is left to the pass, off the heap's list.
 *
 *  label       release side              acquire side                 makes visible
 *  HB-LARGE-1  put: store of a slot      take, reclaim, pass: its CAS  the span's fields
 *  HB-LARGE-2  pass: CAS from BUSY       reuse, reclaim, drop: a CAS  the pages are gone
 *  HB-LARGE-3  drop: CAS of a BUSY slot  pass: its CAS that fails     the run is nobody's
 *
 * May run together: everything but put, take, reuse and drop of one cache (its owner).
 * Progress: put, take and reuse are wait-free; a pass skips an arena whose lock is held.
 * Checked by: tests/race/large_step.c (every instruction), tests/race/large.c (TSan).
 */
#pragma once

#include "arena/heap.h"
#include "arena/large.h"

enum {
    MOLE_LARGE_KEPT = 24,       /* the most chunks that one cache has room for */
    MOLE_LARGE_FURTHER = 3 + 1, /* more slots: for spans of one chunk, of two */
    MOLE_LARGE_SLOTS = MOLE_LARGE_ODD + 1 + MOLE_LARGE_FURTHER,
};

/* In the low bits of a slot; but for the first, a span is there. */
enum mole_large_state {
    MOLE_LARGE_OPEN = 1,   /* empty, its span may come; 0: empty and shut */
    MOLE_LARGE_READY = 2,  /* put since the last pass; alone in having this bit */
    MOLE_LARGE_OLD = 4,    /* put before that */
    MOLE_LARGE_BUSY = 8,   /* whoever made it so is giving its pages back */
    MOLE_LARGE_CLEAN = 12, /* it reads as zero */
    MOLE_LARGE_STATES = 15,
};

struct mole_large_cache {
    /*
     * slot_a: the free span of as many chunks, and its state. The first is not used, that
     * of MOLE_LARGE_ODD is for all other spans and always shut; then the further ones.
     *   writers  the owner opens, shuts and fills; anybody empties or changes the state
     *   readers  the same
     *   orders   fill store release, of a span CAS: HB-LARGE-1, HB-LARGE-2, HB-LARGE-3
     *   keeps    a span is in one slot at most, and then MOLE_LARGE_FREE, of the cache's
     *            heap; a BUSY one stays while the heap lives; chunks of slots that are
     *            not shut make MOLE_LARGE_KEPT at most
     */
    _Atomic(uintptr_t) slot_a[MOLE_LARGE_SLOTS];
    bool is_used; /* owner only: a slot may not be shut; false while nobody's */
};

/*
 * Take a span for a block of `bytes`, which records `recorded`. False: none is ready.
 */
mole_hot bool mole_large_cache_take(struct mole_large_cache *large, size_t bytes,
                                    size_t recorded, void **block)
{
    size_t index = (bytes - 1) / MOLE_CHUNK;
    mole_forget(index); /* compare it, not the bytes it comes from */
    if (unlikely(index >= MOLE_LARGE_MOST))
        return false;
    _Atomic(uintptr_t) *slot = &large->slot_a[index + 1];
    uintptr_t kept = load_rlx(slot);
    if (unlikely(!(kept & MOLE_LARGE_READY) ||
                 !cas_acq(slot, &kept, MOLE_LARGE_OPEN))) /* HB-LARGE-1 */
        return false;
    struct mole_span *span = (struct mole_span *)(kept - MOLE_LARGE_READY);
    store_rlx(&span->bytes_a, recorded);
    *block = span->base;
    return true;
}

/*
 * Free and keep the block of a large span of the cache's heap, if that is what it is.
 * False: nothing has happened. Frees are the caller's to count.
 */
mole_hot bool mole_large_cache_put(struct mole_large_cache *large, struct mole_span *span,
                                   const void *block)
{
    if (unlikely(span->base != block ||
                 load_rlx_folded(&span->bytes_a) == MOLE_LARGE_FREE))
        return false;
    size_t chunks = span->capacity;
    if (unlikely(load_rlx_folded(&large->slot_a[chunks]) != MOLE_LARGE_OPEN))
        return false;
    mole_forget(chunks);
    store_rlx(&span->bytes_a, MOLE_LARGE_FREE);
    store_rel(&large->slot_a[chunks],
              (uintptr_t)span + MOLE_LARGE_READY); /* HB-LARGE-1 */
    return true;
}

struct mole_tcache;

/*
 * The same for any span kept that has room, for a block that is aligned to `align` and
 * cleared on demand; or NULL, also for a `cache` that is NULL. Owner
 * only, inside an operation, as all of these but reclaim and pass.
 */
void *mole_large_cache_reuse(struct mole_tcache *cache, size_t bytes, size_t align,
                             bool zero) mole_must_check;

/* Free the live block of a large span: keep it in `cache`, which may be NULL, or not. */
void mole_large_cache_free(struct mole_tcache *cache, struct mole_pool_slots *slots,
                           struct mole_span *span);

/*
 * Give what the caches of a live heap keep to the pool. Returns how many runs. Of a heap
 * with a lock by anybody, of another by whose turn it is.
 */
mole_shared size_t mole_large_cache_reclaim(struct mole_heap *heap,
                                            struct mole_pool_slots *slots);

/*
 * The heap is dead: what the cache keeps is the heap's again, as large spans without a
 * block.
 */
void mole_large_cache_drop(struct mole_tcache *cache, struct mole_pool_slots *slots);

/* In a fork's child, which looks through the heap's spans for what is free. */
void mole_large_cache_forget(struct mole_tcache *cache);

/*
 * A pass over all heaps: what was kept before the last one goes back to the system. With
 * `all`, everything does, and goes to the pool where that is possible. Returns how many
 * spans are kept warm.
 */
size_t mole_large_cache_pass(bool all);
