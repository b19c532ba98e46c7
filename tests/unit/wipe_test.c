/* SPDX-License-Identifier: MIT */
#include "tcache/wipe.h"

#include "arena/audit.h"
#include "os/random.h"
#include "tcache/rebuild.h"
#include "unit.h"

static HANDLE heap;
static struct mole_heap *record;
static struct mole_tcache *cache;

enum { MOST = 20000 };
static void *blocks[MOST];

static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    record = inside(heap);
    cache = mole_thread_cache(record);
}

/* The slabs of the home run, each once. */
static size_t slabs(struct mole_span **found)
{
    size_t count = 0;
    for (char *page = record->home->base; page < mole_run_end(record->home);
         page += MOLE_PAGE) {
        struct mole_span *span = mole_span_map_find(page);
        if (span->kind == MOLE_SPAN_SLAB && span->base == page)
            found[count++] = span;
    }
    return count;
}

/*
 * End the heap's life, begin the next, and look whether anything is left of the former.
 */
static void live_again(void)
{
    struct mole_span *found[MOLE_CHUNK_PAGES];
    destroy_heap(heap);
    require(create_heap(0) == heap, "the heap was not kept");
    require(mole_audit_heap(record, true), "the heap is not in order");
    require(record->arena.runs == record->home && !record->home->next,
            "it has more than its home run");
    require(mole_heap_owners(record) == &cache->owner && !cache->owner.next,
            "it has more than one cache");
    require(!load_rlx(&cache->owner.is_worked_a) &&
                !load_rlx(&cache->owner.has_batches_a),
            "the purger would not be told of work in the new one");
    size_t count = slabs(found);
    for (size_t i = 0; i < count; i++) {
        struct mole_span *span = found[i];
        mole_span_check(span);
        require(!mole_span_live_count(span), "a block of class %u is live", span->class);
        require(cache->current[span->class] == span, "a slab of class %u is not current",
                span->class);
        size_t free = 0;
        for (size_t index = span->free; index != MOLE_END; free++)
            index = load_rlx(&span->entry_a[index]);
        require(free == span->fresh, "%zu blocks of %u are on the list", free,
                span->fresh);
    }
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1) {
        struct mole_span *span = cache->current[class];
        require(span == &mole_tcache_none || mole_span_run(span) == record->home,
                "a current slab is in no run of the heap's");
        require(!cache->partial[class], "class %u has a list", class);
        require(mole_growth_of(&cache->growth, class) == (span != &mole_tcache_none),
                "class %u has %u slabs", class, mole_growth_of(&cache->growth, class));
    }
}

static uint64_t frees_so_far(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    require(mh_stats_get(&stats) == 0, "no counters");
    return stats.frees;
}

Test(wipe, blocks_that_were_only_allocated_are_free)
{
    begin();
    for (int life = 0; life < 4; life++) {
        for (size_t bytes = 1; bytes <= 512; bytes += 7)
            (void)take(heap, 0, bytes);
        live_again();
    }
}

Test(wipe, whatever_order_they_were_freed_in)
{
    begin();
    uint64_t random = 1;
    for (int life = 0; life < 60; life++) {
        size_t count = 1 + mole_random_next(&random) % (life < 40 ? 60 : 3000);
        uint64_t before = frees_so_far(), freed = 0;
        for (size_t i = 0; i < count; i++)
            blocks[i] = take(heap, 0, mole_random_next(&random) % 300);
        for (size_t i = 0; i < 2 * count; i++) {
            size_t other = mole_random_next(&random) % count;
            if (blocks[other])
                give_back(heap, blocks[other]);
            freed += blocks[other] != NULL;
            blocks[other] = mole_random_next(&random) % 3 ? NULL : take(heap, 0, 50);
        }
        live_again();
        uint64_t counted = frees_so_far() - before;
        /* Those of slabs that were set aside are counted when they are listed again. */
        require(counted <= freed && freed - counted <= freed / 8 + 1,
                "%zu frees were counted, not %zu", (size_t)counted, (size_t)freed);
    }
}

Test(wipe, large_blocks_and_slabs_elsewhere_go)
{
    begin();
    for (int life = 0; life < 6; life++) {
        for (size_t i = 0; i < 3000; i++)
            (void)take(heap, 0, i * 11 % 3000);
        void *large = take(heap, 0, 300000), *medium = take(heap, 0, 20000);
        live_again();
        require(!is_mapped(large) && !is_mapped(medium), "their spans are in the map");
    }
}

Test(wipe, a_full_slab_with_few_blocks_goes)
{
    begin();
    outgrow_mixed(cache);
    for (size_t i = 0; i < 3 * 16; i++)
        blocks[i] = take(heap, 0, 256);
    struct mole_span *first = span_of(blocks[0]);
    require(load_rlx(&first->state_a) == MOLE_SPAN_FULL, "it is not full");
    live_again();
    require(!is_mapped(blocks[0]) ||
                cache->current[span_of(blocks[0])->class] == span_of(blocks[0]),
            "the full slab stayed");
}

static const char *free_some(struct worker *worker)
{
    (void)worker;
    for (size_t i = 0; i < 40; i += 2)
        answer_unless(HeapFree(heap, 0, blocks[i]), "a block was refused");
    return NULL;
}

Test(wipe, blocks_on_their_way_back_are_free)
{
    begin();
    for (int life = 0; life < 5; life++) {
        for (size_t i = 0; i < 40; i++)
            blocks[i] = take(heap, 0, 16 + i % 5 * 16);
        run_workers(1, free_some, NULL);
        if (life % 2) /* some of them come to their slab's list */
            for (size_t i = 0; i < 300; i++)
                (void)take(heap, 0, 256);
        live_again();
        require(!load_rlx(&cache->owner.woken_a), "a slab is still listed");
    }
}

static const char *settle_there(struct worker *worker)
{
    (void)worker;
    settle_in(heap);
    return HeapAlloc(heap, 0, 100) ? NULL : "no block";
}

Test(wipe, other_threads_caches_go)
{
    begin();
    for (int life = 0; life < 3; life++) {
        (void)take(heap, 0, 100);
        run_workers(3, settle_there, NULL);
        require(mole_heap_owners(record)->next, "the threads had no caches");
        live_again();
        require(load_rlx(&record->orphans_a) == 0, "orphans are counted");
    }
}

Test(wipe, a_new_heap_has_nothing_committed)
{
    begin();
    outgrow_mixed(cache);
    for (size_t bytes = 16; bytes <= 256; bytes += 16)
        (void)take(heap, 0, bytes);
    live_again();
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    require(HeapSummary(heap, 0, &summary), "no summary");
    require(summary.cbAllocated == 0 && summary.cbCommitted == MOLE_PAGE, "%zu committed",
            summary.cbCommitted);
    (void)take(heap, 0, 16);
    (void)take(heap, 0, 200);
    require(HeapSummary(heap, 0, &summary), "no summary");
    require(summary.cbCommitted == (size_t)2 * MOLE_PAGE, "%zu committed for two slabs",
            summary.cbCommitted);
}

/* Freed here; come back from another thread and used again; live at the end. */
Test(wipe, the_mixed_slab_stays_with_all_blocks_free)
{
    begin();
    for (int life = 0; life < 3; life++) {
        for (size_t i = 0; i < 12; i++)
            blocks[i] = take(heap, 0, 16 * (i + 1));
        struct mole_span *span = span_of(blocks[0]);
        require(span == cache->current[MOLE_CLASS_MIXED],
                "the first block is not in a mixed slab");
        if (life == 0)
            give_back(heap, blocks[3]);
        run_workers(1, free_some, NULL);
        (void)take(heap, 0,
                   300 + 100 * (size_t)life); /* a refill, which looks for them */
        for (size_t i = 0; i < 6; i++)
            (void)take(heap, 0, 16 * (i + 1));
        live_again();
        require(cache->current[MOLE_CLASS_MIXED] == span && span->fresh == 16,
                "the mixed slab went");
    }
}

/* Its list is in the order of the table, though blocks of it were freed. */
Test(wipe, the_order_of_a_slab_that_a_forks_child_rebuilt_is_not_believed)
{
    begin();
    for (size_t i = 0; i < 5; i++)
        blocks[i] = take(heap, 0, 512);
    give_back(heap, blocks[1]);
    give_back(heap, blocks[3]);
    /* As if its thread, another one, had been in the middle of an operation. */
    store_rlx(&cache->owner.thread_a, mole_thread_self() + 64);
    cache->is_torn = true;
    mole_rebuild_torn(record, mole_thread_slots());
    require(mole_heap_adopt_one(&cache->owner, mole_thread_self()), "nobody owns it");
    require(take(heap, 0, 512) == blocks[1], "its slab is not used");
    live_again();
}
