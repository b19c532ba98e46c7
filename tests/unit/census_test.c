/* SPDX-License-Identifier: MIT */
#include "arena/census.h"

#include "unit.h"

static HANDLE heap;

static struct mole_census count(void)
{
    struct mole_census census;
    mole_census_take(inside(heap), &census);
    require(census.live_bytes <= census.committed_bytes &&
                census.committed_bytes <= census.reserved_bytes,
            "%zu bytes live, %zu in spans, %zu in runs", census.live_bytes,
            census.committed_bytes, census.reserved_bytes);
    return census;
}

Test(census, a_new_heap_holds_nothing)
{
    heap = create_heap(0);
    struct mole_census census = count();
    require(census.live_bytes == 0, "%zu bytes are live", census.live_bytes);
    require(census.reserved_bytes == MOLE_CHUNK, "it has %zu bytes",
            census.reserved_bytes);
}

Test(census, live_bytes_are_the_sum_of_the_requests)
{
    enum { COUNT = 3000 };
    static void *blocks[COUNT];
    size_t sum = 0;
    heap = create_heap(0);
    for (size_t i = 0; i < COUNT; i++, sum += (i - 1) * 37 % 40000)
        blocks[i] = take(heap, 0, i * 37 % 40000);
    require(count().live_bytes == sum, "%zu, not %zu", count().live_bytes, sum);
    for (size_t i = 0; i < COUNT; i += 2) {
        give_back(heap, blocks[i]);
        sum -= i * 37 % 40000;
    }
    require(count().live_bytes == sum, "%zu, not %zu, after frees", count().live_bytes,
            sum);
}

Test(census, large_blocks_count_with_their_requests_and_pages)
{
    heap = create_heap(0);
    struct mole_census before = count();
    void *block = take(heap, 0, 300001);
    struct mole_census after = count();
    require(after.live_bytes - before.live_bytes == 300001, "%zu bytes more are live",
            after.live_bytes - before.live_bytes);
    require(after.committed_bytes - before.committed_bytes >= 300001, "too few pages");
    give_back(heap, block);
    require(count().live_bytes == before.live_bytes &&
                count().reserved_bytes == before.reserved_bytes,
            "something is left");
}

Test(census, a_resized_block_counts_with_its_new_size)
{
    heap = create_heap(0);
    void *block = take(heap, 0, 1000);
    block = HeapReAlloc(heap, 0, block, 1020);
    require(block && count().live_bytes == 1020, "%zu bytes are live",
            count().live_bytes);
    block = HeapReAlloc(heap, 0, block, 100000);
    require(block && count().live_bytes == 100000, "%zu bytes are live",
            count().live_bytes);
}

static const char *free_it(struct worker *worker)
{
    settle_in(heap);
    answer_unless(HeapFree(heap, 0, worker->shared), "HeapFree failed");
    struct mole_census census;
    mole_census_take(mole_heap_find(heap), &census);
    return census.live_bytes == 0 ? NULL : "a block in a batch counts as live";
}

Test(census, blocks_on_their_way_between_threads_are_not_live)
{
    heap = create_heap(0);
    void *block = take(heap, 0, 64);
    run_workers(1, free_it, block);
    require(count().live_bytes == 0, "a block in an inbox counts as live");
}

static atomic_bool is_over;

static const char *count_again_and_again(struct worker *worker)
{
    (void)worker;
    while (!atomic_load(&is_over)) {
        struct mole_census census;
        mole_census_take(mole_heap_find(heap), &census);
        answer_unless(census.live_bytes <= census.reserved_bytes,
                      "more live than there is");
        answer_unless(census.reserved_bytes >= MOLE_CHUNK, "the home run is missing");
    }
    return NULL;
}

static const char *alloc_and_free(struct worker *worker)
{
    enum { HELD = 200 };
    void *held[HELD] = {NULL};
    for (size_t i = 0; i < repeats(30000); i++) {
        size_t at = i * 31 % HELD;
        HeapFree(heap, 0, held[at]);
        held[at] = HeapAlloc(heap, 0, i * (worker->index + 7) * 13 % 50000);
    }
    for (size_t i = 0; i < HELD; i++)
        HeapFree(heap, 0, held[i]);
    atomic_store(&is_over, true);
    return NULL;
}

static const char *count_or_alloc(struct worker *worker)
{
    return worker->index == 0 ? count_again_and_again(worker) : alloc_and_free(worker);
}

Test(census, may_be_taken_while_others_allocate)
{
    heap = create_heap(0);
    run_workers(3, count_or_alloc, NULL);
    require(count().live_bytes == 0, "%zu bytes are left", count().live_bytes);
}
