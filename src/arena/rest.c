/* SPDX-License-Identifier: MIT */
#include "arena/rest.h"

#include <string.h>

#include "arena/guard.h"
#include "arena/hold.h"
#include "arena/mode.h"
#include "arena/span_map.h"

bool mole_rest_is_possible(struct mole_heap *heap)
{
    return heap->is_private && !heap->fixed && !heap->checks &&
           !heap->arena.is_executable && !mole_mode_of(heap) &&
           !load_rlx(&heap->gate.owner_a);
}

/* Take the others off the list. */
static struct mole_owner *part(struct mole_heap *heap, struct mole_owner *first)
{
    struct mole_owner *others = load_rlx(&heap->owners_a);
    if (likely(others == first))
        return NULL;
    struct mole_owner *last = others;
    while (last->next != first)
        last = last->next;
    last->next = NULL;
    store_rlx(&heap->owners_a, first);
    return others;
}

struct mole_owner *mole_rest_begin(struct mole_heap *heap)
{
    struct mole_owner *first = mole_rest_owner(heap);
    bool has_more = first != load_rlx(&heap->owners_a) || heap->arena.has_grown;
    if (unlikely(has_more)) /* thieves, and threads that end, look in under the lock */
        mole_arena_enter(&heap->arena);
    store_rlx(&heap->word_a, 0);
    if (unlikely(has_more))
        mole_arena_leave(&heap->arena);
    mole_hold_await();
    struct mole_owner *others = part(heap, first); /* nobody walks the list any more */
    mole_mode_deny(first);
    if (unlikely(has_more)) {
        store_rlx(&heap->orphans_a, 0);
        store_rlx(&heap->returned_a, 0);
        memset(heap->stolen, 0, sizeof heap->stolen);
    }
    return others;
}

void mole_rest_shrink(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    struct mole_arena *arena = &heap->arena;
    mole_arena_unlink(arena, heap->home);
    mole_arena_give_all(arena, slots);
    heap->home->next = heap->home->prev = NULL;
    arena->runs = heap->home;
    arena->has_grown = false;
}

struct mole_owner *mole_rest_end(struct mole_heap *heap, uint32_t flags)
{
    struct mole_owner *owner = load_rlx(&heap->owners_a);
    heap->flags = flags;
    heap->initial_bytes = 0;
    store_rlx(&heap->is_active_a, false);
    uint64_t id = mole_heap_new_id();
    owner->id = id;
    mole_mode_allow(owner);
    store_rel(&heap->word_a, id); /* HB-HEAP-1 */
    mole_mode_begin(heap);
    return owner;
}

struct mole_owner *mole_rest_dismiss(struct mole_heap *heap)
{
    struct mole_owner *owner = load_rlx(&heap->owners_a);
    store_rlx(&heap->owners_a, NULL);
    mole_span_map_clear(heap->home->base, 1);
    return owner;
}
