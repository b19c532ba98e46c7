/* SPDX-License-Identifier: MIT */
/*
 * Sweeping: a cache's partial slabs that have been such for a while lose their holes
 * (holes.h). The slabs of a class lie in the order in which they were listed and are
 * allocated from the newest on, or in turn (mole_slab_next_partial): the oldest are what
 * the class does without, because the program wants other sizes now, or less. A few
 * blocks that live on would keep each of them resident.
 *
 *   partial[class] --> newest <--prev, next--> ... <--> oldest       newest->prev: oldest
 *                               <-- the sweep goes on here
 *
 * Sweeps are made by the owner a step at a time, where slabs become partial, take the
 * place of a current one or are made, and one in MOLE_PASS_MS at most. A slab is looked
 * at when it has few live blocks, and again when a quarter of those are gone (look_at: so
 * many are left). `listed` is the tick when it became partial, less what is beyond 16
 * bits: what is old may pass for new.
 */
#pragma once

#include "arena/pool.h"
#include "tcache/tcache.h"

enum {
    MOLE_SWEEP_EVERY = 16, /* of mole_sweep_go_on: a step */
    MOLE_SWEEP_AGE = 2,    /* times MOLE_PASS_MS that a slab is left alone for */
    MOLE_SWEEP_SLABS = 32, /* looked at in a step, at most */
    MOLE_SWEEP_PAGES = 64, /* when so many are given back, a step ends */
    MOLE_SWEEP_LIVE = 4,   /* few live blocks: so many a page */
};

/* No sweep is under way any more; for a cache that lost its lists, for one. */
static inline void mole_sweep_end(struct mole_tcache *cache)
{
    cache->sweep.next = NULL;
    cache->sweep.class = MOLE_SLAB_CLASSES;
}

/* For a new cache. */
static inline void mole_sweep_init(struct mole_tcache *cache)
{
    mole_sweep_end(cache);
    cache->sweep.now = cache->sweep.began = 0;
    cache->sweep.wait = MOLE_SWEEP_EVERY;
}

/* The slab becomes partial: its pages may all be resident. Owner only, like all here. */
void mole_sweep_note(struct mole_tcache *cache, struct mole_span *span);

/* The slab, which is listed yet, will not be. */
static inline void mole_sweep_forget(struct mole_tcache *cache,
                                     const struct mole_span *span)
{
    if (cache->sweep.next == span)
        cache->sweep.next = span == cache->partial[span->class] ? NULL : span->prev;
}

/* A step at that tick. */
void mole_sweep_step(struct mole_tcache *cache, uint32_t now);

/* It is time for one. */
mole_slow void mole_sweep_go_on_slow(struct mole_tcache *cache);

/*
 * A slab was made, or a full one got blocks back. Inside an operation; the lists are in
 * order.
 */
mole_hot void mole_sweep_go_on(struct mole_tcache *cache)
{
    if (unlikely(--cache->sweep.wait == 0))
        mole_sweep_go_on_slow(cache);
}

/* Give all holes of all partial slabs back, old or new. Returns how many pages. */
size_t mole_sweep_all(struct mole_tcache *cache);
