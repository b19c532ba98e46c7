/* SPDX-License-Identifier: MIT */
#include "tcache/page_run.h"

#include "tcache/steal.h"

/* How many listed runs are looked at before the arena is asked. */
enum { TRIES = 8 };

/* The lowest free aligned run of `pages` pages, a power of two, in a bitmap; or -1. */
static int find_pages(uint32_t free, uint32_t pages)
{
    static const uint16_t starts[] = {0xffff, 0x5555, 0x1111, 0x0101, 0x0001};
    unsigned order = (unsigned)__builtin_ctz(pages);
    for (unsigned shift = 0; shift < order; shift++)
        free &= free >> (1u << shift);
    free &= starts[order];
    return free ? __builtin_ctz(free) : -1;
}

static uint16_t page_mask(uint32_t pages, int page)
{
    return (uint16_t)(((1u << pages) - 1) << page);
}

void mole_page_run_list(struct mole_tcache *cache, struct mole_run *run)
{
    run->page_prev = NULL;
    run->page_next = cache->page_runs;
    if (run->page_next)
        run->page_next->page_prev = run;
    cache->page_runs = run;
}

static void unlist(struct mole_tcache *cache, struct mole_run *run)
{
    if (run->page_prev)
        run->page_prev->page_next = run->page_next;
    else
        cache->page_runs = run->page_next;
    if (run->page_next)
        run->page_next->page_prev = run->page_prev;
}

static struct mole_run *find_listed(struct mole_tcache *cache, uint32_t pages, int *page)
{
    int tries = TRIES;
    for (struct mole_run *run = cache->page_runs; run && tries--; run = run->page_next) {
        *page = find_pages(run->free_pages, pages);
        if (*page >= 0)
            return run;
    }
    return NULL;
}

static struct mole_run *take_new(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    struct mole_heap *heap = cache->owner.heap;
    (void)mole_steal(heap, slots);
    struct mole_run *run = mole_arena_take(&heap->arena, slots, 1, true);
    if (!run)
        return NULL;
    mole_page_run_list(cache, run);
    return run;
}

struct mole_run *mole_page_run_take(struct mole_tcache *cache,
                                    struct mole_pool_slots *slots, uint32_t pages,
                                    int *page)
{
    struct mole_run *run = find_listed(cache, pages, page);
    if (!run) {
        *page = 0;
        run = take_new(cache, slots);
    }
    if (!run)
        return NULL;
    run->free_pages &= (uint16_t)~page_mask(pages, *page);
    if (!run->free_pages)
        unlist(cache, run);
    return run;
}

bool mole_page_run_give(struct mole_tcache *cache, struct mole_run *run, uint32_t pages,
                        int page)
{
    bool was_listed = run->free_pages != 0;
    run->free_pages |= page_mask(pages, page);
    if (run->free_pages == 0xffff && run != cache->owner.heap->home) {
        if (was_listed)
            unlist(cache, run);
        return true;
    }
    if (!was_listed)
        mole_page_run_list(cache, run);
    return false;
}
