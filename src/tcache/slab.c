/* SPDX-License-Identifier: MIT */
#include "tcache/slab.h"

#include <assert.h>
#include <string.h>

#include "arena/head.h"
#include "arena/inbox.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "tcache/empties.h"
#include "tcache/idle.h"
#include "tcache/order.h"
#include "tcache/page_run.h"
#include "tcache/steal.h"
#include "tcache/sweep.h"
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
    mole_idle_count(cache, (int32_t)(span->pages - cache->current[class]->pages));
    cache->current[class] = span;
    size_t end = mole_size_class_bytes(class) / MOLE_ALIGN;
    if (end > MOLE_DIRECT_COUNT || class == MOLE_CLASS_MIXED)
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
 * unseen, a block of sixteen at most. In a fork's child it may not be carved to its end.
 */
static int32_t wake_after(const struct mole_span *span)
{
    int32_t frees = span->capacity < MOLE_SLAB_FEW ? 2 : span->capacity / 16;
    if (span->capacity < 16)
        frees = 1;
    return span->fresh < frees ? span->fresh : frees;
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
    mole_sweep_note(cache, span);
    struct mole_span *next = cache->partial[span->class];
    span->next = next;
    span->prev = next ? next->prev : span;
    if (next)
        next->prev = span;
    cache->partial[span->class] = span;
}

void mole_slab_unlist(struct mole_tcache *cache, struct mole_span *span)
{
    mole_sweep_forget(cache, span);
    struct mole_span **head = &cache->partial[span->class];
    if (span == *head)
        *head = span->next;
    else
        span->prev->next = span->next;
    struct mole_span *behind = span->next ? span->next : *head; /* head->prev: the last */
    if (behind)
        behind->prev = span->prev;
    span->next = span->prev = NULL;
}

struct mole_span *mole_slab_pop_partial(struct mole_tcache *cache, unsigned class)
{
    struct mole_span *span = mole_slab_next_partial(cache, class);
    if (span)
        mole_slab_unlist(cache, span);
    return span;
}

/*
 * Least blocks of a class's first slab, and of its largest if they exceed a chunk: twice
 * as many once it has so many slabs.
 */
enum { FIRST_BLOCKS = 8, MOST_BLOCKS = 16, MANY_SLABS = 5 };
static_assert(2 * MOST_BLOCKS <= 32, "the last class's slabs have a bit a block");

static uint32_t pages_for(unsigned class, uint32_t blocks)
{
    uint32_t pages = 1;
    while (pages * MOLE_PAGE < blocks * mole_size_class_bytes(class))
        pages *= 2;
    return pages;
}

/*
 * Pages of the cache's next slab of a class: few at first, for most classes of most heaps
 * stay rare; the second has 4 or more, those after it 8. A slab of many blocks seldom
 * fills and empties, and its free blocks that were never used cost no memory. Those above
 * a chunk are runs of their own.
 */
static uint32_t slab_pages(const struct mole_tcache *cache, unsigned class)
{
    unsigned made = mole_growth_of(&cache->growth, class);
    uint32_t pages = pages_for(class, FIRST_BLOCKS);
    uint32_t most = pages_for(class, made < MANY_SLABS ? MOST_BLOCKS : 2 * MOST_BLOCKS);
    uint32_t least = made < 2 ? 4 * made : 8;
    if (most < MOLE_CHUNK_PAGES)
        most = MOLE_CHUNK_PAGES;
    for (; made > 0 && pages < most; made /= 2)
        pages *= 2;
    return pages < least ? least : pages;
}

static struct mole_run *take_whole_run(struct mole_tcache *cache,
                                       struct mole_pool_slots *slots, uint32_t pages)
{
    (void)mole_steal(cache->owner.heap, slots);
    return mole_arena_take(&cache->owner.heap->arena, slots, pages / MOLE_CHUNK_PAGES,
                           false);
}

static struct mole_span *create(struct mole_tcache *cache, struct mole_pool_slots *slots,
                                unsigned class, uint32_t pages)
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
    struct mole_arena *arena = &cache->owner.heap->arena;
    mole_arena_enter(arena);
    mole_span_map_slab(span, mole_page_run_at(run, page), pages, class, &cache->owner,
                       run);
    mole_growth_note_made(&cache->growth, class);
    mole_arena_leave(arena);
    mole_empties_note_made(cache, span);
    mole_sweep_go_on(cache);
    return span;
}

static void forget_made(struct mole_tcache *cache)
{
    mole_arena_enter(&cache->owner.heap->arena);
    mole_growth_forget(&cache->growth);
    mole_arena_leave(&cache->owner.heap->arena);
}

struct mole_span *mole_slab_create(struct mole_tcache *cache,
                                   struct mole_pool_slots *slots, unsigned class)
{
    struct mole_span *span = mole_empties_take(cache, class);
    if (!span)
        span = create(cache, slots, class, slab_pages(cache, class));
    if (likely(span))
        return span;
    forget_made(cache); /* memory is short: small ones again */
    return create(cache, slots, class, slab_pages(cache, class));
}

struct mole_run *mole_slab_take_apart(struct mole_tcache *cache, struct mole_span *span)
{
    mole_slab_arm(cache, span, 0);
    struct mole_run *run = mole_span_run(span);
    uint32_t pages = span->pages;
    int page = (int)((span->base - run->base) / MOLE_PAGE);
    mole_growth_note_gone(&cache->growth, span->class);
    mole_span_unmap(span);
    if (run->is_cut && !mole_page_run_give(cache, run, pages, page))
        return NULL;
    mole_arena_unlink(&cache->owner.heap->arena, run);
    return run;
}

void mole_slab_destroy(struct mole_tcache *cache, struct mole_pool_slots *slots,
                       struct mole_span *span)
{
    struct mole_arena *arena = &cache->owner.heap->arena;
    mole_arena_enter(arena); /* for a census: spans do not come and go meanwhile */
    struct mole_run *run = mole_slab_take_apart(cache, span);
    mole_arena_leave(arena);
    mole_span_give(span);
    if (run)
        mole_arena_return(arena, slots, run);
}

/*
 * The empty partial slab is kept (empties.h) or goes, unless another thread is about
 * to list it: then that walk meets it and comes here again.
 */
static void retire(struct mole_tcache *cache, struct mole_pool_slots *slots,
                   struct mole_span *span, bool is_own)
{
    if (!mole_inbox_is_quiet(span))
        return;
    mole_slab_unlist(cache, span);
    mole_empties_shrink(cache, slots);
    if (!mole_empties_put(cache, span, is_own))
        mole_slab_destroy(cache, slots, span);
}

/* A full slab got its first blocks back. */
static void list_full(struct mole_tcache *cache, struct mole_pool_slots *slots,
                      struct mole_span *span, int32_t returned)
{
    int32_t used = span->fresh - (span->armed - span->countdown) - returned;
    mole_slab_make_partial(cache, span, used);
    if (used == 0)
        retire(cache, slots, span, returned == 0);
    mole_sweep_go_on(cache);
}

/*
 * A full slab that got blocks back takes the place of a current one that has none: what
 * listing it and the next refill would come to.
 */
static bool replace_current(struct mole_tcache *cache, struct mole_span *span)
{
    struct mole_span *current = cache->current[span->class];
    if (!mole_slab_is_used_up(current))
        return false;
    mole_slab_make_current(cache, span);
    mole_slab_make_full(cache, current);
    mole_sweep_go_on(cache);
    return true;
}

void mole_tcache_counted_down(struct mole_tcache *cache, struct mole_pool_slots *slots,
                              struct mole_span *span)
{
    mole_idle_note_work(cache, span->heap);
    switch (load_rlx(&span->state_a)) {
    case MOLE_SPAN_CURRENT:
        mole_slab_arm(cache, span, MOLE_COUNT_ON);
        break;
    case MOLE_SPAN_FULL:
        if (!replace_current(cache, span))
            list_full(cache, slots, span, 0);
        break;
    default:
        retire(cache, slots, span, true);
        break;
    }
    mole_slab_collect(cache, slots); /* who only frees comes by nowhere else */
}

/*
 * Put `count` entries that start at `first` before the slab's free list. Before an empty
 * one they stay as they came: their lines are other processors' until they are wanted.
 */
static void splice(struct mole_span *span, uint32_t first, uint32_t count)
{
    if (span->free != MOLE_END) {
        uint32_t last;
        first = mole_order_list(span, first, count, &last);
        mole_link_set(span, last, span->free);
    }
    mole_head_set(span, first);
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
            retire(cache, slots, span, false);
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

bool mole_slab_is_whole(struct mole_span *span)
{
    /* Bounded: racing frees of one block may have made a ring, or no list at all. */
    uint32_t count = 0, index = span->free;
    for (; index < span->fresh && count <= span->fresh;
         index = mole_link_get(span, index))
        count++;
    return index == MOLE_END && count == span->fresh && mole_inbox_is_quiet(span);
}

void mole_slab_retire_whole(struct mole_tcache *cache, struct mole_pool_slots *slots,
                            unsigned class)
{
    struct mole_span *span = cache->current[class];
    if (span == &mole_tcache_none || !mole_slab_is_whole(span))
        return;
    set_current(cache, class, &mole_tcache_none);
    mole_slab_make_partial(cache, span, 0);
    retire(cache, slots, span, false);
}

void mole_slab_retire_current(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        mole_slab_retire_whole(cache, slots, class);
    (void)mole_empties_drop(cache, slots);
}
