/* SPDX-License-Identifier: MIT */
/*
 * What an allocation does when the current slab of its class has no free block, cheapest
 * first: what other threads gave back, a slab with free blocks, blocks never used, a new
 * slab.
 */
#include "tcache/refill.h"

#include "base/check.h"
#include "tcache/compact.h"
#include "tcache/hardened.h"
#include "tcache/idle.h"
#include "tcache/mixed.h"
#include "tcache/slab.h"

struct mole_span mole_tcache_none = {.owner = &mole_owner_nobody, .free = MOLE_END};

/* A slab with a free block for the class: its current one from now on, or mixed; NULL. */
static struct mole_span *find_slab(struct mole_tcache *cache,
                                   struct mole_pool_slots *slots, unsigned class)
{
    struct mole_span *span = cache->current[class];
    if (span != &mole_tcache_none)
        mole_slab_drain(cache, slots, span, false);
    mole_slab_collect(cache, slots);
    if (span->free != MOLE_END)
        return span;
    if (span != &mole_tcache_none && mole_span_carve(span))
        return span;
    struct mole_span *other = mole_slab_pop_partial(cache, class);
    if (!other && mole_mixed_has_rest(cache, class))
        return cache->current[MOLE_CLASS_MIXED];
    if (!other)
        other = mole_slab_create(cache, slots, class);
    if (!other)
        return NULL;
    mole_slab_make_current(cache, other);
    if (span != &mole_tcache_none)
        mole_slab_make_full(cache, span);
    if (other->free == MOLE_END)
        check(mole_span_carve(other));
    return other;
}

struct mole_span *mole_refill_next(struct mole_tcache *cache, unsigned class)
{
    struct mole_span *span = cache->current[class];
    struct mole_span *next = mole_slab_next_partial(cache, class);
    if (unlikely(!next || next->free == MOLE_END || !mole_slab_is_used_up(span) ||
                 load_rlx(&cache->owner.woken_a)))
        return NULL;
    mole_idle_note_work(cache, cache->owner.heap);
    mole_slab_unlist(cache, next);
    mole_slab_make_current(cache, next);
    mole_slab_make_full(cache, span);
    return next;
}

/*
 * Caches without a thread may hold what their threads, and others, gave back since. One
 * after the other is adopted for a moment.
 */
void *mole_tcache_alloc_from_orphans(struct mole_heap *heap,
                                     struct mole_pool_slots *slots, uintptr_t thread,
                                     unsigned class, uint32_t mark)
{
    void *block = NULL;
    for (struct mole_owner *owner = mole_heap_owners(heap); owner && !block;
         owner = owner->next) {
        if (!mole_heap_adopt_one(owner, thread))
            continue;
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        mole_tcache_enter(cache);
        if (mole_gate_is_shut(heap, true)) {
            /*
             * This operation goes on, but the caches are whoever's who stopped the heap.
             */
        } else if (class < MOLE_CLASS_COUNT) {
            block = mole_tcache_alloc_slow(cache, slots, class, mark);
        } else {
            mole_compact_cache(cache, slots);
        }
        mole_tcache_leave(cache);
        mole_heap_let_go(owner);
    }
    return block;
}

void *mole_tcache_alloc_slow(struct mole_tcache *cache, struct mole_pool_slots *slots,
                             unsigned class, uint32_t mark)
{
    void *block = mole_mixed_alloc(cache, slots, class, mark);
    if (block)
        return block;
    mole_idle_note_work(cache, cache->owner.heap);
    struct mole_span *span = find_slab(cache, slots, class);
    if (!span)
        return NULL;
    check(mole_hardened_pop_any(span, mark, &block));
    return block;
}
