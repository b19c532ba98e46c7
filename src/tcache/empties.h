/* SPDX-License-Identifier: MIT */
/*
 * A cache's empties: empty slabs that it keeps, by class, for the next time it needs
 * one. Making a slab and giving it back costs as much as some fifty allocations, and
 * programs that allocate and free in turn would do so over and over. Owner only, inside
 * an operation.
 *
 * Each cache may keep a few pages. Slabs of few, large blocks are dear, for they fill and
 * empty soonest: of those whose last block the owner freed it keeps more, as many pages
 * as its thread made slabs of, in room that all caches of the process share. Who only
 * frees what another thread allocated has no use for them. Room goes back with what is in
 * it: when the program shrinks (warmth.h), when some of it lay unused from one sweep to
 * the next, when the cache is idle (idle.h), and when it ends. Heaps whose idle caches
 * nobody ever looks after, for they have no lock or are executable, get none. Where the
 * purger cannot do it (one thread, no barrier) a cache that is not used keeps its room.
 */
#pragma once

#include "tcache/tcache.h"

enum {
    MOLE_EMPTY_PAGES = 64,  /* what each cache has at most, but for what is in its room */
    MOLE_ROOM_PAGES = 2048, /* room in all */
    MOLE_ROOM_STEP = 64,    /* a cache's room is a multiple */
};

/*
 * Keep a slab that is empty, quiet and in no list; `is_own`: the owner freed its last
 * block. False: there is no room for it.
 */
bool mole_empties_put(struct mole_tcache *cache, struct mole_span *span, bool is_own)
    mole_must_check;

/* A slab had to be made, for none was kept. */
void mole_empties_note_made(struct mole_tcache *cache, const struct mole_span *span);

/* The cache has another thread now, which may want none of what the last one did. */
static inline void mole_empties_adopt(struct mole_tcache *cache)
{
    cache->dear_made = 0;
}

/* One of the class, or NULL. */
struct mole_span *mole_empties_take(struct mole_tcache *cache, unsigned class);

/* Give all of them back, and the room. Returns whether there were any. */
bool mole_empties_drop(struct mole_tcache *cache, struct mole_pool_slots *slots);

/* A slab is empty: if the program shrinks, some of those in the room go. */
mole_slow void mole_empties_shrink_slow(struct mole_tcache *cache,
                                        struct mole_pool_slots *slots);

mole_hot void mole_empties_shrink(struct mole_tcache *cache,
                                  struct mole_pool_slots *slots)
{
    if (unlikely(cache->dear_room))
        mole_empties_shrink_slow(cache, slots);
}

/* A sweep begins: dear ones that nobody took since the last go, some at a time. */
void mole_empties_sweep(struct mole_tcache *cache);

/* There are none any more: they go with their runs. So does the room. */
void mole_empties_forget(struct mole_tcache *cache);

/*
 * In a fork's child: what caches of heaps that live have is all the room that is taken.
 */
void mole_empties_recount(void);

/* Pages of room that all caches have. */
uint32_t mole_empties_room(void);
