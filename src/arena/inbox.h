/* SPDX-License-Identifier: MIT */
/*
 * inbox — lists of freed blocks on their way back to the slab's owner.
 *
 *   thread B --push [b4,b3]--.                     .--> the slab's free list
 *   thread C --push [c1]-----+--> c1->b4->b3->END  --take (all at once)--'
 *                                   |
 *   owner's woken list <--listed-- slab, by the pusher that found it unlisted
 *
 * The links are table entries (span.h), so a block's memory is not touched. The pushed
 * blocks are already free in the table. The word holds the first index, the count, and
 * LISTED: whether the slab is in its owner's woken list. Only taking it out of that list
 * clears LISTED, so that a slab is never listed twice; a slab is not given back while it
 * is listed.
 *
 *  label       release side            acquire side            makes visible
 *  HB-INBOX-1  push: CAS on inbox_a    take: swap on inbox_a   the entries of the list,
 *                                                              freeing threads' writes
 *  HB-INBOX-2  take, unlisting: swap   push: CAS that lists    that woken_next was read,
 *                                                              may be written again
 *  HB-WOKEN-1  wake: CAS on woken_a    take_woken: swap        span->woken_next
 *
 * Why one swap meets every pusher: pushes are RMWs, so each continues the release
 * sequence of the pushes below it. Why no ABA: push never follows the head it saw; take
 * never pops one.
 * May run together: push/push, push/take. Never: take/take (the owner's, or a thief's:
 * steal.h).
 * Progress: take is wait-free; push and wake are lock-free.
 * Checked by: tests/race/inbox_step.c (every instruction), tests/race/oracle.c (TSan).
 */
#pragma once

#include "arena/heap.h"
#include "arena/link.h"

#define MOLE_INBOX_LISTED 0x80000000u

mole_hot uint32_t mole_inbox_first(uint32_t word)
{
    return word & 0xffff;
}

mole_hot uint32_t mole_inbox_count(uint32_t word)
{
    return word >> 16 & 0x7fff;
}

/* Whether the slab has its run for itself, so that an empty one is worth a run. */
static inline bool mole_inbox_fills_run(const struct mole_span *span)
{
    return !mole_span_run(span)->is_cut || span->pages == MOLE_CHUNK_PAGES;
}

/* Tell the slab's owner. Only by the thread whose push set MOLE_INBOX_LISTED. */
static inline void mole_inbox_wake(struct mole_span *span)
{
    struct mole_owner *owner = span->owner;
    struct mole_span *head = load_rlx(&owner->woken_a);
    do {
        span->woken_next = head;
    } while (!cas_weak_rel(&owner->woken_a, &head, span)); /* HB-WOKEN-1 */
}

/*
 * Hand over `count` blocks that are linked through the table from `first` to `last`. They
 * keep the slab mapped until the push; afterwards only MOLE_INBOX_LISTED does.
 */
static inline void mole_inbox_push(struct mole_span *span, uint32_t first, uint32_t last,
                                   uint32_t count)
{
    uint32_t word = load_rlx(&span->inbox_a);
    uint32_t with;
    uint32_t capacity = span->capacity;
    struct mole_heap *heap = mole_inbox_fills_run(span) ? span->heap : NULL;
    do {
        mole_link_set(span, last, mole_inbox_first(word));
        with = MOLE_INBOX_LISTED | (mole_inbox_count(word) + count) << 16 | first;
    } while (!cas_weak_acq_rel(&span->inbox_a, &word, with)); /* HB-INBOX-1, HB-INBOX-2 */
    /* Whole and listed already: from here on the slab may be gone. */
    if (!(word & MOLE_INBOX_LISTED))
        mole_inbox_wake(span);
    if (heap && mole_inbox_count(with) == capacity)
        add_rlx(&heap->returned_a, 1);
}

/*
 * Take everything. `unlist` when the slab was just taken from the woken list. Returns a
 * word to be read with mole_inbox_first and mole_inbox_count.
 */
static inline uint32_t mole_inbox_take(struct mole_span *span, bool unlist)
{
    uint32_t word = load_rlx(&span->inbox_a);
    if (!unlist && mole_inbox_count(word) == 0)
        return word;
    if (unlist)
        return swap_acq_rel(&span->inbox_a, MOLE_END); /* HB-INBOX-1, HB-INBOX-2 */
    /*
     * LISTED is set, for there are blocks; it stays until the owner meets the slab in the
     * list.
     */
    return swap_acq(&span->inbox_a, MOLE_INBOX_LISTED | MOLE_END); /* HB-INBOX-1 */
}

/* Whether nobody else may still touch the slab: nothing inside and not listed. */
mole_hot bool mole_inbox_is_quiet(struct mole_span *span)
{
    return load_acq(&span->inbox_a) == MOLE_END; /* HB-INBOX-1 */
}
