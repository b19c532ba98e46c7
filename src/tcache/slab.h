/* SPDX-License-Identifier: MIT */
/*
 * A cache's slabs: making them, giving them back, and moving them between current, full
 * and partial. Owner only, inside an operation.
 */
#pragma once

#include "tcache/tcache.h"

enum { MOLE_SLAB_FEW = 48 }; /* slabs below this have few blocks */

/* Start the countdown at `frees`, and account for the frees it counted until now. */
void mole_slab_arm(struct mole_tcache *cache, struct mole_span *span, int32_t frees);

/* Make `span` the slab its class is allocated from. It must be in no list. */
void mole_slab_make_current(struct mole_tcache *cache, struct mole_span *span);

/*
 * Set the slab aside: its free list is empty. It is current no more, and not to be
 * touched after this: a thief may have it.
 */
void mole_slab_make_full(struct mole_tcache *cache, struct mole_span *span);

/* Whether a current slab has no block left, none that was never used either. */
mole_hot bool mole_slab_is_used_up(const struct mole_span *span)
{
    return span->free == MOLE_END && span->fresh == span->capacity &&
           span != &mole_tcache_none;
}

/* Let the class have no current slab. */
void mole_slab_drop_current(struct mole_tcache *cache, unsigned class);

/* List a slab with `used` blocks in use. */
void mole_slab_make_partial(struct mole_tcache *cache, struct mole_span *span,
                            int32_t used);

/*
 * The partial slab to use next, still listed, or NULL: the newest. Of slabs of few blocks
 * it is the oldest, unless it lost pages, for the newest got two blocks back just now,
 * and the next refill would follow at once.
 */
mole_hot struct mole_span *mole_slab_next_partial(const struct mole_tcache *cache,
                                                  unsigned class)
{
    struct mole_span *newest = cache->partial[class];
    if (!newest || newest->capacity >= MOLE_SLAB_FEW || newest->prev->purged)
        return newest;
    return newest->prev;
}

/* The same, out of the list. */
struct mole_span *mole_slab_pop_partial(struct mole_tcache *cache, unsigned class);
void mole_slab_unlist(struct mole_tcache *cache, struct mole_span *span);

/* A slab of the class that was kept empty, or a new one; or NULL. */
struct mole_span *mole_slab_create(struct mole_tcache *cache,
                                   struct mole_pool_slots *slots, unsigned class)
    mole_must_check;

/* Give an empty slab's pages back. It is in no list, and its inbox is quiet. */
void mole_slab_destroy(struct mole_tcache *cache, struct mole_pool_slots *slots,
                       struct mole_span *span);

/*
 * The same under the arena's lock, and without calls to the system: what is left goes
 * back later, the span by mole_span_give, and the run that is returned by
 * mole_arena_return, being in no heap any more. NULL: others use the run.
 */
struct mole_run *mole_slab_take_apart(struct mole_tcache *cache, struct mole_span *span)
    mole_must_check;

/*
 * Put what came back to the slab on its free list, ordered (order.h) if there are free
 * blocks already; `unlist` as for mole_inbox_take.
 */
void mole_slab_drain(struct mole_tcache *cache, struct mole_pool_slots *slots,
                     struct mole_span *span, bool unlist);

/* Do that for all slabs whose inbox filled since the last time. */
void mole_slab_collect(struct mole_tcache *cache, struct mole_pool_slots *slots);

/*
 * Whether all blocks are on the slab's free list: none is live, and none in an inbox or
 * in another thread's batch, where it is free already. Looks at each of them.
 */
bool mole_slab_is_whole(struct mole_span *span);

/* The current slab of a class, if it is whole, is kept (empties.h) or goes. */
void mole_slab_retire_whole(struct mole_tcache *cache, struct mole_pool_slots *slots,
                            unsigned class);

/* Give all of those back, and the slabs that are kept. */
void mole_slab_retire_current(struct mole_tcache *cache, struct mole_pool_slots *slots);
