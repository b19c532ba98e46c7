/* SPDX-License-Identifier: MIT */
/*
 * A cache's mixed slab: one page of blocks of MOLE_MIXED_BYTES that serves small requests
 * of classes which have no slab in the cache yet, so that a heap with a few blocks of
 * many sizes does not take a page for each size. A class gets a slab of its own when it
 * was served MOLE_MIXED_TIMES, or when the page is full. From then on what is free here
 * serves it only before it needs a further slab, and not for ever.
 *
 * It is the slab of a class of its own, MOLE_CLASS_MIXED, to which no request leads, so
 * fast paths miss and end here. It is freed to as any other slab and stays current until
 * its heap ends or HeapCompact finds it empty. Its allocations are counted where they are
 * made (usage.h), for its frees do not tell which class was asked for. Heaps with
 * guards or coded links, and malloc's, which tells what a block may use, have none.
 */
#pragma once

#include "tcache/tcache.h"

/* The last class served; how often each is. */
enum { MOLE_MIXED_LAST = 15, MOLE_MIXED_TIMES = 16 };

/* Whether the class's next block should come from there, in a heap that may have one. */
mole_hot bool mole_mixed_serves(const struct mole_tcache *cache, unsigned class)
{
    return class <= MOLE_MIXED_LAST && cache->current[class] == &mole_tcache_none &&
           cache->used[class] < MOLE_MIXED_TIMES;
}

/* mole_tcache_pop of what is at hand there for the class. */
mole_hot bool mole_mixed_pop(struct mole_tcache *cache, unsigned class, uint32_t mark,
                             void **block)
{
    if (!mole_mixed_serves(cache, class) ||
        !mole_tcache_pop(cache->current[MOLE_CLASS_MIXED], mark, block))
        return false;
    cache->used[class]++;
    return true;
}

/*
 * The same, made if need be. NULL: the class or the heap has none, it is full, or there
 * is no memory. Owner only, inside an operation.
 */
void *mole_mixed_alloc(struct mole_tcache *cache, struct mole_pool_slots *slots,
                       unsigned class, uint32_t mark) mole_must_check;

/*
 * Whether a class with no free block of its own may take one that is free there, which is
 * counted. As long as usage.h still counts the class: it is a slow path each time.
 */
bool mole_mixed_has_rest(struct mole_tcache *cache, unsigned class) mole_must_check;

/* What a live block may use: as in a slab of its class. Of a free one: all. */
size_t mole_mixed_room(const struct mole_span *span, const void *block);
