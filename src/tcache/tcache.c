/* SPDX-License-Identifier: MIT */
#include "tcache/tcache.h"

#include <string.h>

#include "arena/mode.h"
#include "tcache/empties.h"
#include "tcache/fixed_cache.h"
#include "tcache/idle.h"
#include "tcache/sweep.h"

struct mole_meta_stack mole_tcache_shared;
static struct mole_meta_stack unkept;

/*
 * No slab to allocate from: so records lie in their stacks, for a fast path may yet enter
 * them.
 */
static void empty(struct mole_tcache *cache)
{
    mole_mode_deny(&cache->owner);
    for (unsigned slot = 0; slot < MOLE_DIRECT_COUNT; slot++)
        cache->direct[slot] = &mole_tcache_none;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        cache->current[class] = &mole_tcache_none;
}

static struct mole_tcache *take_record(struct mole_meta_stack *home)
{
    struct mole_tcache *cache = (struct mole_tcache *)(void *)mole_meta_pop(home);
    if (cache)
        return cache;
    cache = mole_meta_take(MOLE_META_CACHE, sizeof *cache);
    if (cache)
        empty(cache);
    return cache;
}

struct mole_tcache *mole_tcache_create(struct mole_heap *heap, uintptr_t thread,
                                       struct mole_meta_stack *home)
{
    if (!home)
        home = &unkept;
    struct mole_tcache *cache = take_record(home);
    if (!cache)
        return NULL;
    cache->home = home;
    store_rlx(&cache->owner.busy_a, 0);
    store_rlx(&cache->owner.woken_a, NULL);
    cache->owner.id = mole_heap_id(heap);
    cache->owner.heap = heap;
    memset(cache->partial, 0, sizeof cache->partial);
    memset(cache->empties, 0, sizeof cache->empties);
    cache->empty_pages = cache->dear_pages = cache->dear_least = cache->dear_room =
        cache->dear_made = 0;
    mole_growth_forget(&cache->growth);
    memset(cache->used, 0, sizeof cache->used);
    memset(cache->batch, 0, sizeof cache->batch);
    cache->page_runs = NULL;
    cache->frees = 0;
    cache->is_torn = false;
    mole_sweep_init(cache);
    mole_fixed_cache_init(cache, heap->fixed);
    store_rlx(&cache->owner.is_lean_a, false);
    mole_idle_forget(cache);
    store_rel(&cache->owner.thread_a, thread); /* HB-OWNER-1 */
    mole_heap_enlist(heap, &cache->owner);
    return cache;
}

static uint64_t counted(const struct mole_span *span)
{
    return (uint64_t)(span->armed - span->countdown);
}

uint64_t mole_tcache_frees(const struct mole_tcache *cache)
{
    uint64_t frees = cache->frees + cache->fixed.frees;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1) {
        frees += counted(cache->current[class]);
        for (const struct mole_span *span = cache->partial[class]; span;
             span = span->next)
            frees += counted(span);
    }
    return frees;
}

uint64_t mole_tcache_destroy(struct mole_owner *owners)
{
    uint64_t frees = 0;
    while (owners) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owners;
        owners = owners->next;
        frees += mole_tcache_frees(cache);
        if (unlikely(cache->large.is_used))
            mole_large_cache_drop(cache, NULL);
        if (unlikely(cache->dear_room))
            mole_empties_forget(cache);
        empty(cache);
        mole_meta_push(cache->home, &cache->owner.meta);
    }
    return frees;
}
