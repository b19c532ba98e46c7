/* SPDX-License-Identifier: MIT */
/*
 * rest — heaps that ended and are kept whole: their record, home run and cache stay
 * together for the next heap of the kind, which has the same address and another id.
 *
 *   alive --begin--> at rest: word 0, no key fits, in nobody's list --end--> alive
 *                        '--dismiss--> its cache and its runs are given back
 *
 * A heap at rest is its holder's alone. To everybody else it is one that was destroyed:
 * its word is 0, its cache has nobody's keys, and no block of it is live. What goes
 * through heaps that are not its own is awaited as HeapDestroy does (hold.h), and thieves
 * by the arena's lock where there was anything to steal.
 *
 * The keys come back before the word does, for nobody knows the handle yet; whoever
 * changes modes meanwhile sees either the word, and stores the keys again, or left the
 * modes for heaps to come: HB-MODE-1.
 */
#pragma once

#include "arena/heap.h"

/* Whether a heap may rest: plain, private, with no mode set and its gate open. */
bool mole_rest_is_possible(struct mole_heap *heap) mole_must_check;

/* The owner of the heap's first cache, which has the home run's slabs. */
static inline struct mole_owner *mole_rest_owner(struct mole_heap *heap)
{
    struct mole_owner *owner = mole_heap_owners(heap);
    while (owner->next) /* the list ends with the first */
        owner = owner->next;
    return owner;
}

/*
 * End a heap that may. The caller owns its first cache. On return the cache is the only
 * one listed, has no keys, and nobody else looks into the heap. Returns the other caches,
 * which the caller gives back.
 */
struct mole_owner *mole_rest_begin(struct mole_heap *heap);

/* Give back all runs but the home run, whose slabs stay. For one that has grown. */
void mole_rest_shrink(struct mole_heap *heap, struct mole_pool_slots *slots);

/* The heap lives again, as a new one with these flags; so does its cache. */
struct mole_owner *mole_rest_end(struct mole_heap *heap, uint32_t flags);

/* It never will. Returns its cache; mole_heap_finish gives back the rest. */
struct mole_owner *mole_rest_dismiss(struct mole_heap *heap);
