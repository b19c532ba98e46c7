/* SPDX-License-Identifier: MIT */
#include "tcache/empties.h"

#include "arena/rest.h"
#include "arena/warmth.h"
#include "tcache/compact.h"
#include "tcache/mixed.h"
#include "tcache/rebuild.h"
#include "tcache/slab.h"
#include "tcache/sweep.h"
#include "unit.h"

enum { BYTES = 8192, CLASS = 55, SLAB = FIRST_SLAB, SLABS = 8 };

static HANDLE heap;
static struct mole_tcache *cache;
static void *blocks[SLABS][SLAB];

/*
 * Slabs of one chunk each, all full but for the last, which is current and has a block.
 */
static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    for (size_t slab = 0; slab < SLABS; slab++)
        take_slab(heap, BYTES, blocks[slab]);
    give_back(heap, blocks[SLABS - 1][SLAB - 1]); /* else another would replace it */
    require(span_of(blocks[SLABS - 1][0])->pages == MOLE_CHUNK_PAGES,
            "slabs have another size");
}

static void free_slabs(size_t count)
{
    for (size_t slab = 0; slab < count; slab++)
        for (size_t i = 0; i < SLAB; i++)
            give_back(heap, blocks[slab][i]);
}

static size_t count_mapped(void)
{
    size_t count = 0;
    for (size_t slab = 0; slab < SLABS; slab++)
        count += is_mapped(blocks[slab][0]);
    return count;
}

Test(empties, an_empty_slab_is_the_next_of_its_class)
{
    begin();
    struct mole_span *span = span_of(blocks[0][0]);
    free_slabs(1);
    require(cache->empties[CLASS] == span, "it was not kept");
    (void)take(heap, 0, BYTES); /* the last block of the current one */
    struct mole_run *first = inside(heap)->arena.runs;
    require(span_of(take(heap, 0, BYTES)) == span, "another one was made");
    require(inside(heap)->arena.runs == first, "the heap took a run");
    require(!cache->empties[CLASS] && !cache->empty_pages, "it is still called kept");
    mole_span_check(span);
}

Test(empties, a_slab_is_none_for_another_class)
{
    begin();
    free_slabs(1);
    require(span_of(take(heap, 0, BYTES / 2)) != span_of(blocks[0][0]), "it was used");
    require(cache->empty_pages == MOLE_CHUNK_PAGES, "it is kept no longer");
}

/* Who frees it wants them in another thread's cache. */
Test(empties, there_is_room_for_so_many_pages_that_others_freed)
{
    begin();
    for (size_t slab = 0; slab < SLABS - 1; slab++)
        for (size_t i = 0; i < SLAB; i++)
            require(mole_tcache_free_remote(NULL, span_of(blocks[slab][i]), i),
                    "block %zu is not live", i);
    mole_slab_collect(cache, mole_thread_slots());
    require(cache->empty_pages == MOLE_EMPTY_PAGES, "%u pages are kept",
            cache->empty_pages);
    require(count_mapped() == 1 + MOLE_EMPTY_PAGES / MOLE_CHUNK_PAGES,
            "%zu slabs are there", count_mapped());
}

static uint32_t in_steps(uint32_t pages)
{
    return (pages + MOLE_ROOM_STEP - 1) / MOLE_ROOM_STEP * MOLE_ROOM_STEP;
}

Test(empties, an_owner_keeps_more_slabs_of_large_blocks)
{
    begin();
    free_slabs(MOLE_EMPTY_PAGES / MOLE_CHUNK_PAGES);
    require(!mole_empties_room(), "%u pages of room are for the few that each has",
            mole_empties_room());
    for (size_t i = 0; i < SLAB; i++)
        give_back(heap, blocks[SLABS - 2][i]);
    uint32_t pages = MOLE_EMPTY_PAGES + MOLE_CHUNK_PAGES;
    require(cache->empty_pages == pages, "%u pages are kept", cache->empty_pages);
    require(mole_empties_room() == in_steps(pages) && cache->dear_room == in_steps(pages),
            "there are %u pages of room, %u of them the cache's", mole_empties_room(),
            cache->dear_room);
}

static const char *allocate_all(struct worker *worker)
{
    (void)worker;
    settle_in(heap);
    for (size_t i = 0; i < SLABS * SLAB; i++)
        answer_unless((blocks[i / SLAB][i % SLAB] = HeapAlloc(heap, 0, BYTES)),
                      "no memory");
    return NULL;
}

static const char *free_all(struct worker *worker)
{
    settle_in(heap);
    for (size_t i = 0; i < SLABS * SLAB; i++)
        answer_unless(HeapFree(heap, 0, blocks[i / SLAB][i % SLAB]), "HeapFree failed");
    *(uint32_t *)worker->shared = mole_thread_cache(inside(heap))->empty_pages;
    return NULL;
}

/* Its cache is the other's, so the slabs are its own. */
Test(empties, a_thread_that_only_frees_has_none_of_the_room)
{
    uint32_t pages = 0;
    stop_passes();
    heap = create_heap(0);
    run_workers(1, allocate_all, NULL);
    run_workers(1, free_all, &pages);
    require(pages > MOLE_EMPTY_PAGES / 2 && pages <= MOLE_EMPTY_PAGES,
            "%u pages are kept", pages);
    require(!mole_empties_room(), "%u pages of room are taken", mole_empties_room());
}

/* Blocks of 1 KiB and less: other caches of the process may want the room more. */
Test(empties, slabs_of_smaller_blocks_have_none_of_the_room)
{
    enum { COUNT = 2 * MOLE_EMPTY_PAGES * MOLE_PAGE / 1024 };
    static void *small[COUNT];
    begin();
    mole_growth_set(&cache->growth, mole_size_class_of(1024),
                    UINT8_MAX); /* large ones from the start */
    for (size_t i = 0; i < COUNT; i++)
        small[i] = take(heap, 0, 1024);
    for (size_t i = 0; i < COUNT; i++)
        give_back(heap, small[i]);
    require(cache->empty_pages == MOLE_EMPTY_PAGES && !mole_empties_room(),
            "%u pages are kept", cache->empty_pages);
}

Test(empties, what_is_in_the_room_takes_no_place_of_others)
{
    begin();
    free_slabs(SLABS - 2);
    uint32_t pages = cache->empty_pages;
    void *small[65 + MOLE_MIXED_TIMES];
    for (size_t i = 0; i < LENGTH(small); i++)
        small[i] = take(heap, 0, 64);
    for (size_t i = 0; i < LENGTH(small); i++)
        give_back(heap, small[i]);
    require(pages > MOLE_EMPTY_PAGES && cache->empties[3], "one of 64 bytes is not kept");
}

/* Nobody but the owner would ever give it back: the purger passes such heaps over. */
static void there_is_no_room_in(DWORD flags)
{
    begin();
    heap = create_heap(flags);
    cache = (struct mole_tcache *)(void *)mole_heap_owners(inside(heap));
    for (size_t i = 0; i < SLABS * SLAB; i++)
        blocks[i / SLAB][i % SLAB] = take(heap, 0, BYTES);
    free_slabs(SLABS);
    require(cache->empty_pages > MOLE_EMPTY_PAGES / 2 &&
                cache->empty_pages <= MOLE_EMPTY_PAGES && !mole_empties_room(),
            "%u pages are kept", cache->empty_pages);
}

Test(empties, a_heap_without_a_lock_has_none_of_the_room)
{
    there_is_no_room_in(HEAP_NO_SERIALIZE);
}

Test(empties, an_executable_heap_has_none_of_the_room)
{
    there_is_no_room_in(HEAP_CREATE_ENABLE_EXECUTE);
}

enum { HEAPS = 100, MUCH = MOLE_ROOM_PAGES / MOLE_CHUNK_PAGES / 4 };

/* In a new heap, as many slabs as a quarter of the room has pages for, and more. */
static HANDLE fill_and_empty(void)
{
    static void *many[MUCH + 5][SLAB];
    HANDLE other = create_heap(0);
    for (size_t slab = 0; slab < LENGTH(many); slab++)
        take_slab(other, BYTES, many[slab]);
    for (size_t slab = 0; slab < LENGTH(many); slab++)
        for (size_t i = 0; i < SLAB; i++)
            give_back(other, many[slab][i]);
    return other;
}

/* However many heaps a process has. */
Test(empties, all_caches_together_have_so_much_room)
{
    static HANDLE heaps[HEAPS];
    stop_passes();
    mole_warmth_missed((size_t)1 << 30); /* nothing that is given back is too much */
    uint32_t kept = 0, room = 0, most = 0;
    for (size_t i = 0; i < HEAPS; i++)
        heaps[i] = fill_and_empty();
    for (size_t i = 0; i < HEAPS; i++) {
        cache = mole_thread_cache(inside(heaps[i]));
        kept += cache->empty_pages;
        room += cache->dear_room;
        most = cache->empty_pages > most ? cache->empty_pages : most;
    }
    require(most > 2 * MOLE_EMPTY_PAGES, "no cache keeps more than %u pages", most);
    require(room == mole_empties_room() && room <= MOLE_ROOM_PAGES,
            "%u pages of room are given, %u said to be", room, mole_empties_room());
    require(room > MOLE_ROOM_PAGES - MOLE_ROOM_STEP, "%u pages are not used",
            MOLE_ROOM_PAGES - room);
    require(kept <= MOLE_ROOM_PAGES + HEAPS * MOLE_EMPTY_PAGES, "%u pages are kept",
            kept);
    destroy_heap(heaps[0]); /* it is kept whole, and so are some with no room */
    for (size_t i = HEAPS; --i > 0;)
        destroy_heap(heaps[i]);
    require(!mole_empties_room(), "%u pages of room went with the heaps",
            mole_empties_room());
}

Test(empties, room_comes_back_when_slabs_are_used)
{
    begin();
    HANDLE other = fill_and_empty();
    require(mole_empties_room() > 2 * MOLE_ROOM_STEP, "there is little room taken");
    for (size_t i = 0; i < (MUCH + 5) * SLAB; i++)
        (void)take(other, 0, BYTES);
    require(mole_empties_room() <= 2 * MOLE_ROOM_STEP, "%u pages are still taken",
            mole_empties_room());
}

Test(empties, a_fork_s_child_has_the_room_of_threads_it_lacks)
{
    begin();
    free_slabs(SLABS - 2);
    require(mole_empties_room(), "there is no room taken");
    cache->is_torn = true;
    mole_rebuild_torn(inside(heap), mole_thread_slots());
    require(!mole_empties_room() && !cache->dear_room && !cache->empties[CLASS],
            "%u pages are still taken", mole_empties_room());
}

/* That of a heap which such a thread was destroying is nobody's. */
Test(empties, a_fork_s_child_counts_the_room_anew)
{
    begin();
    HANDLE other = fill_and_empty();
    uint32_t room = mole_thread_cache(inside(other))->dear_room;
    free_slabs(SLABS - 2);
    require(cache->dear_room && mole_empties_room() == room + cache->dear_room,
            "%u pages of room are taken", mole_empties_room());
    (void)mole_rest_begin(inside(heap));
    mole_empties_recount();
    require(mole_empties_room() == room, "%u pages of room are taken, not %u",
            mole_empties_room(), room);
}

static bool let_program_shrink(void)
{
    return !mole_warmth_allows((size_t)1 << 20);
}

Test(empties, a_program_that_shrinks_gives_dear_ones_back)
{
    begin();
    free_slabs(SLABS - 2);
    require(let_program_shrink() && mole_warmth_is_full(), "it does not shrink");
    require(cache->empty_pages > MOLE_EMPTY_PAGES, "too few are kept");
    for (size_t i = 0; i < SLAB; i++)
        give_back(heap, blocks[SLABS - 2][i]);
    require(cache->empty_pages == MOLE_CHUNK_PAGES, "%u pages are kept",
            cache->empty_pages);
    require(mole_empties_room() == 0, "%u pages of room are left", mole_empties_room());
}

Test(empties, a_few_are_kept_while_a_program_shrinks)
{
    begin();
    require(let_program_shrink() && mole_warmth_is_full(), "it does not shrink");
    free_slabs(SLABS - 1);
    require(cache->empty_pages == MOLE_EMPTY_PAGES && !mole_empties_room(),
            "%u pages are kept", cache->empty_pages);
}

Test(empties, a_sweep_gives_back_what_nobody_took_since_the_last)
{
    begin();
    free_slabs(SLABS - 1);
    uint32_t pages = cache->empty_pages;
    mole_sweep_step(cache, 100);
    require(cache->empty_pages == pages, "they went with the first sweep");
    for (size_t i = 0; i < (SLABS - 1) * SLAB; i++)
        blocks[i / SLAB][i % SLAB] = take(heap, 0, BYTES);
    free_slabs(SLABS - 1);
    pages = cache->empty_pages;
    require(pages > MOLE_EMPTY_PAGES, "only %u pages are kept", pages);
    mole_sweep_step(cache, 101);
    require(cache->empty_pages == pages, "they went though they were in use");
    mole_sweep_step(cache, 102);
    require(cache->empty_pages == 0 && !mole_empties_room(), "%u pages are still kept",
            cache->empty_pages);
}

/* It is part of some allocation or free. */
Test(empties, a_sweep_gives_back_some_at_a_time)
{
    enum { MORE = 20 };
    static void *more[MORE][SLAB];
    begin();
    (void)take(heap, 0, BYTES); /* the last block of the current one */
    for (size_t slab = 0; slab < MORE; slab++)
        take_slab(heap, BYTES, more[slab]);
    for (size_t i = 0; i < (size_t)MORE * SLAB; i++)
        give_back(heap, more[i / SLAB][i % SLAB]);
    uint32_t pages = cache->empty_pages, tick = 100;
    require(pages > 4 * MOLE_ROOM_STEP, "only %u pages are kept", pages);
    for (; cache->empty_pages && tick < 110; tick++, pages = cache->empty_pages) {
        mole_sweep_step(cache, tick);
        require(pages - cache->empty_pages <= 2 * MOLE_ROOM_STEP,
                "sweep %u took %u pages", tick, pages - cache->empty_pages);
    }
    require(cache->empty_pages == 0 && !mole_empties_room(), "%u pages are still kept",
            cache->empty_pages);
}

Test(empties, a_sweep_leaves_a_few)
{
    begin();
    free_slabs(MOLE_EMPTY_PAGES / MOLE_CHUNK_PAGES);
    for (uint32_t tick = 100; tick < 104; tick++)
        mole_sweep_step(cache, tick);
    require(cache->empty_pages == MOLE_EMPTY_PAGES, "%u pages are kept",
            cache->empty_pages);
}

Test(empties, blocks_of_an_empty_slab_are_refused)
{
    begin();
    free_slabs(1);
    require(!HeapFree(heap, 0, blocks[0][3]), "one was freed again");
    require(HeapSize(heap, 0, blocks[0][3]) == (SIZE_T)-1, "one has a size");
}

Test(empties, frees_stay_counted)
{
    begin();
    uint64_t before = mole_tcache_frees(cache);
    free_slabs(2);
    require(mole_tcache_frees(cache) == before + 2 * SLAB, "%llu frees were counted",
            (unsigned long long)(mole_tcache_frees(cache) - before));
}

Test(empties, drop_gives_them_back)
{
    begin();
    require(!mole_empties_drop(cache, NULL), "there are some from the start");
    free_slabs(2);
    require(mole_empties_drop(cache, mole_thread_slots()), "there are none");
    require(count_mapped() == SLABS - 2 && cache->empty_pages == 0, "they are there");
}

Test(empties, compacting_gives_them_back)
{
    begin();
    free_slabs(2);
    (void)HeapCompact(heap, 0);
    require(count_mapped() == SLABS - 2, "they are still there");
}

Test(empties, a_heap_that_lives_again_has_none)
{
    begin();
    free_slabs(2);
    void *small[65 + MOLE_MIXED_TIMES];
    for (size_t i = 0; i < LENGTH(small); i++)
        small[i] = take(heap, 0, 64);
    for (size_t i = 0; i < LENGTH(small); i++)
        give_back(heap, small[i]);
    require(cache->empties[CLASS] && cache->empties[3], "none was kept");
    destroy_heap(heap);
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    require(!cache->empty_pages && !cache->empties[CLASS] && !cache->empties[3],
            "it has some of the heap before it");
}
