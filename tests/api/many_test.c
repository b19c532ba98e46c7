/* SPDX-License-Identifier: MIT */
/* Very many heaps, very many threads. Every block is stamped and checked. */
#include "oracle.h"
#include "workers.h"

enum { HEAPS = 10000, HEAP_THREADS = 64, HELD = 64 };

static const char *visit_many_heaps(struct worker *worker)
{
    HANDLE *heaps = worker->shared;
    size_t steps = repeats(4000), count = repeats(HEAPS);
    struct {
        HANDLE heap;
        void *block;
        size_t bytes;
        uint64_t key;
    } held[HELD] = {{NULL, NULL, 0, 0}};

    for (size_t step = 0; step < steps + HELD; step++) {
        size_t at = step % HELD;
        if (held[at].block != NULL) {
            if (HeapSize(held[at].heap, 0, held[at].block) != held[at].bytes)
                return "a block has another size than was asked for";
            if (!stamp_is_intact(held[at].block, held[at].bytes, held[at].key))
                return "a block was disturbed";
            if (!HeapFree(held[at].heap, 0, held[at].block))
                return "a block cannot be freed";
            held[at].block = NULL;
        }
        if (step < steps) {
            held[at].heap = heaps[(step * 7919 + worker->index * 104729) % count];
            held[at].bytes = (step * 31 + worker->index) % 400;
            held[at].key = (worker->index << 48) + (step << 20);
            held[at].block = HeapAlloc(held[at].heap, 0, held[at].bytes);
            if (held[at].block == NULL)
                return "HeapAlloc failed";
            stamp(held[at].block, held[at].bytes, held[at].key);
        }
    }
    return NULL;
}

Test(many, ten_thousand_heaps_with_64_threads)
{
    static HANDLE heaps[HEAPS], listed[HEAPS + 1];
    size_t before = GetProcessHeaps(0, NULL), count = repeats(HEAPS);

    for (size_t i = 0; i < count; i++)
        heaps[i] = create_heap(0);
    require(GetProcessHeaps(0, NULL) == before + count, "not all heaps are counted");
    run_workers(HEAP_THREADS, visit_many_heaps, heaps);
    for (size_t i = 0; i < count; i++)
        require(allocated_bytes(heaps[i]) == 0, "heap %zu is not empty at the end", i);
    require(GetProcessHeaps((DWORD)count + 1, listed) == before + count,
            "the list's length");
    for (size_t i = 0; before == 1 && i < count; i++)
        require(listed[i + 1] == heaps[i], "heap %zu is not in its place", i);
    require(all_distinct(heaps, count), "two heaps have one handle");
    for (size_t i = 0; i < count; i++)
        destroy_heap(heaps[i]);
    require(GetProcessHeaps(0, NULL) == before, "not all heaps are gone");
}

/* One block in each, none freed. */
Test(many, ten_thousand_heaps_are_destroyed_with_their_blocks)
{
    static HANDLE heaps[HEAPS];
    static void *blocks[HEAPS];
    size_t count = repeats(HEAPS);

    for (size_t i = 0; i < count; i++) {
        heaps[i] = create_heap(0);
        blocks[i] = take(heaps[i], 0, 100);
        stamp(blocks[i], 100, i << 20);
    }
    for (size_t i = 0; i < count; i++) {
        require(stamp_is_intact(blocks[i], 100, i << 20), "heap %zu was disturbed", i);
        require(!HeapFree(heaps[i], 0, blocks[(i + 1) % count]), "a neighbour's block");
        destroy_heap(heaps[i]);
        require(!HeapFree(heaps[i], 0, blocks[i]), "freed from a destroyed heap");
    }
}

static const char *work_on_shared_heap(struct worker *worker)
{
    struct oracle *oracle = calloc(1, sizeof(*oracle));
    const char *failure;

    if (oracle == NULL)
        return "the test has no memory";
    oracle_init(oracle, worker->shared, 0, worker->index + 1);
    failure = oracle_run(oracle, repeats(1000));
    if (failure == NULL)
        failure = oracle_finish(oracle);
    free(oracle);
    return failure;
}

HEAP_CASE(many, a_thousand_threads_on_one_heap)
{
    SIZE_T before = allocated_bytes(heap);

    run_workers(1000, work_on_shared_heap, heap);
    require(allocated_bytes(heap) == before, "%zu bytes allocated at the end, not %zu",
            allocated_bytes(heap), before);
}

/* A thread's blocks outlive it and are freed by others. */
enum { MORTALS = 200, MORTAL_BLOCKS = 100 };

struct legacy {
    HANDLE heap;
    void *blocks[MORTALS][MORTAL_BLOCKS];
};

static const char *allocate_and_die(struct worker *worker)
{
    struct legacy *legacy = worker->shared;

    for (size_t i = 0; i < MORTAL_BLOCKS; i++) {
        void *block = HeapAlloc(legacy->heap, 0, i * 5);
        if (block == NULL)
            return "HeapAlloc failed";
        stamp(block, i * 5, (worker->index << 40) + (i << 20));
        legacy->blocks[worker->index][i] = block;
    }
    return NULL;
}

HEAP_CASE(many, blocks_outlive_the_threads_that_allocated_them)
{
    static struct legacy legacy;
    SIZE_T before = allocated_bytes(heap);

    legacy.heap = heap;
    run_workers(MORTALS, allocate_and_die, &legacy);
    for (size_t thread = 0; thread < MORTALS; thread++) {
        for (size_t i = 0; i < MORTAL_BLOCKS; i++) {
            void *block = legacy.blocks[thread][i];
            require(HeapSize(heap, 0, block) == i * 5, "a block's size changed");
            require(stamp_is_intact(block, i * 5, (thread << 40) + (i << 20)),
                    "a block was disturbed after its thread ended");
            give_back(heap, block);
        }
    }
    require(allocated_bytes(heap) == before, "not all bytes came back");
}
