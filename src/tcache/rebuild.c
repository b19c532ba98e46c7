/* SPDX-License-Identifier: MIT */
#include "tcache/rebuild.h"

#include "arena/inbox.h"
#include "arena/large.h"
#include "arena/span_map.h"
#include "tcache/empties.h"
#include "tcache/idle.h"
#include "tcache/page_run.h"
#include "tcache/slab.h"
#include "tcache/sweep.h"
#include "tcache/thread.h"
#include "tcache/usage.h"

static void rebuild(struct mole_tcache *cache, struct mole_pool_slots *slots,
                    struct mole_span *span)
{
    mole_span_rebuild(span);
    span->armed = span->countdown = 0;
    span->woken_next = NULL;
    int32_t live = (int32_t)mole_span_live_count(span);
    if (live == 0) { /* not kept: maybe only some of its pages are in the map */
        mole_slab_destroy(cache, slots, span);
    } else if (live == span->fresh) {
        mole_slab_make_full(cache, span);
    } else {
        mole_slab_make_partial(cache, span, live);
        mole_usage_note(cache, span, 1); /* or wipe.c would count on the first order */
    }
}

/*
 * The pages of a cut run that no span covers; and the cache that owns its slabs, or NULL.
 */
static uint16_t unmapped_pages(const struct mole_run *run, struct mole_tcache **cache)
{
    uint32_t free = 0;
    *cache = NULL;
    for (int page = 0; page < MOLE_CHUNK_PAGES; page++) {
        struct mole_span *span = mole_span_map_find(mole_page_run_at(run, page));
        if (span == &mole_span_nobody)
            free |= 1u << page;
        else if (span->kind != MOLE_SPAN_NONE)
            *cache = (struct mole_tcache *)(void *)span->owner;
    }
    return (uint16_t)free;
}

/*
 * A slab in the child: rebuilt if its cache is torn. One of the forking thread's own is
 * listed again if another thread had just listed it, or had its list in hand.
 */
static void visit(struct mole_tcache *cache, struct mole_pool_slots *slots,
                  struct mole_span *span)
{
    if (cache->is_torn) {
        rebuild(cache, slots, span); /* it may be gone now */
        return;
    }
    if (load_rlx(&span->inbox_a) & MOLE_INBOX_LISTED)
        mole_inbox_wake(span);
    if (mole_inbox_count(load_rlx(&span->inbox_a)) == span->capacity &&
        mole_inbox_fills_run(span))
        add_rlx(&span->heap->returned_a, 1);
}

/* A cache of the heap whose thread vanished in an operation, or NULL. */
static struct mole_tcache *torn_cache(struct mole_heap *heap)
{
    struct mole_owner *owner = mole_heap_owners(heap);
    while (owner && !((struct mole_tcache *)(void *)owner)->is_torn)
        owner = owner->next;
    return (struct mole_tcache *)(void *)owner;
}

static void visit_cut_run(struct mole_heap *heap, struct mole_pool_slots *slots,
                          struct mole_run *run)
{
    struct mole_tcache *cache;
    uint16_t free = unmapped_pages(run, &cache);
    if (!cache && run->free_pages != free) /* for a first slab, which is not there yet */
        cache = torn_cache(heap);
    if (!cache)
        return;
    if (cache->is_torn) {
        run->free_pages = free;
        if (free)
            mole_page_run_list(cache, run);
    }
    char *base = run->base;
    for (uint32_t offset = 0; offset < MOLE_CHUNK;) {
        struct mole_span *span = mole_span_map_find(base + offset);
        bool is_slab = span->owner == &cache->owner;
        /*
         * The fork may have come while the slab's first pages were in the map, or out of
         * it.
         */
        offset = is_slab ? (uint32_t)(span->base - base) + span->pages * MOLE_PAGE
                         : offset + MOLE_PAGE;
        if (is_slab)
            visit(cache, slots, span);
    }
}

/* Kept by a cache, or on its way: no cache knows of it any more. */
static bool is_free(const struct mole_span *span)
{
    return load_rlx(&span->bytes_a) == MOLE_LARGE_FREE;
}

static void reset(struct mole_tcache *cache)
{
    store_rlx(&cache->owner.woken_a, NULL); /* visit lists anew */
    mole_large_cache_forget(cache);
    if (!cache->is_torn)
        return;
    cache->page_runs = NULL;
    mole_empties_forget(cache);
    mole_sweep_end(cache);
    store_rlx(&cache->owner.busy_a, 0);
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        cache->batch[i].span = NULL;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1) {
        cache->partial[class] = NULL;
        mole_slab_drop_current(cache, class);
    }
    mole_idle_forget(cache);
}

void mole_rebuild_torn(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    struct mole_owner *owner;
    store_rlx(&heap->returned_a, 0); /* visit counts anew */
    for (owner = mole_heap_owners(heap); owner; owner = owner->next)
        reset((struct mole_tcache *)(void *)owner);
    struct mole_run *next;
    for (struct mole_run *run = heap->arena.runs; run; run = next) {
        next = run->next;
        struct mole_span *span = mole_span_map_find(run->base);
        struct mole_tcache *cache = (struct mole_tcache *)(void *)span->owner;
        if (run->is_cut)
            visit_cut_run(heap, slots, run);
        else if (span->owner != &mole_owner_nobody)
            visit(cache, slots, span);
        else if (span->kind == MOLE_SPAN_LARGE && is_free(span))
            mole_large_release(heap, slots, span, false);
    }
    for (owner = mole_heap_owners(heap); owner; owner = owner->next) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        if (!cache->is_torn)
            continue;
        cache->is_torn = false;
        uintptr_t thread = load_rlx(&owner->thread_a);
        if (thread != MOLE_ORPHAN && !mole_thread_owns(owner)) /* nor shared */
            mole_heap_let_go(owner);
    }
}
