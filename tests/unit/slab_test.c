/* SPDX-License-Identifier: MIT */
#include "tcache/slab.h"

#include "tcache/empties.h"
#include "unit.h"

enum { CLASS_64 = 3, CLASS_8192 = 55, CLASS_20480 = 65, MOST = 4096 };

static HANDLE heap;
static struct mole_tcache *cache;
static void *blocks[MOST];

static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    require(cache != NULL, "the heap's maker has no cache there");
    outgrow_mixed(cache);
}

static enum mole_span_state state(const struct mole_span *span)
{
    return (enum mole_span_state)load_rlx(&span->state_a);
}

/*
 * All blocks of a new slab of the class; and one more, so that it is set aside. Its
 * number.
 */
static size_t fill_slab(size_t bytes)
{
    blocks[0] = take(heap, 0, bytes);
    size_t capacity = span_of(blocks[0])->capacity;
    for (size_t i = 1; i <= capacity; i++)
        blocks[i] = take(heap, 0, bytes);
    require(span_of(blocks[capacity]) != span_of(blocks[0]), "the slab has no end");
    require(state(span_of(blocks[0])) == MOLE_SPAN_FULL, "the slab is not full");
    return capacity;
}

static bool is_partial(const struct mole_span *span)
{
    for (const struct mole_span *listed = cache->partial[span->class]; listed;
         listed = listed->next)
        if (listed == span)
            return true;
    return false;
}

/* Whether its slab was empty: kept at first, and then given back. */
static bool went(const void *block)
{
    bool was_kept = is_mapped(block);
    (void)mole_empties_drop(cache, mole_thread_slots());
    return was_kept && !is_mapped(block);
}

Test(slab, the_first_block_comes_from_the_current_slab)
{
    begin();
    struct mole_span *span = span_of(take(heap, 0, 64));
    require(state(span) == MOLE_SPAN_CURRENT, "its slab is in state %d",
            (int)state(span));
    require(cache->current[CLASS_64] == span, "its slab is not the class's current one");
    require(span->owner == &cache->owner, "its slab is another cache's");
}

Test(slab, the_current_slab_is_found_by_every_size_of_its_class)
{
    begin();
    for (size_t bytes = 1; bytes <= MOLE_DIRECT_MAX; bytes++) {
        struct mole_span *span = span_of(take(heap, 0, bytes));
        require(cache->direct[(bytes - 1) / MOLE_ALIGN] == span,
                "%zu bytes are not found directly", bytes);
        require(cache->current[mole_size_class_of(bytes)] == span,
                "%zu bytes come from a slab of another class", bytes);
    }
}

Test(slab, one_that_has_no_block_left_is_set_aside_full)
{
    begin();
    size_t capacity = fill_slab(64);
    struct mole_span *full = span_of(blocks[0]), *next = span_of(blocks[capacity]);
    require(cache->current[CLASS_64] == next && state(next) == MOLE_SPAN_CURRENT,
            "the next slab is not the current one");
    require(!is_partial(full), "the full slab is in the list of partial ones");
    mole_span_check(full);
}

Test(slab, a_full_one_is_listed_after_a_sixteenth_of_its_blocks)
{
    begin();
    size_t capacity = fill_slab(64);
    struct mole_span *span = span_of(blocks[0]);
    for (size_t i = 0; i + 1 < capacity / 16; i++)
        give_back(heap, blocks[i]);
    require(state(span) == MOLE_SPAN_FULL, "it was listed too early");
    give_back(heap, blocks[capacity / 16 - 1]);
    require(state(span) == MOLE_SPAN_PARTIAL && is_partial(span), "it is not listed");
    require((size_t)span->countdown == capacity - capacity / 16,
            "%d blocks are said to be in use", span->countdown);
}

Test(slab, a_full_one_of_few_blocks_is_listed_after_the_first)
{
    begin();
    fill_slab(8192);
    struct mole_span *span = span_of(blocks[0]);
    require(span->capacity == 8, "it has %u blocks", span->capacity);
    give_back(heap, blocks[3]);
    require(is_partial(span), "it is not listed");
}

Test(slab, a_partial_one_is_used_before_a_new_one_is_made)
{
    begin();
    size_t capacity = fill_slab(64);
    struct mole_span *partial = span_of(blocks[0]), *current = span_of(blocks[capacity]);
    for (size_t i = 0; i < capacity / 2; i++)
        give_back(heap, blocks[i]);
    while (cache->current[CLASS_64] == current)
        (void)take(heap, 0, 64);
    require(cache->current[CLASS_64] == partial, "another slab was");
    require(!is_partial(partial), "it is in the list and current");
    require(state(current) == MOLE_SPAN_FULL, "the slab before it is not full");
}

Test(slab, one_that_gets_all_its_blocks_back_goes)
{
    begin();
    size_t capacity = fill_slab(64);
    for (size_t i = 0; i < capacity; i++) {
        require(is_mapped(blocks[0]), "it went with %zu blocks in use", capacity - i);
        give_back(heap, blocks[i]);
    }
    require(went(blocks[0]), "it is still there");
    require(!cache->partial[CLASS_64], "the list is not empty");
}

Test(slab, the_current_one_stays_when_it_is_empty)
{
    begin();
    void *block = take(heap, 0, 64);
    struct mole_span *span = span_of(block);
    give_back(heap, block);
    require(cache->current[CLASS_64] == span && is_mapped(block), "it went");
    require(take(heap, 0, 64) == block, "its block did not come again");
}

Test(slab, a_current_one_counts_frees_from_a_number_never_reached)
{
    begin();
    void *block = take(heap, 0, 64);
    struct mole_span *span = span_of(block);
    require(span->countdown == MOLE_COUNT_ON && span->armed == MOLE_COUNT_ON,
            "it begins at %d", span->countdown);
    give_back(heap, block);
    require(span->countdown == MOLE_COUNT_ON - 1, "after a free it is %d",
            span->countdown);
}

Test(slab, the_end_of_a_current_ones_countdown_changes_nothing)
{
    begin();
    void *block = take(heap, 0, 64);
    struct mole_span *span = span_of(block);
    uint64_t before = mole_tcache_frees(cache);
    span->countdown = 1;
    span->armed = 1;
    give_back(heap, block);
    require(cache->current[CLASS_64] == span && state(span) == MOLE_SPAN_CURRENT,
            "it is not current any more");
    require(span->countdown == MOLE_COUNT_ON, "it did not begin anew");
    require(mole_tcache_frees(cache) == before + 1, "the free was not counted");
}

Test(slab, returned_pages_of_a_run_are_used_again)
{
    begin();
    void *anchor = take(heap, 0, 1000); /* keeps the run in use */
    size_t capacity = fill_slab(64);
    struct mole_span *span = span_of(blocks[0]);
    struct mole_run *run = mole_span_run(span);
    require(mole_span_run(span_of(anchor)) == run, "the anchor is in another run");
    int page = (int)((span->base - run->base) / MOLE_PAGE);
    require(!(run->free_pages & 1 << page), "a page in use is called free");
    for (size_t i = 0; i < capacity; i++)
        give_back(heap, blocks[i]);
    require(went(blocks[0]), "the slab is still there");
    require(run->free_pages & 1 << page, "the page is not free");
    void *block = take(heap, 0, 16); /* a class with no slab yet: one page */
    require((char *)block == run->base + (size_t)page * MOLE_PAGE,
            "another page was used");
}

Test(slab, the_first_ones_are_in_the_page_run_of_the_handle)
{
    begin();
    char *home = heap;
    char *block = take(heap, 0, 64);
    require(block >= home + MOLE_PAGE && block < home + MOLE_CHUNK,
            "%p is not in the run of %p", (void *)block, heap);
    require(!(inside(heap)->home->free_pages & 1), "the handle's own page is free");
}

Test(slab, the_home_run_stays_when_all_its_pages_are_free)
{
    begin();
    struct mole_heap *record = inside(heap);
    size_t capacity = fill_slab(64);
    for (size_t i = 0; i < capacity; i++)
        give_back(heap, blocks[i]);
    require(record->arena.runs != NULL, "the heap has no run");
    bool is_there = false;
    for (struct mole_run *run = record->arena.runs; run; run = run->next)
        is_there |= run == record->home;
    require(is_there, "the home run went");
    require(mole_heap_find(heap) == record, "the handle is no heap's");
}

Test(slab, a_cut_run_goes_when_all_its_pages_are_free)
{
    begin();
    enum { COUNT = 512 };
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take(heap, 0, 1024);
    struct mole_run *run = NULL;
    for (size_t i = 0; i < COUNT && !run; i++)
        if (mole_span_run(span_of(blocks[i])) != inside(heap)->home &&
            span_of(blocks[i]) != cache->current[span_of(blocks[i])->class] &&
            span_of(blocks[i])->run != cache->current[span_of(blocks[i])->class]->run)
            run = mole_span_run(span_of(blocks[i]));
    require(run != NULL, "all is in the home run");
    for (size_t i = 0; i < COUNT; i++)
        give_back(heap, blocks[i]);
    (void)mole_empties_drop(cache, mole_thread_slots());
    for (struct mole_run *left = inside(heap)->arena.runs; left; left = left->next)
        require(left != run, "an empty run is still the heap's");
}

Test(slab, each_further_one_of_a_class_is_larger_up_to_a_chunk)
{
    begin();
    uint32_t pages = 0;
    struct mole_span *before = NULL;
    for (size_t i = 0; i < MOST * 4; i++) {
        struct mole_span *span = span_of(take(heap, 0, 64));
        if (span == before)
            continue;
        require(span->pages >= pages, "one of %u pages after one of %u", span->pages,
                pages);
        pages = span->pages;
        before = span;
    }
    require(pages == MOLE_CHUNK_PAGES, "the last one has %u pages", pages);
}

Test(slab, one_of_large_blocks_has_a_run_of_its_own)
{
    begin();
    struct mole_span *span = span_of(take(heap, 0, 20000));
    require(span->class == CLASS_20480 && span->kind == MOLE_SPAN_SLAB, "no slab");
    require(!mole_span_run(span)->is_cut && span->base == mole_span_run(span)->base,
            "it shares a run");
    require(span->capacity >= 8, "it has room for %u blocks", span->capacity);
}

Test(slab, blocks_in_the_inbox_of_the_current_one_come_before_new_ones)
{
    begin();
    size_t bytes = 8192;
    blocks[0] = take(heap, 0, bytes);
    struct mole_span *span = span_of(blocks[0]);
    for (size_t i = 1; i < span->capacity; i++)
        blocks[i] = take(heap, 0, bytes);
    size_t index;
    require(mole_span_index(span, blocks[5], &index), "no index");
    mole_tcache_free_remote(NULL, span, index);
    require(take(heap, 0, bytes) == blocks[5], "another block came");
    require(cache->current[CLASS_8192] == span, "another slab is current");
}

/* Free them as a thread would that has no cache in the heap. */
static void free_from_outside(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        struct mole_span *span = span_of(blocks[i]);
        size_t index;
        require(mole_span_index(span, blocks[i], &index), "no index");
        mole_tcache_free_remote(NULL, span, index);
    }
}

Test(slab, drain_lists_a_full_one_that_got_blocks_back)
{
    begin();
    size_t capacity = fill_slab(64);
    struct mole_span *span = span_of(blocks[0]);
    free_from_outside(0, 3);
    store_rlx(&cache->owner.woken_a, NULL); /* as if taken */
    mole_slab_drain(cache, NULL, span, true);
    require(is_partial(span), "it is not listed");
    require((size_t)span->countdown == capacity - 3, "%d blocks are said to be in use",
            span->countdown);
    require(mole_inbox_is_quiet(span), "its inbox is not quiet");
    mole_span_check(span);
}

Test(slab, drain_gives_a_full_one_back_that_got_all_its_blocks_back)
{
    begin();
    size_t capacity = fill_slab(64);
    struct mole_span *span = span_of(blocks[0]);
    free_from_outside(0, capacity);
    store_rlx(&cache->owner.woken_a, NULL);
    mole_slab_drain(cache, NULL, span, true);
    require(went(blocks[0]), "it is still there");
}

Test(slab, a_listed_one_is_not_given_back_before_the_list_is_taken)
{
    begin();
    size_t capacity = fill_slab(64);
    free_from_outside(0, 1);
    for (size_t i = 1; i < capacity; i++)
        give_back(heap, blocks[i]);
    require(is_mapped(blocks[0]), "it went, but the list has it");
    (void)take(heap, 0, 5000); /* a refill takes the list */
    require(went(blocks[0]), "it is still there");
}

/* A thread may be between its push and the listing, or a thief have the list in hand. */
Test(slab, an_empty_one_that_is_about_to_be_listed_is_not_given_back)
{
    begin();
    size_t capacity = fill_slab(64);
    struct mole_span *span = span_of(blocks[0]);
    store_rlx(&span->inbox_a, MOLE_INBOX_LISTED | MOLE_END);
    for (size_t i = 0; i < capacity; i++)
        give_back(heap, blocks[i]);
    require(is_mapped(blocks[0]), "it went");
    mole_slab_drain(cache, NULL, span, true); /* the owner meets it in the list */
    require(went(blocks[0]), "it is still there");
}

Test(slab, destroy_takes_it_out_of_the_map_and_frees_its_pages)
{
    begin();
    struct mole_span *span = mole_slab_create(cache, NULL, 0);
    require(span && is_mapped(span->base), "no slab");
    char *base = span->base;
    uint16_t free_pages = mole_span_run(span)->free_pages;
    mole_slab_destroy(cache, NULL, span);
    require(!is_mapped(base), "it is in the map");
    require(inside(heap)->home->free_pages != free_pages, "its page is not free");
}

/* In the table it is free: a slab that went now would be handed out twice. */
Test(slab, the_current_one_stays_while_a_block_is_in_anothers_batch)
{
    begin();
    static struct mole_tcache others;
    void *block = take(heap, 0, 64);
    free_into(&others, block);
    mole_slab_retire_current(cache, mole_thread_slots());
    require(is_mapped(block), "it went");
    require(cache->current[CLASS_64] == span_of(block), "it is not current any more");
    mole_tcache_flush(&others);
    mole_slab_collect(cache, mole_thread_slots());
    mole_slab_retire_current(cache, mole_thread_slots());
    require(!is_mapped(block), "it stays for ever");
}
