/* SPDX-License-Identifier: MIT */
#include "tcache/tcache.h"

#include "unit.h"

enum { CLASS_64 = 3, COUNT = MOLE_PAGE / 64 };

static struct mole_span *carved(void)
{
    struct mole_span *span = slab_of(CLASS_64, 1);
    require(mole_span_carve(span), "nothing was carved");
    span->countdown = span->armed = MOLE_COUNT_ON;
    return span;
}

static char *pop(struct mole_span *span)
{
    void *block = NULL;
    require(mole_tcache_pop(span, mole_span_mark(64), &block), "no free block");
    return block;
}

static bool push(struct mole_span *span, const void *block)
{
    size_t index;
    require(mole_span_index(span, block, &index), "%p is inside a block", block);
    return mole_tcache_push(span, index);
}

Test(tcache, pop_takes_new_blocks_in_the_order_of_their_addresses)
{
    struct mole_span *span = carved();
    for (size_t i = 0; i < COUNT; i++)
        require(pop(span) == span->base + i * 64, "block %zu is somewhere else", i);
}

Test(tcache, pop_says_when_there_is_no_free_block)
{
    struct mole_span *span = carved();
    for (size_t i = 0; i < COUNT; i++)
        pop(span);
    void *block;
    require(!mole_tcache_pop(span, mole_span_mark(64), &block), "one block too many");
}

Test(tcache, pop_takes_the_block_pushed_last_first)
{
    struct mole_span *span = carved();
    char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = pop(span);
    for (size_t i = 0; i < COUNT; i++) {
        require(push(span, blocks[i * 7 % COUNT]), "the countdown ended");
        mole_span_check(span);
    }
    for (size_t i = COUNT; i-- > 0;)
        require(pop(span) == blocks[i * 7 % COUNT], "not in reverse order of the pushes");
}

/* A process with many heaps has many of them: 960 bytes too much were a tenth of all. */
Test(tcache, a_record_is_as_large_as_it_must_be)
{
    struct mole_meta *record =
        mole_meta_take(MOLE_META_CACHE, sizeof(struct mole_tcache));
    require(record != NULL, "no record");
    require(mole_meta_bytes(record) < sizeof(struct mole_tcache) + MOLE_CACHE_LINE,
            "%zu bytes for %zu", mole_meta_bytes(record), sizeof(struct mole_tcache));
}

Test(tcache, pop_and_push_leave_the_blocks_memory_alone)
{
    struct mole_span *span = carved();
    char *block = pop(span);
    stamp(block, 64, 7);
    require(push(span, block), "the countdown ended");
    require(stamp_is_intact(block, 64, 7), "push wrote to the block");
    require(pop(span) == block && stamp_is_intact(block, 64, 7),
            "pop wrote to the block");
}

Test(tcache, push_says_when_the_countdown_ends)
{
    struct mole_span *span = carved();
    char *blocks[3] = {pop(span), pop(span), pop(span)};
    span->countdown = 3;
    require(push(span, blocks[0]) && push(span, blocks[1]), "the countdown ended early");
    require(!push(span, blocks[2]), "the countdown did not end");
}

Test(tcache, no_slab_has_no_free_block)
{
    void *block;
    require(!mole_tcache_pop(&mole_tcache_none, MOLE_LIVE, &block), "a block of no slab");
}

Test(tcache, a_new_cache_is_on_its_heaps_list_and_has_no_slab)
{
    struct mole_heap *heap = inside(create_heap(0));
    struct mole_tcache *cache = mole_tcache_create(heap, mole_thread_self(), NULL);
    require(cache != NULL, "no memory");
    require(mole_heap_owners(heap) == &cache->owner,
            "it is not first in the heap's list");
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1)
        require(cache->current[class] == &mole_tcache_none && !cache->partial[class],
                "class %u has a slab", class);
    for (unsigned slot = 0; slot < MOLE_DIRECT_COUNT; slot++)
        require(cache->direct[slot] == &mole_tcache_none, "slot %u has a slab", slot);
    require(mole_tcache_frees(cache) == 0, "it counted frees");
}

Test(tcache, a_record_returns_to_where_its_cache_was_kept)
{
    static struct mole_meta_stack home, elsewhere;
    struct mole_heap *heap = inside(create_heap(0));
    struct mole_tcache *cache = mole_tcache_create(heap, MOLE_ORPHAN, &home);
    require(cache != NULL, "no memory");
    cache->owner.next = NULL; /* not the heap's other one */
    (void)mole_tcache_destroy(&cache->owner);
    struct mole_tcache *other = mole_tcache_create(heap, MOLE_ORPHAN, &elsewhere);
    require(other && other != cache, "another home got the record");
    require(mole_tcache_create(heap, MOLE_ORPHAN, &home) == cache,
            "the home did not get its record again");
}

Test(tcache, frees_are_counted_whatever_became_of_the_slabs)
{
    HANDLE heap = create_heap(0);
    enum { BLOCKS = 3000 };
    void *blocks[BLOCKS];
    struct mole_tcache *cache = mole_thread_cache(inside(heap));
    uint64_t before = mole_tcache_frees(cache), freed = 0;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i] = take(heap, 0, i % 500);
        for (size_t i = 0; i < BLOCKS; i++, freed++)
            give_back(heap, blocks[(i * 7) % BLOCKS]);
    }
    require(mole_tcache_frees(cache) - before == freed, "%llu frees counted, not %llu",
            (unsigned long long)(mole_tcache_frees(cache) - before),
            (unsigned long long)freed);
}
