/* SPDX-License-Identifier: MIT */
/* HeapWalk while, or after, several threads use the heap. Cases 60, 63 and 80. */
#include "walk_oracle.h"
#include "walking.h"
#include "workers.h"

enum { RANDOM_BLOCKS = 10000, THREADS = 4 };

struct live {
    HANDLE heap;
    void *blocks[RANDOM_BLOCKS]; /* NULL: freed */
    size_t bytes[RANDOM_BLOCKS];
};

/*
 * Each thread allocates a part, then frees half of the next one's: some stay in batches.
 */
static const char *allocate_part(struct worker *worker)
{
    struct live *live = worker->shared;
    uint64_t random = worker->index * 7919 + 1;
    for (size_t i = worker->index; i < RANDOM_BLOCKS; i += THREADS) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        live->bytes[i] = (random >> 33) % ((random >> 20) % 100 ? 1500 : 150000);
        live->blocks[i] = HeapAlloc(live->heap, 0, live->bytes[i]);
        if (!live->blocks[i])
            return "HeapAlloc failed";
    }
    return NULL;
}

static const char *free_half_of_next(struct worker *worker)
{
    struct live *live = worker->shared;
    for (size_t i = 0; i < 40; i++) /* a cache of its own, whose batches stay */
        HeapFree(live->heap, 0, HeapAlloc(live->heap, 0, 16));
    for (size_t i = (worker->index + 1) % THREADS; i < RANDOM_BLOCKS; i += 2 * THREADS) {
        if (!HeapFree(live->heap, 0, live->blocks[i]))
            return "HeapFree failed";
        live->blocks[i] = NULL;
    }
    return NULL;
}

/* The walk shows each live block, and no other. */
static void expect_live(const struct live *live, struct walked *walked)
{
    size_t count = 0;
    require(HeapLock(live->heap), "HeapLock failed");
    walk(live->heap, walked);
    require(HeapUnlock(live->heap), "HeapUnlock failed");
    size_t busy = busy_count(walked);
    sort_entries(walked);
    for (size_t i = 0; i < RANDOM_BLOCKS; i++) {
        if (!live->blocks[i])
            continue;
        PROCESS_HEAP_ENTRY key = {.lpData = live->blocks[i]};
        const PROCESS_HEAP_ENTRY *entry =
            bsearch(&key, walked->entries, walked->count, sizeof key, compare_entries);
        require(entry && is_busy(entry), "block %zu is not shown", i);
        require(entry->cbData == live->bytes[i], "block %zu has %u bytes, not %zu", i,
                entry->cbData, live->bytes[i]);
        count++;
    }
    require(busy == count, "%zu live blocks are shown, there are %zu", busy, count);
}

Test(heap_walk_threads, case_060_a_walk_shows_exactly_the_live_set)
{
    static struct live live;
    struct walked walked = {0};
    live.heap = create_heap(0);
    run_workers(THREADS, allocate_part, &live);
    expect_live(&live, &walked);
    run_workers(THREADS, free_half_of_next, &live);
    expect_live(&live, &walked);
    for (size_t i = 0; i < RANDOM_BLOCKS; i++) {
        HeapFree(live.heap, 0, live.blocks[i]);
        live.blocks[i] = NULL;
    }
    expect_live(&live, &walked);
    destroy_heap(live.heap);
}

Test(heap_walk_threads, case_060_on_a_heap_without_serialization)
{
    static struct live live;
    struct walked walked = {0};
    live.heap = create_heap(HEAP_NO_SERIALIZE);
    for (size_t index = 0; index < THREADS; index++)
        allocate_part(&(struct worker){.index = index, .shared = &live});
    expect_live(&live, &walked);
    free_half_of_next(&(struct worker){.shared = &live});
    expect_live(&live, &walked);
    destroy_heap(live.heap);
}

struct storm {
    HANDLE heap;
    atomic_bool is_over;
    atomic_size_t walks, steps;
};

/* A walker that the system lets run late has its time, too. */
static bool is_enough(struct storm *storm, size_t rounds)
{
    size_t least = repeats(200000) + 2000;
    bool is_walked = atomic_load(&storm->walks) > 1 && atomic_load(&storm->steps) > 200;
    return rounds >= (is_walked ? least : 1000 * least);
}

static const char *mutate(struct storm *storm, uint64_t random)
{
    void *held[64] = {NULL};
    for (size_t i = 0; !is_enough(storm, i); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t at = random >> 58;
        if (held[at] && !HeapFree(storm->heap, 0, held[at]))
            return "HeapFree failed";
        size_t bytes = (random >> 30) % (i % 64 ? 3000 : 200000);
        held[at] = HeapAlloc(storm->heap, 0, bytes);
        if (!held[at])
            return "HeapAlloc failed";
    }
    for (size_t i = 0; i < LENGTH(held); i++)
        HeapFree(storm->heap, 0, held[i]);
    return NULL;
}

static const char *walk_without_lock(struct storm *storm)
{
    do {
        PROCESS_HEAP_ENTRY entry = {0};
        size_t steps = 0;
        while (HeapWalk(storm->heap, &entry) && ++steps < 10000000)
            if (entry.wFlags > 4)
                return "an entry has flags of no kind";
        DWORD error = GetLastError();
        if (error != ERROR_NO_MORE_ITEMS && error != ERROR_INVALID_PARAMETER)
            return "a walk ended with another error";
        atomic_fetch_add(&storm->walks, 1);
        atomic_fetch_add(&storm->steps, steps);
    } while (!atomic_load(&storm->is_over));
    return NULL;
}

static const char *mutate_or_walk(struct worker *worker)
{
    struct storm *storm = worker->shared;
    if (worker->index == 0)
        return walk_without_lock(storm);
    const char *failure = mutate(storm, worker->index);
    atomic_store(&storm->is_over, true);
    return failure;
}

Test(heap_walk_threads, case_063_a_walk_without_lock_never_faults)
{
    struct storm storm = {.heap = create_heap(0)};
    run_workers(4, mutate_or_walk, &storm);
    require(atomic_load(&storm.walks) > 1 && atomic_load(&storm.steps) > 200,
            "exercised too little: %zu walks, %zu steps", atomic_load(&storm.walks),
            atomic_load(&storm.steps));
    struct walked walked = {0};
    require(HeapLock(storm.heap), "HeapLock failed"); /* slabs may yet be given back */
    walk(storm.heap, &walked);
    require(HeapUnlock(storm.heap), "HeapUnlock failed");
    require(busy_count(&walked) == 0, "%zu blocks are left", busy_count(&walked));
    destroy_heap(storm.heap);
}

enum { ALLOCATORS = 15 }; /* and one that walks */

struct crowd {
    struct walk_oracle oracle;
    size_t walks, wanted;
};

/* Lock, walk, unlock; then see that the others are awake again. */
static const char *walk_often(struct crowd *crowd)
{
    struct walk_oracle *oracle = &crowd->oracle;
    const char *failure = NULL;
    while (!failure && crowd->walks < crowd->wanted) {
        uint64_t before = atomic_load(&oracle->operations);
        failure = walk_oracle_inspect(oracle);
        crowd->walks++;
        if (!failure && !walk_oracle_moves_on(oracle, before))
            failure = "nobody woke up after HeapUnlock";
    }
    atomic_store(&oracle->is_over, true);
    return failure;
}

static const char *allocate_or_walk(struct worker *worker)
{
    struct crowd *crowd = worker->shared;
    if (worker->index == ALLOCATORS)
        return walk_often(crowd);
    uint64_t random = worker->index + 1;
    const char *failure = NULL;
    while (!failure && !atomic_load(&crowd->oracle.is_over))
        failure = walk_oracle_operate(&crowd->oracle, &random);
    return failure;
}

Test(heap_walk_threads, case_080_every_walk_under_the_lock_is_consistent)
{
    static struct crowd crowd;
    HANDLE heap = create_heap(0);
    crowd.wanted = repeats(300) + 5;
    walk_oracle_init(&crowd.oracle, heap);
    run_workers(ALLOCATORS + 1, allocate_or_walk, &crowd);
    require(crowd.walks == crowd.wanted && crowd.oracle.seen > crowd.walks,
            "exercised too little: %zu walks, %zu blocks seen", crowd.walks,
            crowd.oracle.seen);
    walk_oracle_finish(&crowd.oracle);
    require(allocated_bytes(heap) == 0, "%zu bytes are left", allocated_bytes(heap));
    destroy_heap(heap);
}
