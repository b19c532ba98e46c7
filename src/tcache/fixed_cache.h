/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a fixed-size heap on their way between a thread and the arena. Each cache has
 * stacks of free blocks, one for each length up to 64 granules, linked in the heap's
 * table; whoever frees a block puts it in a stack of his own, whoever allocated it.
 *
 *   first[granules - 1] --> block --> block --> 0
 *
 * where --> is MOLE_FIXED_CACHED + the block's granule, also in the table. Blocks of no
 * bytes are never there.
 *
 * What all caches hold is bounded: each has been granted a share of the heap's credit,
 * 1/64 of its memory, and gives blocks to the arena before it exceeds that. Before an
 * allocation fails, and for HeapCompact, all of them give back all they hold. Heaps with
 * checks have no credit: what is freed there must be seen to be.
 *
 * A cache's stacks are its owner's, inside an operation that the gate knows of, or who
 * has the gate. No label is needed: blocks go between threads under the arena's lock.
 */
#pragma once

#include "tcache/tcache.h"

/* `fixed` is NULL for other heaps. */
void mole_fixed_cache_init(struct mole_tcache *cache, const struct mole_fixed *fixed);

/*
 * Take a block of the stack `slot`, which is (bytes - 1) / MOLE_GRANULE; NULL: there is
 * none. Owner only, inside an operation.
 */
mole_hot void *mole_fixed_cache_pop(struct mole_fixed_cache *cache, size_t slot,
                                    size_t bytes)
{
    if (unlikely(slot >= MOLE_DIRECT_COUNT))
        return NULL;
    uint32_t granule = cache->first[slot] - MOLE_FIXED_CACHED;
    if (unlikely(!granule))
        return NULL;
    _Atomic(uint32_t) *entry = &cache->entry_a[granule];
    cache->first[slot] = load_rlx(entry);
    store_rlx(entry, MOLE_FIXED_LIVE + (uint32_t)bytes);
    cache->left += (uint32_t)slot + 1;
    return cache->origin + (size_t)granule * MOLE_GRANULE;
}

/*
 * Put the block at an address in a stack; false: it is no live block of the heap's, or
 * the stacks are not for it, or the cache holds enough. Owner only, inside an operation.
 */
mole_hot bool mole_fixed_cache_push(struct mole_fixed_cache *cache, const void *block)
{
    uint64_t offset = (uint64_t)((const char *)block - cache->origin);
    /* What is no multiple becomes too high. */
    uint64_t granule = offset / MOLE_GRANULE | offset << (64 - MOLE_GRANULE_SHIFT);
    if (unlikely(granule >= cache->end))
        return false;
    _Atomic(uint32_t) *entry = &cache->entry_a[granule];
    /* What is not live becomes too high, too. */
    uint32_t slot = (load_rlx(entry) - (MOLE_FIXED_LIVE + 1)) / MOLE_GRANULE;
    if (unlikely(slot >= MOLE_DIRECT_COUNT || slot >= cache->left))
        return false;
    store_rlx(entry, cache->first[slot]);
    cache->first[slot] = MOLE_FIXED_CACHED + (uint32_t)granule;
    cache->left -= slot + 1;
    cache->frees++;
    return true;
}

/*
 * A block of `bytes`, or NULL: of a stack, or of the arena. Inside an operation; `cache`
 * is the one it is in, or NULL.
 */
mole_slow void *mole_fixed_cache_alloc(struct mole_heap *heap, struct mole_tcache *cache,
                                       size_t bytes) mole_must_check;

/* Free a live block: into a stack, or to the arena. Likewise. */
mole_slow void mole_fixed_cache_free(struct mole_heap *heap, struct mole_tcache *cache,
                                     const void *block);

/* Resize a live block in place; false: it cannot be. Inside an operation. */
bool mole_fixed_cache_resize(struct mole_heap *heap, const void *block, size_t bytes)
    mole_must_check;

/*
 * Have a cache give back all it holds, and its grant; of another heap: nothing. The
 * arena's lock is held, and the cache is the caller's.
 */
void mole_fixed_cache_drain(struct mole_tcache *cache);

/* The same with all caches of the heap, which are all the caller's. */
void mole_fixed_cache_drain_all(struct mole_heap *heap);

/*
 * An allocation is about to fail: have the heap for oneself and drain its caches. False:
 * that would not help, or must not be, for the call `passes` the gate. True: try once
 * more, then mole_fixed_cache_resume. The thread is in no operation.
 */
bool mole_fixed_cache_stop(struct mole_heap *heap, bool passes) mole_must_check;
void mole_fixed_cache_resume(struct mole_heap *heap);

/* In a fork's child: what is not live is free, and torn caches are orphans. */
void mole_fixed_cache_repair(struct mole_heap *heap);
