/* SPDX-License-Identifier: MIT */
#include "tcache/steal.h"

#include "arena/inbox.h"
#include "tcache/usage.h"

/*
 * Whether the slab is the thief's now. The blocks first: with all of them in hand, the
 * owner can touch a full slab no more. One that is current goes back as it was: nobody
 * could push meanwhile.
 */
static bool claim(struct mole_span *span)
{
    uint32_t word = load_rlx(&span->inbox_a);
    if (mole_inbox_count(word) != span->capacity || !mole_inbox_fills_run(span) ||
        !cas_acq(&span->inbox_a, &word, MOLE_END)) /* HB-INBOX-1 */
        return false;
    if (load_acq(&span->state_a) == MOLE_SPAN_FULL) /* HB-STEAL-1 */
        return true;
    store_rel(&span->inbox_a, word); /* HB-INBOX-1 */
    return false;
}

/* Take the slab apart; its run goes to the list of what the thief has. */
static void take_run(struct mole_heap *heap, struct mole_span *span,
                     struct mole_run **loot)
{
    struct mole_run *run = mole_span_run(span);
    sub_rlx(&heap->returned_a, 1);
    mole_usage_note_theft(heap, span);
    mole_growth_note_gone(&((struct mole_tcache *)(void *)span->owner)->growth,
                          span->class);
    mole_span_unmap(span);
    mole_span_give(span);
    mole_arena_unlink(&heap->arena, run);
    run->next = *loot;
    *loot = run;
}

static void steal_from(struct mole_owner *owner, struct mole_run **loot)
{
    struct mole_span *span = swap_acq(&owner->woken_a, NULL); /* HB-WOKEN-1 */
    while (span) {
        struct mole_span *next = span->woken_next;
        if (claim(span))
            take_run(owner->heap, span, loot);
        else
            mole_inbox_wake(span);
        span = next;
    }
}

size_t mole_steal(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    if (load_rlx(&heap->returned_a) <= 0 || !heap->arena.is_locked)
        return 0;
    struct mole_run *loot = NULL;
    mole_arena_enter(&heap->arena);
    /* HB-HEAP-1; destroyed: its caches are nobody's; shut: nothing moves. */
    if (load_acq(&heap->word_a) && !mole_gate_is_shut(heap, false))
        for (struct mole_owner *owner = mole_heap_owners(heap); owner;
             owner = owner->next)
            if (load_rlx(&owner->woken_a))
                steal_from(owner, &loot);
    mole_arena_leave(&heap->arena);
    size_t count = 0;
    while (loot) {
        struct mole_run *run = loot;
        loot = run->next;
        mole_arena_return(&heap->arena, slots, run);
        count++;
    }
    return count;
}
