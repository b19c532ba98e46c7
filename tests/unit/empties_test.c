/* SPDX-License-Identifier: MIT */
#include "tcache/empties.h"

#include "tcache/compact.h"
#include "tcache/mixed.h"
#include "tcache/slab.h"
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

Test(empties, there_is_room_for_so_many_pages)
{
    begin();
    free_slabs(SLABS - 1);
    require(cache->empty_pages == MOLE_EMPTY_PAGES, "%u pages are kept",
            cache->empty_pages);
    require(count_mapped() == 1 + MOLE_EMPTY_PAGES / MOLE_CHUNK_PAGES,
            "%zu slabs are there", count_mapped());
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
