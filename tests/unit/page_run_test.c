/* SPDX-License-Identifier: MIT */
#include "tcache/page_run.h"

#include "unit.h"

static struct mole_heap *heap;
static struct mole_tcache *cache;

static void begin(void)
{
    stop_passes();
    HANDLE handle = create_heap(0);
    heap = inside(handle);
    cache = mole_thread_cache(heap);
    require(cache != NULL, "the heap's maker has no cache there");
}

static struct mole_run *take_pages(uint32_t pages, int *page)
{
    struct mole_run *run = mole_page_run_take(cache, NULL, pages, page);
    require(run != NULL, "no %u pages", pages);
    require(*page >= 0 && *page + pages <= MOLE_CHUNK_PAGES, "pages %d and %u more",
            *page, pages);
    require(*page % (int)pages == 0, "%u pages from page %d", pages, *page);
    return run;
}

static bool is_listed(const struct mole_run *wanted)
{
    for (const struct mole_run *run = cache->page_runs; run; run = run->page_next)
        if (run == wanted)
            return true;
    return false;
}

Test(page_run, a_new_heap_has_its_home_run_without_the_handles_page)
{
    begin();
    require(cache->page_runs == heap->home && !heap->home->page_next, "it has others");
    require(heap->home->free_pages == 0xfffe, "pages %x are free",
            heap->home->free_pages);
}

Test(page_run, no_page_is_given_twice)
{
    begin();
    enum { COUNT = 300 };
    void *starts[COUNT * MOLE_CHUNK_PAGES];
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        int page;
        uint32_t pages = 1u << i * 7 % 5;
        struct mole_run *run = take_pages(pages, &page);
        for (uint32_t at = 0; at < pages; at++)
            starts[count++] = mole_page_run_at(run, page + (int)at);
    }
    require(all_distinct(starts, count), "one was");
}

Test(page_run, the_first_free_pages_are_taken)
{
    begin();
    int page;
    require(take_pages(1, &page) == heap->home && page == 1, "page %d", page);
    require(take_pages(4, &page) == heap->home && page == 4, "pages from %d", page);
    require(take_pages(2, &page) == heap->home && page == 2, "pages from %d", page);
    require(take_pages(8, &page) == heap->home && page == 8, "pages from %d", page);
}

Test(page_run, one_without_a_free_page_leaves_the_list)
{
    begin();
    int page;
    for (int i = 1; i < MOLE_CHUNK_PAGES; i++) {
        require(is_listed(heap->home), "it left with a free page");
        take_pages(1, &page);
    }
    require(!is_listed(heap->home), "it is still listed");
    struct mole_run *next = take_pages(1, &page);
    require(next != heap->home && is_listed(next), "the next one is not listed");
}

Test(page_run, one_that_gets_a_page_back_is_listed_again)
{
    begin();
    int page;
    for (int i = 1; i < MOLE_CHUNK_PAGES; i++)
        take_pages(1, &page);
    require(!mole_page_run_give(cache, heap->home, 1, 5), "all of it is free");
    require(is_listed(heap->home), "it is not");
    require(take_pages(1, &page) == heap->home && page == 5, "page %d was taken", page);
}

Test(page_run, one_that_is_all_free_goes_back_to_the_arena)
{
    begin();
    int first, second;
    struct mole_run *run = take_pages(MOLE_CHUNK_PAGES, &first);
    require(run != heap->home && !run->free_pages, "not a run of its own");
    require(mole_page_run_give(cache, run, MOLE_CHUNK_PAGES, first), "it is kept");
    require(!is_listed(run), "it is listed");
    mole_arena_give(&heap->arena, NULL, run);
    for (struct mole_run *left = heap->arena.runs; left; left = left->next)
        require(left != run, "it is the heap's");
    take_pages(8, &first);
    require(take_pages(8, &second) == heap->home || first != second, "pages twice");
}

Test(page_run, the_home_run_stays_when_all_its_pages_are_free)
{
    begin();
    int page;
    take_pages(8, &page);
    require(!mole_page_run_give(cache, heap->home, 8, page), "it is given back");
    require(heap->home->free_pages == 0xfffe && is_listed(heap->home), "it went");
    require(heap->arena.runs != NULL, "the heap has no run");
}
