/* SPDX-License-Identifier: MIT */
#include "tcache/spare.h"

#include "arena/guard.h"
#include "arena/rest.h"
#include "tcache/thread.h"
#include "tcache/wipe.h"

/*
 * pass_a: passes over all threads' places.
 *   writers  mole_spare_release
 *   readers  the same; mole_spare_keep
 *   orders   relaxed: ages need not be exact
 *   keeps    never falls
 */
static _Atomic(uint32_t) pass_a;

/* A free place for a heap of its kind, or NULL. */
static _Atomic(struct mole_heap *) *place_for(struct mole_spares *spares,
                                              const struct mole_heap *heap)
{
    for (unsigned i = 0; i < MOLE_SPARES; i++)
        if (!load_rlx(&spares->heap_a[heap->arena.is_locked][i]))
            return &spares->heap_a[heap->arena.is_locked][i];
    return NULL;
}

bool mole_spare_keep(struct mole_heap *heap, uint64_t *frees)
{
    struct mole_pool_slots *slots = mole_thread_slots();
    if (!slots || !mole_rest_is_possible(heap) ||
        !mole_thread_owns(mole_rest_owner(heap)))
        return false;
    _Atomic(struct mole_heap *) *place = place_for(&mole_tls.thread->spares, heap);
    if (!place)
        return false;
    struct mole_owner *others = mole_rest_begin(heap);
    struct mole_owner *owner = mole_heap_owners(heap);
    *frees = load_rlx(&heap->frees_a);
    if (unlikely(others)) /* their slabs tell how much was freed, until they are wiped */
        *frees += mole_tcache_destroy(others);
    *frees += mole_wipe_cache((struct mole_tcache *)(void *)owner, slots);
    store_rlx(&heap->frees_a, 0);
    store_rlx(&heap->rested_a, load_rlx(&pass_a));
    store_rel(place, heap); /* HB-SPARE-1 */
    mole_pool_count_spare(slots);
    return true;
}

/* What is in the place, which is empty then; or NULL. */
static struct mole_heap *empty(_Atomic(struct mole_heap *) *place)
{
    return load_rlx(place) ? swap_acq(place, NULL) : NULL; /* HB-SPARE-1 */
}

struct mole_heap *mole_spare_take(uint32_t flags)
{
    struct mole_thread *thread = mole_tls.thread;
    bool is_locked = !(flags & MOLE_HEAP_NO_SERIALIZE);
    if (unlikely(flags & MOLE_HEAP_ENABLE_EXECUTE) || mole_guard_is_wanted(flags))
        return NULL;
    for (unsigned i = 0; i < MOLE_SPARES; i++) {
        struct mole_heap *heap = empty(&thread->spares.heap_a[is_locked][i]);
        if (!heap)
            continue;
        struct mole_owner *owner = mole_rest_end(heap, flags);
        mole_thread_keep(heap, (struct mole_tcache *)(void *)owner);
        return heap;
    }
    return NULL;
}

static void give(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    (void)mole_tcache_destroy(mole_rest_dismiss(heap)); /* counted when it was kept */
    mole_heap_finish(heap, slots);
}

void mole_spare_drain(struct mole_spares *spares)
{
    for (unsigned i = 0; i < 2 * MOLE_SPARES; i++) {
        struct mole_heap *heap = empty(&spares->heap_a[i / MOLE_SPARES][i % MOLE_SPARES]);
        if (heap)
            give(heap, NULL);
    }
}

/* Returns whether there is still one. */
static bool release(_Atomic(struct mole_heap *) *place, uint32_t since)
{
    struct mole_heap *heap = load_acq(place); /* HB-SPARE-1 */
    if (!heap)
        return false;
    if ((int32_t)(since - load_rlx(&heap->rested_a)) <= 0)
        return true;
    heap = empty(place);
    if (heap)
        give(heap, NULL);
    return false;
}

size_t mole_spare_release(bool all)
{
    uint32_t pass = all ? load_rlx(&pass_a) : add_rlx(&pass_a, 1);
    uint32_t since = all ? pass + 1 : pass;
    size_t kept = 0;
    struct mole_thread *thread;
    for (thread = mole_thread_first(); thread; thread = thread->all_next)
        for (unsigned i = 0; i < 2 * MOLE_SPARES; i++)
            kept +=
                release(&thread->spares.heap_a[i / MOLE_SPARES][i % MOLE_SPARES], since);
    return kept;
}
