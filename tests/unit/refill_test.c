/* SPDX-License-Identifier: MIT */
#include "tcache/refill.h"

#include "arena/inbox.h"
#include "os/pages.h"
#include "tcache/rebuild.h"
#include "tcache/slab.h"
#include "unit.h"

enum { BYTES = 8192, CLASS = 55, SLAB = FIRST_SLAB, SLABS = 3, MOST = 16 };

static HANDLE heap;
static struct mole_tcache *cache;
static void *blocks[SLABS][SLAB];

/* Slabs of eight blocks, full but for the last, which is current and used up. */
static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    for (size_t slab = 0; slab < SLABS; slab++)
        take_slab(heap, BYTES, blocks[slab]);
    struct mole_span *current = cache->current[CLASS];
    require(current == span_of(blocks[SLABS - 1][0]) && mole_slab_is_used_up(current),
            "the current slab is not used up");
}

static enum mole_span_state state(size_t slab)
{
    return (enum mole_span_state)load_rlx(&span_of(blocks[slab][0])->state_a);
}

Test(refill, a_full_slab_that_gets_a_block_back_replaces_a_used_up_one)
{
    begin();
    struct mole_span *before = cache->current[CLASS];
    uint64_t frees = mole_tcache_frees(cache);
    give_back(heap, blocks[0][3]);
    require(cache->current[CLASS] == span_of(blocks[0][0]) &&
                state(0) == MOLE_SPAN_CURRENT,
            "it did not become current");
    require(state(SLABS - 1) == MOLE_SPAN_FULL && !cache->partial[CLASS],
            "the one before it is not full");
    require(before->countdown == 1, "it is listed after %d frees", before->countdown);
    require(mole_tcache_frees(cache) == frees + 1, "the free was not counted");
    require(take(heap, 0, BYTES) == blocks[0][3], "its block did not come again");
}

Test(refill, a_full_slab_is_listed_while_the_current_one_has_blocks)
{
    begin();
    give_back(heap, blocks[SLABS - 1][0]);
    give_back(heap, blocks[0][3]);
    require(state(0) == MOLE_SPAN_PARTIAL, "it is not listed");
    require(cache->partial[CLASS] == span_of(blocks[0][0]), "the list does not have it");
}

/* Two partial slabs, and a current one that is used up; the first is listed longer. */
static void list_two(void)
{
    begin();
    give_back(heap, blocks[SLABS - 1][0]);
    give_back(heap, blocks[0][3]);
    give_back(heap, blocks[1][2]);
    give_back(heap, blocks[1][4]);
    require(!mole_refill_next(cache, CLASS), "a current slab with a block was replaced");
    (void)take(heap, 0, BYTES);
}

Test(refill, partial_slabs_of_few_blocks_follow_in_turn)
{
    list_two();
    uint64_t locks = mole_lock_count();
    require(take(heap, 0, BYTES) == blocks[0][3], "another block came");
    require(mole_lock_count() == locks, "a lock was taken");
    require(state(0) == MOLE_SPAN_CURRENT && state(SLABS - 1) == MOLE_SPAN_FULL,
            "the slabs did not change places");
    mole_span_check(span_of(blocks[0][0]));
    require(take(heap, 0, BYTES) == blocks[1][4], "the next slab was not used");
    require(take(heap, 0, BYTES) == blocks[1][2], "another block came");
    require(!mole_refill_next(cache, CLASS), "there is one more");
}

/*
 * Else its pages would be faulted in again while others have free blocks that are there.
 */
Test(refill, a_slab_that_lost_pages_is_not_used_in_turn)
{
    list_two();
    span_of(blocks[0][0])->purged = 1;
    require(take(heap, 0, BYTES) == blocks[1][4], "another block came");
    require(take(heap, 0, BYTES) == blocks[1][2], "another block came");
    require(take(heap, 0, BYTES) == blocks[0][3], "the next slab was not used");
}

Test(refill, of_slabs_of_many_blocks_the_newest_follows)
{
    enum { SMALL = 1024, MANY = 64, FREES = 4 };
    void *many[SLABS][MANY];
    begin();
    mole_growth_set(&cache->growth, mole_size_class_of(SMALL), UINT8_MAX);
    for (size_t i = 0; i < SLABS * MANY; i++)
        many[i / MANY][i % MANY] = take(heap, 0, SMALL);
    struct mole_span *newest = span_of(many[1][0]);
    require(newest->capacity == MANY, "it has %u blocks", newest->capacity);
    give_back(heap, many[SLABS - 1][0]);
    for (size_t i = 0; i < 2 * FREES; i++)
        give_back(heap, many[i / FREES][i % FREES]);
    (void)take(heap, 0, SMALL);
    require(span_of(take(heap, 0, SMALL)) == newest, "another slab followed");
}

Test(refill, blocks_never_used_come_before_a_partial_slab)
{
    begin();
    void *fresh = take(heap, 0, BYTES); /* of a slab of 16, of which it carves eight */
    struct mole_span *span = span_of(fresh);
    give_back(heap, blocks[0][3]);
    require(state(0) == MOLE_SPAN_PARTIAL, "it is not listed");
    for (size_t i = 1; i < span->capacity; i++)
        require(span_of(take(heap, 0, BYTES)) == span, "block %zu is of another slab", i);
    require(take(heap, 0, BYTES) == blocks[0][3], "another block came");
}

/* Else they would wait until there is no partial slab. */
Test(refill, what_other_threads_gave_back_is_listed_first)
{
    begin();
    static struct mole_tcache others;
    give_back(heap, blocks[SLABS - 1][0]);
    give_back(heap, blocks[0][3]);
    free_into(&others, blocks[1][5]);
    mole_tcache_flush(&others);
    (void)take(heap, 0, BYTES);
    require(!mole_refill_next(cache, CLASS), "the woken list was passed over");
    (void)take(heap, 0, BYTES);
    require(!load_rlx(&cache->owner.woken_a), "the woken list was not taken");
    require(mole_inbox_is_quiet(span_of(blocks[1][0])), "its inbox is not quiet");
}

/* Who only frees never comes to a refill. */
Test(refill, what_other_threads_gave_back_is_listed_by_a_free_too)
{
    begin();
    static struct mole_tcache others;
    free_into(&others, blocks[1][5]);
    mole_tcache_flush(&others);
    require(load_rlx(&cache->owner.woken_a) == span_of(blocks[1][0]), "none is woken");
    give_back(heap, blocks[0][3]);
    require(!load_rlx(&cache->owner.woken_a), "the woken list was not taken");
    require(state(1) == MOLE_SPAN_PARTIAL, "its slab is not listed");
}

Test(refill, a_class_without_a_slab_is_left_to_the_slow_path)
{
    begin();
    mole_slab_drop_current(cache, CLASS);
    give_back(heap, blocks[0][3]);
    require(state(0) == MOLE_SPAN_PARTIAL, "it is not listed");
    require(!mole_refill_next(cache, CLASS), "nothing was replaced");
    require(take(heap, 0, BYTES) == blocks[0][3], "another block came");
    require(!mole_slab_is_used_up(&mole_tcache_none), "no slab is used up");
}

Test(refill, slabs_of_large_blocks_grow_to_so_many)
{
    static const size_t sizes[] = {5000, 8192, 20000, MOLE_SLAB_MAX};
    begin();
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        unsigned class = mole_size_class_of(sizes[i]);
        mole_growth_set(&cache->growth, class, 0);
        uint32_t most = 0;
        for (size_t count = 0; count < 3 * MOST; count++) {
            struct mole_span *span = span_of(take(heap, 0, sizes[i]));
            require(span->capacity >= most, "a slab of %u blocks after one of %u",
                    span->capacity, most);
            most = span->capacity;
        }
        require(most >= MOST && most < 2 * MOST, "class %u: slabs of %u blocks", class,
                most);
    }
}

/* Where one current slab more in each cache is a small part of what the class has. */
Test(refill, slabs_of_large_blocks_double_once_a_class_has_five)
{
    static const uint16_t capacities[] = {8, 16, 16, 16, 16, 32, 32};
    begin();
    unsigned class = mole_size_class_of(MOLE_SLAB_MAX);
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct mole_span *span = mole_slab_create(cache, mole_thread_slots(), class);
        require(span && span->capacity == capacities[i], "number %zu has %u blocks", i,
                span ? span->capacity : 0);
    }
}

Test(refill, each_further_slab_has_so_many_pages)
{
    static const uint32_t pages[] = {1, 4, 8, 8, 8, 8, 8, 8, MOLE_CHUNK_PAGES};
    begin();
    unsigned class = mole_size_class_of(64);
    for (size_t i = 0; i < LENGTH(pages); i++) {
        struct mole_span *span = mole_slab_create(cache, mole_thread_slots(), class);
        require(span && span->pages == pages[i], "number %zu has %u pages", i,
                span ? span->pages : 0);
    }
}

Test(refill, a_full_slab_is_listed_after_so_many_frees)
{
    static const struct {
        size_t bytes;
        uint8_t slabs; /* that the class is said to have */
        uint16_t blocks, frees;
    } cases[] = {{MOLE_SLAB_MAX, 0, 8, 1},
                 {16384, 4, 16, 2},
                 {4096, UINT8_MAX, 32, 2},
                 {2048, UINT8_MAX, 32, 2},
                 {1024, UINT8_MAX, 64, 4}};
    begin();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        mole_growth_set(&cache->growth, mole_size_class_of(cases[i].bytes),
                        cases[i].slabs);
        void *taken[64];
        for (size_t k = 0; k < cases[i].blocks; k++)
            taken[k] = take(heap, 0, cases[i].bytes);
        struct mole_span *span = span_of(taken[0]);
        require(span->capacity == cases[i].blocks && mole_slab_is_used_up(span),
                "a slab of %u blocks", span->capacity);
        (void)take(heap, 0, cases[i].bytes);
        for (size_t k = 0; k < cases[i].frees; k++) {
            require(load_rlx(&span->state_a) == MOLE_SPAN_FULL,
                    "of %u blocks: listed after %zu frees", span->capacity, k);
            give_back(heap, taken[k]);
        }
        require(load_rlx(&span->state_a) == MOLE_SPAN_PARTIAL,
                "of %u blocks: not listed after %u frees", span->capacity,
                cases[i].frees);
    }
}

/* In a fork's child, of a slab that was carved so far. */
Test(refill, a_slab_with_fewer_blocks_is_listed_after_the_last)
{
    begin();
    mole_growth_set(&cache->growth, mole_size_class_of(16384), UINT8_MAX);
    void *block = take(heap, 0, 16384);
    struct mole_span *span = span_of(block);
    span->fresh = 1;
    cache->is_torn = true;
    mole_rebuild_torn(inside(heap), mole_thread_slots());
    require(load_rlx(&span->state_a) == MOLE_SPAN_FULL, "the slab is not full");
    uint32_t kept = cache->empty_pages;
    give_back(heap, block);
    require(!is_mapped(block) || cache->empty_pages == kept + span->pages,
            "the slab is in no list");
}

/* All chunks that there are without the system's help. */
static void use_up_memory(void)
{
    while (mole_pool_take(mole_thread_slots(), 1)) {
    }
}

Test(refill, a_small_slab_is_made_when_there_is_no_memory_for_a_large_one)
{
    begin();
    unsigned class = mole_size_class_of(MOLE_SLAB_MAX);
    struct mole_span *spare = mole_slab_create(cache, mole_thread_slots(), class);
    require(spare && spare->capacity == SLAB, "the class's first slab is not small");
    mole_pages_inject(1, true);
    use_up_memory();
    mole_slab_destroy(cache, mole_thread_slots(), spare);
    mole_growth_set(&cache->growth, class, UINT8_MAX);
    void *block = HeapAlloc(heap, 0, MOLE_SLAB_MAX);
    mole_pages_inject(0, false);
    require(block != NULL, "there is no block");
    require(span_of(block)->capacity == SLAB, "the slab has %u blocks",
            span_of(block)->capacity);
}
