/* SPDX-License-Identifier: MIT */
#include "tcache/fixed_cache.h"

#include "tcache/thread.h"

enum {
    AT_ONCE_BLOCKS = 32, /* at most so many go between a cache and the arena at once, */
    AT_ONCE_GRANULES = 128, /* of at most so many granules, */
    AT_ONCE_PART = 64, /* which are this part of the credit: there are many lengths */
    GRANTS = 8,        /* parts the credit is granted in */
};

/* Blocks of a length that go at once, above the one that is asked for. */
static size_t at_once(const struct mole_fixed *fixed, size_t granules)
{
    size_t all = fixed->end / MOLE_FIXED_SHARE / AT_ONCE_PART;
    size_t count = (all < AT_ONCE_GRANULES ? all : AT_ONCE_GRANULES) / granules;
    return count < AT_ONCE_BLOCKS ? count : AT_ONCE_BLOCKS;
}

void mole_fixed_cache_init(struct mole_tcache *cache, const struct mole_fixed *fixed)
{
    struct mole_fixed_cache *inside = &cache->fixed;
    inside->entry_a = fixed ? fixed->entry_a : NULL;
    inside->origin = fixed ? fixed->origin : NULL;
    inside->end = fixed && fixed->end < MOLE_FIXED_NUMBER ? fixed->end : 0;
    if (fixed && !inside->end)
        inside->end = MOLE_FIXED_NUMBER;
    inside->left = inside->granted = 0;
    inside->frees = 0;
    for (size_t slot = 0; slot < MOLE_DIRECT_COUNT; slot++)
        inside->first[slot] = MOLE_FIXED_CACHED;
}

/* Let the cache hold `granules` more, if the credit allows that. Under the lock. */
static bool grant(struct mole_fixed *fixed, struct mole_fixed_cache *cache,
                  size_t granules)
{
    if (granules <= cache->left)
        return true;
    size_t wanted = fixed->end / MOLE_FIXED_SHARE / GRANTS;
    if (wanted < granules)
        wanted = granules;
    if (wanted > fixed->credit)
        wanted = fixed->credit;
    if (wanted > UINT32_MAX / 2 - cache->granted)
        return false;
    fixed->credit -= wanted;
    cache->left += (uint32_t)wanted;
    cache->granted += (uint32_t)wanted;
    return granules <= cache->left;
}

/* Put a free extent of the arena's in a stack. */
static void stock(struct mole_fixed_cache *cache, size_t granule, size_t granules)
{
    uint32_t *first = &cache->first[granules - 1];
    store_rlx(&cache->entry_a[granule], *first);
    *first = MOLE_FIXED_CACHED + (uint32_t)granule;
    cache->left -= (uint32_t)granules;
}

/* More blocks of that length for the cache, as many as it may hold. */
static void refill(struct mole_fixed *fixed, struct mole_fixed_cache *cache,
                   size_t granules)
{
    size_t count = at_once(fixed, granules);
    for (; count > 0 && grant(fixed, cache, granules); count--) {
        size_t granule = mole_fixed_take(fixed, granules);
        if (!granule)
            return;
        if (granule >= cache->end) {
            mole_fixed_give(fixed, granule, granules);
            return;
        }
        stock(cache, granule, granules);
    }
}

void *mole_fixed_cache_alloc(struct mole_heap *heap, struct mole_tcache *cache,
                             size_t bytes)
{
    struct mole_fixed *fixed = heap->fixed;
    if (bytes > fixed->limits.most_bytes)
        return NULL;
    void *block =
        cache ? mole_fixed_cache_pop(&cache->fixed, (bytes - 1) / MOLE_GRANULE, bytes)
              : NULL;
    if (block)
        return block;
    size_t granules = mole_fixed_length(fixed, bytes);
    mole_arena_enter(&heap->arena);
    size_t granule = mole_fixed_take(fixed, granules);
    if (unlikely(!granule) && cache && cache->fixed.granted) {
        mole_fixed_cache_drain(cache);
        granule = mole_fixed_take(fixed, granules);
    }
    if (granule) {
        store_rlx(&fixed->entry_a[granule], MOLE_FIXED_LIVE | (uint32_t)bytes);
        block = mole_fixed_at(fixed, granule);
        if (cache && bytes && granules <= MOLE_DIRECT_COUNT)
            refill(fixed, &cache->fixed, granules);
    }
    mole_arena_leave(&heap->arena);
    return block;
}

/* Give some blocks of a stack to the arena. Under the lock. */
static void spill(struct mole_fixed *fixed, struct mole_fixed_cache *cache, size_t slot,
                  size_t count)
{
    for (; count > 0 && cache->first[slot] != MOLE_FIXED_CACHED; count--) {
        uint32_t granule = cache->first[slot] - MOLE_FIXED_CACHED;
        cache->first[slot] = load_rlx(&cache->entry_a[granule]);
        cache->left += (uint32_t)slot + 1;
        mole_fixed_give(fixed, granule, slot + 1);
    }
}

/* Make room for a block to come, at the expense of others of its length. */
static void make_room(struct mole_fixed *fixed, struct mole_tcache *cache,
                      size_t granules)
{
    if (granules <= MOLE_DIRECT_COUNT && !grant(fixed, &cache->fixed, granules))
        spill(fixed, &cache->fixed, granules - 1, at_once(fixed, granules) + 1);
}

void mole_fixed_cache_free(struct mole_heap *heap, struct mole_tcache *cache,
                           const void *block)
{
    struct mole_fixed *fixed = heap->fixed;
    if (cache && mole_fixed_cache_push(&cache->fixed, block))
        return;
    size_t granule = mole_fixed_granule(fixed, block);
    size_t granules = mole_fixed_length(fixed, mole_fixed_bytes(fixed, block));
    mole_arena_enter(&heap->arena);
    if (cache)
        make_room(fixed, cache, granules);
    if (!cache || !mole_fixed_cache_push(&cache->fixed, block)) {
        mole_fixed_give(fixed, granule, granules);
        add_rlx(&heap->frees_a, 1);
    }
    mole_arena_leave(&heap->arena);
}

bool mole_fixed_cache_resize(struct mole_heap *heap, const void *block, size_t bytes)
{
    struct mole_fixed *fixed = heap->fixed;
    if (bytes > fixed->limits.most_bytes)
        return false;
    size_t granule = mole_fixed_granule(fixed, block);
    size_t old = mole_fixed_bytes(fixed, block);
    bool is_done = mole_fixed_length(fixed, old) == mole_fixed_length(fixed, bytes);
    if (is_done) {
        store_rlx(&fixed->entry_a[granule], MOLE_FIXED_LIVE | (uint32_t)bytes);
        return true;
    }
    mole_arena_enter(&heap->arena);
    is_done = mole_fixed_resize(fixed, granule, bytes);
    mole_arena_leave(&heap->arena);
    return is_done;
}

void mole_fixed_cache_drain(struct mole_tcache *cache)
{
    struct mole_fixed *fixed = cache->owner.heap->fixed;
    if (!fixed)
        return;
    for (size_t slot = 0; slot < MOLE_DIRECT_COUNT; slot++)
        spill(fixed, &cache->fixed, slot, SIZE_MAX);
    fixed->credit += cache->fixed.granted;
    cache->fixed.left = cache->fixed.granted = 0;
}

void mole_fixed_cache_drain_all(struct mole_heap *heap)
{
    mole_arena_enter(&heap->arena);
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next)
        mole_fixed_cache_drain((struct mole_tcache *)(void *)owner);
    mole_arena_leave(&heap->arena);
}

/* Whether any cache holds a block, or may. */
static bool have_blocks(struct mole_heap *heap)
{
    const struct mole_fixed *fixed = heap->fixed;
    mole_arena_enter(&heap->arena);
    bool is_granted = fixed->credit < fixed->share;
    mole_arena_leave(&heap->arena);
    return is_granted;
}

bool mole_fixed_cache_stop(struct mole_heap *heap, bool passes)
{
    if (!have_blocks(heap))
        return false;
    if (heap->arena.is_locked && (passes || !mole_gate_stop(heap)))
        return false;
    mole_fixed_cache_drain_all(heap);
    return true;
}

void mole_fixed_cache_resume(struct mole_heap *heap)
{
    if (heap->arena.is_locked)
        mole_gate_resume(heap);
}

void mole_fixed_cache_repair(struct mole_heap *heap)
{
    mole_fixed_rebuild(heap->fixed);
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        uint64_t frees = cache->fixed.frees;
        mole_fixed_cache_init(cache, heap->fixed);
        cache->fixed.frees = frees;
        uintptr_t thread = load_rlx(&owner->thread_a);
        if (cache->is_torn)
            store_rlx(&owner->busy_a, 0);
        if (cache->is_torn && thread != MOLE_ORPHAN && thread != MOLE_SHARED)
            mole_heap_let_go(owner);
        cache->is_torn = false;
    }
}
