/* SPDX-License-Identifier: MIT */
/*
 * The test's thread owns slabs of 8 blocks, each with a run of its own, and is idle;
 * workers free and steal.
 */
#include "tcache/steal.h"

#include "tcache/empties.h"
#include "unit.h"

enum { BYTES = 8192, SLAB = FIRST_SLAB, SLABS = 4 };

static HANDLE heap;
static void *blocks[SLABS][SLAB];

/* All slabs are full but for the last, which is current. */
static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    for (size_t slab = 0; slab < SLABS; slab++)
        take_slab(heap, BYTES, blocks[slab]);
}

static const char *free_slab(size_t slab, size_t first)
{
    for (size_t i = first; i < SLAB; i++)
        answer_unless(HeapFree(heap, 0, blocks[slab][i]), "HeapFree failed");
    return NULL;
}

static size_t stolen;

static const char *free_two_and_steal(struct worker *worker)
{
    (void)worker;
    const char *failure = free_slab(0, 0);
    failure = failure ? failure : free_slab(1, 0);
    stolen = mole_steal(mole_heap_find(heap), NULL);
    return failure;
}

Test(steal, slabs_that_came_back_whole_are_given_to_the_pool)
{
    begin();
    size_t reserved = inside(heap)->arena.runs ? 0 : 1;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next)
        reserved++;
    run_workers(1, free_two_and_steal, NULL);
    require(stolen == 2, "%zu slabs were stolen, not 2", stolen);
    require(!is_mapped(blocks[0][0]) && !is_mapped(blocks[1][0]), "they are in the map");
    require(is_mapped(blocks[2][0]), "a slab in use was stolen");
    size_t left = 0;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next)
        left++;
    require(left == reserved - 2, "the heap has %zu runs, had %zu", left, reserved);
    require(load_rlx(&inside(heap)->returned_a) == 0, "the hint was not taken back");
}

Test(steal, the_owner_goes_on_after_a_theft)
{
    begin();
    run_workers(1, free_two_and_steal, NULL);
    for (size_t i = 0; i < 1000; i++)
        memset(take(heap, 0, BYTES), (int)i, BYTES);
    for (size_t slab = 2; slab < SLABS; slab++)
        for (size_t i = 0; i < SLAB; i++)
            give_back(heap, blocks[slab][i]);
}

/* Else the next ones would be as large as if those were still there. */
Test(steal, a_stolen_slab_is_not_counted_any_more)
{
    begin();
    struct mole_tcache *cache = mole_thread_cache(inside(heap));
    unsigned class = mole_size_class_of(BYTES);
    mole_growth_set(&cache->growth, class, SLABS);
    run_workers(1, free_two_and_steal, NULL);
    require(mole_growth_of(&cache->growth, class) == SLABS - 2,
            "of %d slabs %u are counted", SLABS - 2,
            mole_growth_of(&cache->growth, class));
}

static const char *free_most_and_steal(struct worker *worker)
{
    (void)worker;
    const char *failure = free_slab(0, 1);
    stolen = mole_steal(mole_heap_find(heap), NULL);
    return failure;
}

Test(steal, a_slab_with_a_block_in_use_stays)
{
    begin();
    stamp(blocks[0][0], BYTES, 1);
    add_rlx(&inside(heap)->returned_a, 1); /* else it would not even look */
    run_workers(1, free_most_and_steal, NULL);
    require(stolen == 0 && is_mapped(blocks[0][0]), "it was stolen");
    require(HeapSize(heap, 0, blocks[0][0]) == BYTES &&
                stamp_is_intact(blocks[0][0], BYTES, 1),
            "its last block suffered");
    require(load_rlx(&span_of(blocks[0][0])->owner->woken_a) != NULL,
            "its owner will not hear of it any more");
}

static const char *free_current_and_steal(struct worker *worker)
{
    (void)worker;
    const char *failure = free_slab(SLABS - 1, 0);
    stolen = mole_steal(mole_heap_find(heap), NULL);
    return failure;
}

Test(steal, the_slab_its_owner_allocates_from_stays)
{
    begin();
    run_workers(1, free_current_and_steal, NULL);
    require(stolen == 0 && is_mapped(blocks[SLABS - 1][0]), "it was stolen");
    void *block = take(heap, 0, BYTES);
    require(span_of(block) == span_of(blocks[SLABS - 1][0]), "its owner does not use it");
}

Test(steal, a_partial_slab_stays)
{
    begin();
    give_back(heap, blocks[SLABS - 1][0]); /* else the next would replace it */
    give_back(heap, blocks[0][0]);
    add_rlx(&inside(heap)->returned_a, 1);
    run_workers(1, free_most_and_steal, NULL);
    require(stolen == 0 && is_mapped(blocks[0][0]), "it was stolen");
    (void)take(heap, 0, 3000); /* a refill: the owner finds it empty */
    (void)mole_empties_drop(mole_thread_cache(inside(heap)), mole_thread_slots());
    require(!is_mapped(blocks[0][0]), "its owner did not give it back");
}

Test(steal, a_heap_with_nothing_to_steal_costs_no_lock)
{
    begin();
    uint64_t before = mole_lock_count();
    require(mole_steal(inside(heap), NULL) == 0, "something was stolen");
    require(mole_lock_count() == before, "a lock was taken");
}

static const char *free_and_leave(struct worker *worker)
{
    (void)worker;
    return free_slab(0, 0);
}

Test(steal, another_threads_refill_uses_the_stolen_run)
{
    begin();
    struct mole_run *run = mole_span_run(span_of(blocks[0][0]));
    run_workers(1, free_and_leave, NULL);
    require(mole_steal(inside(heap), mole_thread_slots()) == 1, "nothing was stolen");
    require(mole_pool_take(mole_thread_slots(), 1) == run, "the pool gave another run");
}

Test(steal, a_dead_heap_is_left_alone)
{
    begin();
    struct mole_heap *record = inside(heap);
    destroy_heap(heap);
    add_rlx(&record->returned_a, 1);
    require(mole_steal(record, NULL) == 0, "something of a dead heap was stolen");
}
