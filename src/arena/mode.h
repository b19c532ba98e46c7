/* SPDX-License-Identifier: MIT */
/*
 * Modes of heaps: what keeps their fast paths from applying. They are bits of a heap's
 * word (heap.h).
 *
 * Each cache of the heap has keys, which stand for the word there: the HANDLE while the
 * heap lives and no mode forbids, else nobody's. One compare of the caller's HANDLE with
 * a key of a cache therefore decides everything: equal means alive, the same heap, and no
 * mode in the way. There are five, one for each path that is fast; a fixed-size heap has
 * only the last, and other heaps do not have that:
 *
 *                alloc_key_a  free_key_a  sampled_key_a  spied_key_a  fixed_key_a
 *   no mode      HANDLE       HANDLE      nobody's       nobody's     HANDLE
 *   sampled                   HANDLE      HANDLE
 *   spied                                                HANDLE
 *   any other, or more
 *
 *  label      release side  acquire side  makes visible
 *  HB-MODE-1  change: the word, fence, owners_a and keys; enlist: owners_a, keys, fence,
 *             the word: enlist sees the new word and stores the keys again, or change
 *             finds the cache, and its store of the keys is the last. Likewise
 *             to_come_a and the list of all heaps
 *  HB-FENCED-1  go_fenced: store of are_fenced_a  go_fenced: load  the modes and keys
 *
 * Progress: whoever changes modes takes the heap's lock for that; nobody waits for
 * operations under way.
 */
#pragma once

#include "arena/heap.h"

/*
 * Set and clear modes of the heap with this id, in its word and in the keys of all its
 * caches.
 * False: it is gone. The caller keeps it from ending meanwhile, for it is its own or by
 * mole_hold_begin. Operations under way are not waited for.
 */
bool mole_mode_change(struct mole_heap *heap, uint64_t id, unsigned set, unsigned clear);

/*
 * The same for heaps to come. Whoever goes through those that are there does so after it.
 */
void mole_mode_change_to_come(unsigned set, unsigned clear);

/*
 * Have `follow(modes)` called now and at each change of the heap's modes, for fast paths
 * that have more than keys. It waits for nothing.
 */
mole_shared void mole_mode_follow(struct mole_heap *heap, void (*follow)(unsigned modes));

/* The heap's modes at this moment. */
mole_hot unsigned mole_mode_of(const struct mole_heap *heap)
{
    return (unsigned)(load_acq(&heap->word_a) & MOLE_MODE_MASK); /* HB-GATE-2 */
}

/*
 * The system denies mole_barrier_all: MOLE_MODE_FENCED for all heaps that have a gate,
 * also those to come. Operations that began without it can be seen to be under way when
 * this returns.
 */
mole_slow void mole_mode_go_fenced(void);

/* Whether that was done. */
bool mole_mode_are_fenced(void);

/* Let no fast path apply to a cache: before it is enlisted, and when its heap is gone. */
void mole_mode_deny(struct mole_owner *owner);

/* Let all of them: its heap has no mode yet, and its word is still 0 (rest.h). */
void mole_mode_allow(struct mole_owner *owner);

/* Give a cache the keys that its heap's modes allow. It is on the heap's list. */
void mole_mode_give_keys(struct mole_owner *owner);

/* A heap was published: it gets the modes of heaps to come. */
void mole_mode_begin(struct mole_heap *heap);
