/* SPDX-License-Identifier: MIT */
#include "tcache/mixed.h"

#include "tcache/rebuild.h"
#include "unit.h"

enum { BLOCKS = MOLE_PAGE / MOLE_MIXED_BYTES, SIZES = MOLE_MIXED_LAST + 1 };

static HANDLE heap;
static struct mole_tcache *cache;

static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    require(cache != NULL, "the heap's maker has no cache there");
}

static bool is_mixed(const void *block)
{
    return span_of(block)->class == MOLE_CLASS_MIXED;
}

Test(mixed, first_blocks_of_all_small_sizes_share_a_page)
{
    begin();
    for (size_t i = 0; i < SIZES; i++) {
        char *block = take(heap, 0, 16 * (i + 1));
        require(span_of(block) == cache->current[MOLE_CLASS_MIXED], "%zu bytes are apart",
                16 * (i + 1));
        memset(block, (int)i + 1, 16 * (i + 1));
    }
    require(cache->current[MOLE_CLASS_MIXED]->pages == 1, "it has %u pages",
            cache->current[MOLE_CLASS_MIXED]->pages);
    for (size_t i = 0; i < SIZES; i++) {
        char *block = cache->current[MOLE_CLASS_MIXED]->base + i * MOLE_MIXED_BYTES;
        require(HeapSize(heap, 0, block) == 16 * (i + 1), "a size is lost");
        require(is_all(block, 16 * (i + 1), (int)i + 1), "blocks overlap");
    }
    require(!is_mixed(take(heap, 0, 16)), "17 blocks are in a page of 16");
    mole_span_check(cache->current[MOLE_CLASS_MIXED]);
}

Test(mixed, larger_blocks_have_slabs_of_their_own)
{
    begin();
    require(is_mixed(take(heap, 0, MOLE_MIXED_BYTES)), "256 bytes are apart");
    require(!is_mixed(take(heap, 0, MOLE_MIXED_BYTES + 1)), "257 bytes share a page");
}

Test(mixed, a_class_that_is_used_gets_a_slab_of_its_own)
{
    begin();
    for (size_t i = 0; i < MOLE_MIXED_TIMES; i++) {
        void *block = take(heap, 0, 64);
        require(is_mixed(block), "block %zu has a slab of its own", i);
        give_back(heap, block);
    }
    void *block = take(heap, 0, 64);
    require(!is_mixed(block), "a 17th block has none");
    require(cache->direct[3] == span_of(block), "the fast path does not find it");
    require(is_mixed(take(heap, 0, 48)), "another class lost its place");
}

Test(mixed, what_is_free_there_is_used_before_a_further_slab_is_made)
{
    begin();
    void *first = take(heap, 0, 64);
    for (size_t i = 1; i < MOLE_MIXED_TIMES; i++)
        take(heap, 0, 64);
    size_t capacity = span_of(take(heap, 0, 64))->capacity;
    for (size_t i = 1; i < capacity; i++)
        require(!is_mixed(take(heap, 0, 64)), "a block came too early");
    give_back(heap, first);
    require(take(heap, 0, 64) == first, "the free block was not used");
    require(!is_mixed(take(heap, 0, 64)), "there was a second one");
    cache->used[3] = UINT8_MAX;
    while (cache->current[3]->free != MOLE_END || mole_span_carve(cache->current[3]))
        take(heap, 0, 64);
    give_back(heap, first);
    require(take(heap, 0, 64) != first, "slow paths have no end");
}

static const char *free_it(struct worker *worker)
{
    return HeapFree(heap, 0, worker->shared) ? NULL : "HeapFree failed";
}

Test(mixed, blocks_freed_by_another_thread_come_again)
{
    begin();
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(heap, 0, 16 * (i + 1));
    run_workers(1, free_it, blocks[7]);
    require(take(heap, 0, 32) == blocks[7], "the block did not come again");
}

Test(mixed, frees_are_counted_once)
{
    begin();
    uint64_t before = mole_tcache_frees(cache);
    for (size_t i = 0; i < 10; i++)
        give_back(heap, take(heap, 0, 16 * (i + 1)));
    require(mole_tcache_frees(cache) == before + 10, "%lu frees of 10 are counted",
            mole_tcache_frees(cache) - before);
    require(HeapCompact(heap, 0) > 0 &&
                cache->current[MOLE_CLASS_MIXED] == &mole_tcache_none,
            "HeapCompact left the empty page");
    require(mole_tcache_frees(cache) == before + 10, "%lu frees of 10 are left",
            mole_tcache_frees(cache) - before);
}

Test(mixed, heap_compact_leaves_blocks_alone)
{
    begin();
    char *block = take(heap, 0, 100);
    memset(block, 7, 100);
    require(HeapCompact(heap, 0) > 0, "HeapCompact failed");
    require(span_of(block) == cache->current[MOLE_CLASS_MIXED] && is_all(block, 100, 7),
            "it is gone");
    give_back(heap, block);
}

Test(mixed, it_stays_while_a_block_is_in_anothers_batch)
{
    begin();
    static struct mole_tcache others;
    void *block = take(heap, 0, 100);
    free_into(&others, block);
    mole_slab_retire_current(cache, mole_thread_slots());
    require(is_mapped(block) && span_of(block) == cache->current[MOLE_CLASS_MIXED],
            "it went");
    mole_tcache_flush(&others);
    mole_slab_collect(cache, mole_thread_slots());
    mole_slab_retire_current(cache, mole_thread_slots());
    require(!is_mapped(block) && cache->current[MOLE_CLASS_MIXED] == &mole_tcache_none,
            "it stays for ever");
}

/* In the limits of its class, as if it had a slab: what the API says does not depend on
 * how young a heap is. */
Test(mixed, a_block_may_use_what_its_class_has)
{
    begin();
    char *block = take(heap, 0, 100);
    require(mh_usable_size(heap, block) == 112, "100 bytes may use %zu",
            mh_usable_size(heap, block));
    require(HeapReAlloc(heap, 0, block, 250) == block, "it moved though it has room");
    require(mh_usable_size(heap, block) == 256, "250 bytes may use %zu",
            mh_usable_size(heap, block));
    require(HeapReAlloc(heap, 0, block, 10) == block, "it moved to shrink");
    block = HeapReAlloc(heap, 0, block, 257);
    require(block && !is_mixed(block), "257 bytes are in a block of 256");
}

Test(mixed, mallocs_heap_and_checked_heaps_have_none)
{
    begin();
    require(!is_mixed(mh_malloc(20)), "a block of malloc's is in a mixed slab");
    HANDLE checked = create_heap(HEAP_TAIL_CHECKING_ENABLED);
    require(!is_mixed(take(checked, 0, 20)), "a block with a tail is in a mixed slab");
}

Test(mixed, a_forks_child_gets_it_back_from_its_table)
{
    begin();
    void *blocks[3];
    for (size_t i = 0; i < 3; i++)
        blocks[i] = take(heap, 0, 16 * (i + 1));
    give_back(heap, blocks[1]);
    struct mole_span *span = cache->current[MOLE_CLASS_MIXED];
    /* As if its thread, another one, had been in the middle of an operation. */
    store_rlx(&cache->owner.thread_a, mole_thread_self() + 64);
    cache->is_torn = true;
    mole_rebuild_torn(inside(heap), mole_thread_slots());
    require(cache->partial[MOLE_CLASS_MIXED] == span, "it is in no list");
    require(mole_span_live_count(span) == 2, "blocks are lost");
    mole_span_check(span);
    require(mole_heap_adopt_one(&cache->owner, mole_thread_self()), "nobody owns it");
    require(take(heap, 0, 96) == blocks[1], "its free block is lost");
}
