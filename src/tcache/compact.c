/* SPDX-License-Identifier: MIT */
#include "tcache/compact.h"

#include "arena/region.h"
#include "base/check.h"
#include "tcache/fixed_cache.h"
#include "tcache/process.h"
#include "tcache/slab.h"
#include "tcache/steal.h"
#include "tcache/sweep.h"
#include "tcache/thread.h"

void mole_compact_heap(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    struct mole_owner *owners = mole_heap_owners(heap);
    struct mole_owner *owner;
    if (heap->fixed) {
        mole_fixed_cache_drain_all(heap);
        return;
    }
    /* Threads that end do the same with their own, under this lock (thread.c). */
    mole_arena_enter(&heap->arena);
    for (owner = owners; owner; owner = owner->next)
        mole_tcache_flush((struct mole_tcache *)(void *)owner);
    mole_arena_leave(&heap->arena);
    for (owner = owners; owner; owner = owner->next) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        mole_slab_collect(cache, slots);
        mole_slab_retire_current(cache, slots);
        (void)mole_sweep_all(cache);
    }
    (void)mole_large_cache_reclaim(heap, slots);
}

void mole_compact_cache(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    mole_tcache_flush(cache);
    mole_slab_collect(cache, slots);
    mole_slab_retire_current(cache, slots);
}

/* The same, and what the holes of its other slabs hold; returns their pages. */
static size_t give_back(struct mole_use *use)
{
    mole_compact_cache(use->cache, use->slots);
    return mole_sweep_all(use->cache);
}

bool mole_compact_in_need(struct mole_use *use, size_t bytes)
{
    struct mole_heap *heap = use->heap;
    if (bytes > mole_region_reserved())
        return false;
    if (use->cache)
        mole_compact_cache(use->cache, use->slots);
    (void)mole_large_cache_reclaim(heap, use->slots);
    uintptr_t self = mole_thread_self_in(heap);
    check(!mole_tcache_alloc_from_orphans(heap, use->slots, self, MOLE_CLASS_COUNT, 0));
    (void)mole_steal(heap, use->slots);
    return true;
}

/* Of one that was so before only what others gave back: its tables are many to read. */
static void make_lean(struct mole_heap *heap, struct mole_owner *owner, bool was_lean)
{
    struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
    struct mole_use use = mole_thread_begin_with(heap, cache, false);
    use.is_borrowed = true;
    if (was_lean)
        mole_compact_cache(use.cache, use.slots);
    else
        (void)give_back(&use);
    store_rlx(&owner->is_lean_a, true);
    mole_thread_end(&use);
}

/* Others may free blocks of a lean one's slabs. */
static bool may_have_free(struct mole_owner *owner)
{
    return !load_rlx(&owner->is_lean_a) || load_rlx(&owner->woken_a);
}

size_t mole_compact_orphans(void)
{
    struct mole_heap *heap = mole_process_malloc_heap();
    if (!heap || load_rlx(&heap->orphans_a) <= 0)
        return 0;
    size_t count = 0;
    uintptr_t self = mole_thread_self_in(heap);
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next) {
        bool was_lean = load_rlx(&owner->is_lean_a); /* adopting clears it */
        if (may_have_free(owner) && mole_heap_adopt_one(owner, self)) {
            make_lean(heap, owner, was_lean);
            count++;
        }
    }
    return count;
}

size_t mole_compact_malloc(void)
{
    struct mole_heap *heap = mole_process_malloc_heap();
    struct mole_use use = mole_thread_begin_with(heap, mole_thread_cache(heap), false);
    size_t pages = use.cache ? give_back(&use) : 0;
    (void)mole_large_cache_reclaim(heap, use.slots);
    mole_thread_end(&use);
    (void)mole_compact_orphans();
    return pages;
}
