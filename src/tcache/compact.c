/* SPDX-License-Identifier: MIT */
#include "tcache/compact.h"

#include "tcache/fixed_cache.h"
#include "tcache/slab.h"

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
    }
}
