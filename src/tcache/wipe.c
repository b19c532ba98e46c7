/* SPDX-License-Identifier: MIT */
#include "tcache/wipe.h"

#include <string.h>

#include "arena/head.h"
#include "arena/inbox.h"
#include "arena/rest.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "tcache/empties.h"
#include "tcache/idle.h"
#include "tcache/page_run.h"
#include "tcache/slab.h"
#include "tcache/sweep.h"

/* A slab with more blocks than that on its list, ever, goes. */
enum { MOST_BLOCKS = MOLE_PAGE / MOLE_ALIGN };

static bool stays(const struct mole_tcache *cache, const struct mole_span *span)
{
    return cache->current[span->class] == span &&
           load_rlx(&span->state_a) == MOLE_SPAN_CURRENT &&
           span->fresh - 1u < MOST_BLOCKS;
}

/*
 * Whether blocks were taken off the list in the order it had at first, and none put back:
 * then the first free one tells how many.
 */
static bool is_in_order(const struct mole_tcache *cache, struct mole_span *span)
{
    return span->armed == span->countdown && !cache->used[span->class] &&
           mole_inbox_is_quiet(span);
}

/* All blocks are free again and linked in order. */
static void wipe_slab(struct mole_tcache *cache, struct mole_span *span)
{
    uint32_t taken = span->free < span->fresh ? span->free : span->fresh;
    if (unlikely(!is_in_order(cache, span))) {
        taken = span->fresh;
        mole_slab_arm(cache, span, MOLE_COUNT_ON);
        store_rlx(&span->inbox_a, MOLE_END);
    }
    if (!taken)
        return;
    span->rested = 1;
    for (uint32_t index = 0; index < taken; index++)
        store_rlx(&span->entry_a[index], (uint16_t)(index + 1));
    if (unlikely(taken == span->fresh))
        store_rlx(&span->entry_a[taken - 1], MOLE_END);
    mole_head_set(span, 0);
    if (MOLE_DEBUG)
        mole_span_check(span);
    debug_check(!mole_span_live_count(span));
}

static void drop_slab(struct mole_tcache *cache, struct mole_pool_slots *slots,
                      struct mole_span *span)
{
    if (cache->current[span->class] == span)
        mole_slab_drop_current(cache, span->class);
    span->dirty = 1;
    mole_slab_destroy(cache, slots, span);
}

static void drop_lists(struct mole_tcache *cache)
{
    memset(cache->partial, 0, sizeof cache->partial);
    mole_sweep_end(cache);
}

/* Its slabs are wiped or dropped. */
static void wipe_home(struct mole_tcache *cache, struct mole_pool_slots *slots,
                      struct mole_run *home)
{
    uint32_t used = (uint16_t)~home->free_pages & ~1u; /* the first is the handle's */
    bool had_list = false;
    while (used) {
        int page = __builtin_ctz(used);
        struct mole_span *span = mole_span_map_find(mole_page_run_at(home, page));
        used &= ~(((1u << span->pages) - 1) << page | 1u << page);
        if (likely(stays(cache, span))) {
            wipe_slab(cache, span);
        } else if (span->kind == MOLE_SPAN_SLAB) {
            had_list |= load_rlx(&span->state_a) == MOLE_SPAN_PARTIAL;
            drop_slab(cache, slots, span);
        }
    }
    if (unlikely(had_list))
        drop_lists(cache);
}

/* The same for what lies outside of the home run, which goes with the runs. */
static void wipe_rest(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    struct mole_heap *heap = cache->owner.heap;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1) {
        struct mole_span *span = cache->current[class];
        if (mole_span_run(span) != heap->home)
            mole_slab_drop_current(cache, class);
    }
    drop_lists(cache);
    memset(cache->batch, 0, sizeof cache->batch);
    store_rlx(&cache->owner.has_batches_a, false);
    mole_rest_shrink(heap, slots);
    cache->page_runs = NULL;
    if (heap->home->free_pages)
        mole_page_run_list(cache, heap->home);
}

static void count_slabs(struct mole_tcache *cache)
{
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        mole_growth_set(&cache->growth, class,
                        cache->current[class] != &mole_tcache_none);
}

uint64_t mole_wipe_cache(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    struct mole_heap *heap = cache->owner.heap;
    bool has_grown = heap->arena.has_grown;
    uint64_t frees = 0;
    store_rlx(&cache->owner.woken_a, NULL);
    store_rlx(&cache->owner.is_worked_a, false); /* who looks at the next heap is told */
    if (cache->empty_pages)                      /* they go with the rest below */
        mole_empties_forget(cache);
    if (unlikely(has_grown)) {
        mole_large_cache_drop(cache, slots);
        frees = mole_tcache_frees(cache);
        wipe_rest(cache, slots);
    }
    wipe_home(cache, slots, heap->home);
    if (likely(!has_grown))
        frees = cache->frees;
    else
        count_slabs(cache);
    cache->frees = 0;
    memset(cache->used, 0, sizeof cache->used);
    return frees;
}
