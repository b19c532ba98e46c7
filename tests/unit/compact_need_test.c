/* SPDX-License-Identifier: MIT */
/* Memory is short: what is free in the heap's caches makes room for what is asked for. */
#include "tcache/compact.h"

#include "arena/region.h"
#include "os/pages.h"
#include "unit.h"

enum { BYTES = 8192, SLABS = 4, CHUNK = 65536, ONE = CHUNK - 1000, TWO = CHUNK + 1000 };

static HANDLE heap;
static struct mole_tcache *cache;
static void *blocks[SLABS][FIRST_SLAB];

/* Slabs of one chunk each, neighbours, all full. */
static void begin(DWORD options)
{
    stop_passes();
    heap = create_heap(options);
    cache = (struct mole_tcache *)(void *)mole_heap_owners(inside(heap));
    for (size_t slab = 0; slab < SLABS; slab++) {
        mole_growth_set(&cache->growth, mole_size_class_of(BYTES), 0);
        for (size_t i = 0; i < FIRST_SLAB; i++)
            blocks[slab][i] = take(heap, 0, BYTES);
        require(span_of(blocks[slab][0])->pages == MOLE_CHUNK_PAGES &&
                    mole_slab_is_used_up(span_of(blocks[slab][0])),
                "slab %zu has another size", slab);
    }
}

/* The last is current, and stays so. */
static void free_slabs(void)
{
    for (size_t slab = 0; slab < SLABS; slab++)
        for (size_t i = 0; i < FIRST_SLAB; i++)
            give_back(heap, blocks[slab][i]);
    require(cache->empty_pages >= 2 * MOLE_CHUNK_PAGES, "%u pages are kept",
            cache->empty_pages);
}

/* From now on there are no chunks but those that are in heaps. */
static void use_up_memory(void)
{
    mole_pages_inject(1, true);
    while (mole_pool_take(mole_thread_slots(), 1)) {
    }
    require(!mh_malloc(CHUNK * (size_t)MOLE_LARGE_MOST * 2), "there is memory");
}

static void use_up_and_free(DWORD options)
{
    begin(options);
    void *none;
    use_up_memory();
    none = HeapAlloc(heap, 0, ONE);
    require(!none, "there is a block while nothing is free");
    free_slabs();
}

Test(compact_need, a_large_block_is_made_of_empty_slabs)
{
    use_up_and_free(0);
    for (size_t i = 0; i < SLABS; i++)
        require(HeapAlloc(heap, 0, ONE), "no block %zu", i);
    require(!cache->empty_pages, "empty slabs are kept while memory is short");
}

Test(compact_need, so_it_is_in_a_heap_without_a_lock)
{
    use_up_and_free(HEAP_NO_SERIALIZE);
    for (size_t i = 0; i < SLABS; i++)
        require(HeapAlloc(heap, 0, ONE), "no block %zu", i);
}

Test(compact_need, a_small_block_is_made_of_another_classs_slabs)
{
    use_up_and_free(0);
    for (size_t i = 0; i < SLABS; i++)
        require(HeapAlloc(heap, 0, MOLE_SLAB_MAX), "no block %zu", i);
}

Test(compact_need, a_large_block_grows_into_empty_slabs)
{
    void *none, *block;
    begin(0);
    block = HeapAlloc(heap, 0, ONE);
    use_up_memory();
    none = HeapReAlloc(heap, 0, block, TWO);
    require(block && !none, "it grew while nothing was free");
    memset(block, 7, ONE);
    free_slabs();
    block = HeapReAlloc(heap, 0, block, TWO);
    require(block && HeapSize(heap, 0, block) == TWO, "it does not grow");
    require(is_all(block, ONE, 7), "its bytes have changed");
}

/* Room for growth is not worth what the cache keeps. */
Test(compact_need, a_block_that_moves_takes_what_there_is)
{
    enum { BEFORE = 5000, AFTER = BEFORE + 900, ROOMY = BEFORE + BEFORE / 4 };
    begin(0);
    void *block = take(heap, 0, BEFORE), *other = take(heap, 0, AFTER);
    require(mole_size_class_of(AFTER) < mole_size_class_of(ROOMY) &&
                cache->current[mole_size_class_of(ROOMY)] == &mole_tcache_none,
            "there is room for growth");
    use_up_memory();
    free_slabs();
    uint32_t kept = cache->empty_pages;
    block = HeapReAlloc(heap, 0, block, AFTER);
    require(block && span_of(block) == span_of(other), "it is elsewhere");
    require(cache->empty_pages == kept, "%u pages are kept, %u were", cache->empty_pages,
            kept);
}

/* A cache keeps a large block's span for the next one of that size. */
Test(compact_need, a_large_block_is_made_of_a_larger_one_that_is_kept)
{
    enum { KEPT = 8 };
    begin(0);
    void *none, *kept = take(heap, 0, KEPT * (size_t)CHUNK);
    use_up_memory();
    none = HeapAlloc(heap, 0, ONE);
    give_back(heap, kept);
    require(!none && is_mapped(kept), "the test's block is not kept");
    require(HeapAlloc(heap, 0, ONE), "no block");
}

enum { SMALL = 1024, SMALL_COUNT = CHUNK / SMALL };

static void *small[SMALL_COUNT];

static const char *free_and_allocate(struct worker *worker)
{
    settle_in(heap);
    for (size_t i = 0; i < SMALL_COUNT; i++)
        answer_unless(HeapFree(heap, 0, small[i]), "HeapFree failed");
    answer_unless(
        mole_thread_cache(mole_heap_find(heap))->batch[span_of(small[0])->class].span,
        "nothing is in a batch");
    *(void **)worker->shared = HeapAlloc(heap, 0, ONE);
    return NULL;
}

/* Then the slab's owner, or a thief, can have it. */
Test(compact_need, a_large_block_is_made_of_what_is_in_batches)
{
    void *block = NULL;
    begin(0);
    mole_growth_set(&cache->growth, mole_size_class_of(SMALL), UINT8_MAX);
    outgrow_mixed(cache);
    for (size_t i = 0; i < SMALL_COUNT; i++)
        small[i] = take(heap, 0, SMALL);
    require(span_of(small[0]) == span_of(small[SMALL_COUNT - 1]) &&
                span_of(small[0])->capacity == SMALL_COUNT,
            "they are no slab");
    (void)take(heap, 0, SMALL); /* another is current */
    use_up_memory();
    run_workers(1, free_and_allocate, &block);
    require(block != NULL, "no block");
    require(block == small[0], "it is elsewhere");
}

static const char *take_and_end(struct worker *worker)
{
    settle_in(heap);
    cache = mole_thread_cache(inside(heap));
    mole_growth_set(&cache->growth, mole_size_class_of(BYTES), 0);
    void *block = HeapAlloc(heap, 0, BYTES);
    answer_unless(block && HeapFree(heap, 0, block), "no block");
    *(void **)worker->shared = block;
    return NULL;
}

/* The current slab of an ended thread's has nothing in it. */
Test(compact_need, a_large_block_is_made_of_what_ended_threads_left)
{
    void *left = NULL;
    begin(0);
    run_workers(1, take_and_end, &left);
    require(span_of(left)->owner == &cache->owner && !cache->empty_pages,
            "it is not the current slab");
    use_up_memory();
    require(HeapAlloc(heap, 0, ONE), "no block");
    require(load_rlx(&cache->owner.thread_a) == MOLE_ORPHAN, "it was not let go");
}

/* More than there ever is costs nothing. */
Test(compact_need, what_is_refused_anyway_leaves_all_as_it_is)
{
    begin(0);
    free_slabs();
    uint32_t kept = cache->empty_pages;
    void *none = HeapAlloc(heap, 0, mole_region_reserved() + 1);
    require(!none && cache->empty_pages == kept, "%u pages are kept", cache->empty_pages);
}

/* Ended threads' caches are adopted each time room is made, and that happens once. */
Test(compact_need, a_block_that_cannot_move_makes_room_once)
{
    enum { BEFORE = 2000, AFTER = 2200, ROOMY = BEFORE + BEFORE / 4 };
    static const size_t all[] = {MOLE_SLAB_MAX, AFTER, ROOMY};
    void *none = NULL, *left = NULL;
    begin(0);
    void *block = take(heap, 0, BEFORE);
    run_workers(1, take_and_end, &left);
    use_up_memory();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        do
            none = HeapAlloc(heap, 0, all[i]);
        while (none);
    uint64_t adoptions = mole_heap_adoptions();
    none = HeapAlloc(heap, 0, AFTER);
    uint64_t once = mole_heap_adoptions() - adoptions;
    require(!none && once, "there is memory, or no cache is up for adoption");
    none = HeapReAlloc(heap, 0, block, AFTER);
    uint64_t moved = mole_heap_adoptions() - adoptions - once;
    require(!none && moved == once, "%zu adoptions, not %zu", (size_t)moved,
            (size_t)once);
}
