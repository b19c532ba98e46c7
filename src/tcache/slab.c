/* SPDX-License-Identifier: MIT */
#include "tcache/slab.h"

#include "arena/inbox.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "tcache/mixed.h"
#include "tcache/page_run.h"
#include "tcache/steal.h"
#include "tcache/usage.h"

void mole_slab_arm(struct mole_tcache *cache, struct mole_span *span, int32_t frees)
{
    uint32_t counted = (uint32_t)(span->armed - span->countdown);
    cache->frees += counted;
    mole_usage_note(cache, span, counted);
    span->armed = span->countdown = frees;
}

/* Point the class, and the requests that find it directly, to `span`. */
static void set_current(struct mole_tcache *cache, unsigned class, struct mole_span *span)
{
    cache->current[class] = span;
    size_t end = mole_size_class_bytes(class) / MOLE_ALIGN;
    if (end > MOLE_DIRECT_COUNT)
        return;
    size_t start = class ? mole_size_class_bytes(class - 1) / MOLE_ALIGN : 0;
    for (size_t slot = start; slot < end; slot++)
        cache->direct[slot] = span;
}

void mole_slab_make_current(struct mole_tcache *cache, struct mole_span *span)
{
    store_rlx(&span->state_a, MOLE_SPAN_CURRENT);
    mole_slab_arm(cache, span, MOLE_COUNT_ON);
    set_current(cache, span->class, span);
}

void mole_slab_drop_current(struct mole_tcache *cache, unsigned class)
{
    set_current(cache, class, &mole_tcache_none);
}

/*
 * Frees after which a full slab is listed again: few slow paths, and little memory
 * unseen.
 */
static int32_t wake_after(const struct mole_span *span)
{
    return span->capacity < 32 ? 1 : span->capacity / 16;
}

void mole_slab_make_full(struct mole_tcache *cache, struct mole_span *span)
{
    mole_slab_arm(cache, span, wake_after(span));
    store_rel(&span->state_a, MOLE_SPAN_FULL); /* HB-STEAL-1: now a thief may take it */
}

void mole_slab_make_partial(struct mole_tcache *cache, struct mole_span *span,
                            int32_t used)
{
    store_rlx(&span->state_a, MOLE_SPAN_PARTIAL);
    mole_slab_arm(cache, span, used);
    struct mole_span **head = &cache->partial[span->class];
    span->prev = NULL;
    span->next = *head;
    if (span->next)
        span->next->prev = span;
    *head = span;
}

void mole_slab_unlist(struct mole_tcache *cache, struct mole_span *span)
{
    if (span->prev)
        span->prev->next = span->next;
    else
        cache->partial[span->class] = span->next;
    if (span->next)
        span->next->prev = span->prev;
    span->next = span->prev = NULL;
}

struct mole_span *mole_slab_pop_partial(struct mole_tcache *cache, unsigned class)
{
    struct mole_span *span = cache->partial[class];
    if (span)
        mole_slab_unlist(cache, span);
    return span;
}

/*
 * Pages of the cache's next slab of a class: small at first, for most classes of most
 * heaps stay rare; each further one is larger, up to a chunk. Above 8 KiB a slab is a run
 * of its own.
 */
static uint32_t slab_pages(const struct mole_tcache *cache, unsigned class)
{
    uint32_t bytes = mole_size_class_bytes(class);
    uint32_t pages = 1;
    while (pages * MOLE_PAGE < 8 * bytes)
        pages *= 2;
    if (pages >= MOLE_CHUNK_PAGES)
        return pages;
    for (unsigned made = cache->slabs[class]; made > 0 && pages < MOLE_CHUNK_PAGES;
         made /= 2)
        pages *= 2;
    return pages;
}

static struct mole_run *take_whole_run(struct mole_tcache *cache,
                                       struct mole_pool_slots *slots, uint32_t pages)
{
    (void)mole_steal(cache->owner.heap, slots);
    return mole_arena_take(&cache->owner.heap->arena, slots, pages / MOLE_CHUNK_PAGES,
                           false);
}

struct mole_span *mole_slab_create_of(struct mole_tcache *cache,
                                      struct mole_pool_slots *slots, unsigned class,
                                      uint32_t pages, bool is_mixed)
{
    struct mole_span *span = mole_span_take(mole_span_capacity(pages, class));
    if (!span)
        return NULL;
    int page = 0;
    struct mole_run *run = pages <= MOLE_CHUNK_PAGES
                               ? mole_page_run_take(cache, slots, pages, &page)
                               : take_whole_run(cache, slots, pages);
    if (!run) {
        mole_span_give(span);
        return NULL;
    }
    span->countdown = span->armed = 0;
    span->is_mixed = is_mixed;
    struct mole_arena *arena = &cache->owner.heap->arena;
    mole_arena_enter(arena);
    mole_span_map_slab(span, mole_page_run_at(run, page), pages, class, &cache->owner,
                       run);
    mole_arena_leave(arena);
    return span;
}

struct mole_span *mole_slab_create(struct mole_tcache *cache,
                                   struct mole_pool_slots *slots, unsigned class)
{
    uint32_t pages = slab_pages(cache, class);
    struct mole_span *span = mole_slab_create_of(cache, slots, class, pages, false);
    if (span && cache->slabs[class] < UINT8_MAX)
        cache->slabs[class]++;
    return span;
}

void mole_slab_destroy(struct mole_tcache *cache, struct mole_pool_slots *slots,
                       struct mole_span *span)
{
    mole_slab_arm(cache, span, 0);
    struct mole_run *run = span->run;
    uint32_t pages = span->pages;
    int page = (int)((span->base - run->base) / MOLE_PAGE);
    if (!span->is_mixed && cache->slabs[span->class] > 0)
        cache->slabs[span->class]--;
    struct mole_arena *arena = &cache->owner.heap->arena;
    mole_arena_enter(arena); /* for a census: spans do not come and go meanwhile */
    mole_span_unmap(span);
    mole_span_give(span);
    mole_arena_leave(arena);
    if (run->is_cut)
        mole_page_run_give(cache, slots, run, pages, page);
    else
        mole_arena_give(arena, slots, run);
}

/* The empty partial slab goes, unless another thread is about to list it: then that walk
 * meets it and comes here again. */
static void retire(struct mole_tcache *cache, struct mole_pool_slots *slots,
                   struct mole_span *span)
{
    if (!mole_inbox_is_quiet(span))
        return;
    mole_slab_unlist(cache, span);
    mole_slab_destroy(cache, slots, span);
}

/* A full slab got its first blocks back. */
static void list_full(struct mole_tcache *cache, struct mole_pool_slots *slots,
                      struct mole_span *span, int32_t returned)
{
    int32_t used = span->fresh - (span->armed - span->countdown) - returned;
    mole_slab_make_partial(cache, span, used);
    if (used == 0)
        retire(cache, slots, span);
}

void mole_tcache_counted_down(struct mole_tcache *cache, struct mole_pool_slots *slots,
                              struct mole_span *span)
{
    switch (load_rlx(&span->state_a)) {
    case MOLE_SPAN_CURRENT:
        mole_slab_arm(cache, span, MOLE_COUNT_ON);
        break;
    case MOLE_SPAN_FULL:
        list_full(cache, slots, span, 0);
        break;
    default:
        retire(cache, slots, span);
        break;
    }
}

/* Link `count` entries that start at `first` before the slab's free list. */
static void splice(struct mole_span *span, uint32_t first, uint32_t count)
{
    if (span->free != MOLE_END) {
        uint32_t last = first;
        while (--count)
            last = mole_link_get(span, last);
        mole_link_set(span, last, span->free);
    }
    span->free = (uint16_t)first;
}

void mole_slab_drain(struct mole_tcache *cache, struct mole_pool_slots *slots,
                     struct mole_span *span, bool unlist)
{
    uint32_t word = mole_inbox_take(span, unlist);
    int32_t count = (int32_t)mole_inbox_count(word);
    if (count == span->capacity && mole_inbox_fills_run(span))
        sub_rlx(&span->heap->returned_a, 1);
    if (count) {
        splice(span, mole_inbox_first(word), (uint32_t)count);
        mole_usage_note(cache, span, (uint32_t)count);
    }
    if (load_rlx(&span->state_a) == MOLE_SPAN_FULL && count) {
        list_full(cache, slots, span, count);
    } else if (load_rlx(&span->state_a) == MOLE_SPAN_PARTIAL) {
        span->countdown -= count;
        span->armed -= count;
        if (span->countdown == 0)
            retire(cache, slots, span);
    }
}

void mole_slab_collect(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    if (!load_rlx(&cache->owner.woken_a))
        return;
    struct mole_span *span = swap_acq(&cache->owner.woken_a, NULL); /* HB-WOKEN-1 */
    while (span) {
        struct mole_span *next = span->woken_next;
        mole_slab_drain(cache, slots, span, true);
        span = next;
    }
}

void mole_slab_retire_current(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1) {
        struct mole_span *span = cache->current[class];
        if (span == &mole_tcache_none || mole_span_live_count(span) ||
            !mole_inbox_is_quiet(span))
            continue;
        set_current(cache, class, &mole_tcache_none);
        mole_slab_make_partial(cache, span, 0);
        retire(cache, slots, span);
    }
    mole_mixed_retire(cache, slots);
}

static void rebuild_slab(struct mole_tcache *cache, struct mole_pool_slots *slots,
                         struct mole_span *span)
{
    mole_span_rebuild(span);
    span->armed = span->countdown = 0;
    span->woken_next = NULL;
    int32_t live = (int32_t)mole_span_live_count(span);
    if (live > 0 && live == span->fresh) {
        mole_slab_make_full(cache, span);
    } else {
        mole_slab_make_partial(cache, span, live);
        if (live == 0) /* maybe never used, and only some of its pages in the map */
            retire(cache, slots, span);
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
    if (cache->is_torn && span->is_mixed)
        mole_mixed_rebuild(cache, slots, span);
    else if (cache->is_torn)
        rebuild_slab(cache, slots, span);
    else if (load_rlx(&span->inbox_a) & MOLE_INBOX_LISTED)
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

static void reset(struct mole_tcache *cache)
{
    store_rlx(&cache->owner.woken_a, NULL); /* visit lists anew */
    if (!cache->is_torn)
        return;
    cache->page_runs = NULL;
    store_rlx(&cache->owner.busy_a, 0);
    cache->mixed = &mole_tcache_none;
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        cache->batch[i].span = NULL;
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1) {
        cache->partial[class] = NULL;
        set_current(cache, class, &mole_tcache_none);
    }
}

void mole_slab_rebuild_torn(struct mole_heap *heap, struct mole_pool_slots *slots)
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
    }
    for (owner = mole_heap_owners(heap); owner; owner = owner->next) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        if (!cache->is_torn)
            continue;
        cache->is_torn = false;
        uintptr_t thread = load_rlx(&owner->thread_a);
        if (thread != MOLE_ORPHAN && thread != MOLE_SHARED)
            mole_heap_let_go(owner);
    }
}
