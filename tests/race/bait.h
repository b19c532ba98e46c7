/* SPDX-License-Identifier: MIT */
/*
 * A cache that only malloc's fast paths find: where they look stands the bait, while slow
 * paths know the thread's own one. Who takes from it, or leaves something there, was a
 * fast path.
 */
#pragma once

#include "arena/span_map.h"
#include "malloc/malloc.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum { BAIT_SMALL = 64, BAIT_MEDIUM = 3000 };

struct bait {
    struct mole_tcache cache;
    struct mole_span *small, *medium; /* slabs with free blocks */
    struct mole_tcache *own;          /* the thread's */
};

/* A slab of the bait's; NULL: no memory. */
static inline struct mole_span *bait_slab(struct bait *bait, size_t bytes)
{
    unsigned class = mole_size_class_of(bytes);
    struct mole_span *span = mole_span_take(mole_span_capacity(MOLE_CHUNK_PAGES, class));
    struct mole_run *run = mole_pool_take(NULL, 1);
    if (!span || !run)
        return NULL;
    mole_span_map_slab(span, run->base, MOLE_CHUNK_PAGES, class, &bait->cache.owner, run);
    span->countdown = MOLE_COUNT_ON;
    bait->cache.current[class] = span;
    if ((bytes - 1) / MOLE_ALIGN < MOLE_DIRECT_COUNT)
        bait->cache.direct[(bytes - 1) / MOLE_ALIGN] = span;
    return mole_span_carve(span) ? span : NULL;
}

/* For the calling thread, which has a cache of its own. */
static inline bool bait_init(struct bait *bait)
{
    *bait = (struct bait){.cache = mole_tcache_idle, .own = mole_tls.malloc_cache};
    bait->cache.owner.heap = mole_process_malloc_heap();
    bait->small = bait_slab(bait, BAIT_SMALL);
    bait->medium = bait_slab(bait, BAIT_MEDIUM);
    return bait->small && bait->medium;
}

/* Lay the bait, and take it away. */
static inline void bait_lay(struct bait *bait)
{
    mole_tls.malloc_cache = &bait->cache;
}

static inline void bait_lift(const struct bait *bait)
{
    mole_tls.malloc_cache = bait->own;
}

/* Changes with everything that a fast path does with the bait. */
static inline uint64_t bait_state(const struct bait *bait)
{
    uint64_t remote = bait->cache.frees; /* into batches */
    return bait->small->free | (uint64_t)bait->medium->free << 16 | remote << 32;
}
