/* SPDX-License-Identifier: MIT */
/* What caches hold of a fixed-size heap. */
#include "unit.h"

#include "arena/fixed_walk.h"
#include "tcache/fixed_cache.h"

enum { MAXIMUM = 1 << 20, BLOCKS = 2000 };

/* Granules that caches hold, by the table. */
static size_t held_granules(const struct mole_fixed *fixed)
{
    size_t count = 0;
    for (size_t granule = 1; granule < fixed->end; granule++) {
        if (!mole_fixed_is(mole_fixed_entry(fixed, granule), MOLE_FIXED_CACHED))
            continue;
        do {
            count++;
            granule++;
        } while (granule < fixed->end && mole_fixed_entry(fixed, granule) == 0);
        granule--;
    }
    return count;
}

static void require_few(struct mole_heap *heap)
{
    size_t held = held_granules(heap->fixed);
    require(held <= MAXIMUM / 64 / MOLE_GRANULE, "caches hold %zu granules", held);
}

static const char *allocate_and_free(struct worker *worker)
{
    HANDLE handle = worker->shared;
    void *blocks[BLOCKS];
    settle_in(handle);
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i] = HeapAlloc(handle, 0, 1 + (i * 37 + worker->index) % 250);
        for (size_t i = 0; i < BLOCKS; i++)
            answer_unless(!blocks[i] || HeapFree(handle, 0, blocks[i]), "not freed");
        answer_unless(held_granules(mole_heap_find(handle)->fixed) <=
                          MAXIMUM / 64 / MOLE_GRANULE,
                      "caches hold too much");
    }
    return NULL;
}

Test(fixed_cache, caches_hold_a_small_part_only)
{
    HANDLE handle = HeapCreate(0, 0, MAXIMUM);
    struct mole_heap *heap = inside(handle);
    for (int turn = 0; turn < 5; turn++) {
        run_workers(1, allocate_and_free, handle);
        require_few(heap);
    }
    size_t last = 0;
    for (size_t i = 0; i < 100; i++) {
        give_back(handle, take(handle, 0, 48));
        last = held_granules(heap->fixed);
    }
    require(last > 0, "a thread that frees keeps nothing at hand");
    require(HeapCompact(handle, 0) > 0 && held_granules(heap->fixed) == 0,
            "HeapCompact leaves blocks in caches");
    require(heap->fixed->credit == (heap->fixed->end - 1) / MOLE_FIXED_SHARE,
            "credit is lost: %zu", heap->fixed->credit);
    destroy_heap(handle);
}

Test(fixed_cache, a_thread_that_ends_gives_all_back)
{
    HANDLE handle = HeapCreate(0, 0, MAXIMUM);
    struct mole_fixed *fixed = inside(handle)->fixed;
    run_workers(1, allocate_and_free, handle);
    require(held_granules(fixed) == 0, "%zu granules are held", held_granules(fixed));
    require(fixed->credit == (fixed->end - 1) / MOLE_FIXED_SHARE, "credit is lost");
    destroy_heap(handle);
}

/* The bound counts all caches together. */
struct crowd {
    HANDLE handle;
    pthread_barrier_t all;
    size_t most;
};

static const char *hold(struct worker *worker)
{
    struct crowd *crowd = worker->shared;
    const char *failure = allocate_and_free(
        &(struct worker){.index = worker->index, .shared = crowd->handle});
    pthread_barrier_wait(&crowd->all);
    if (worker->index == 0)
        crowd->most = held_granules(mole_heap_find(crowd->handle)->fixed);
    pthread_barrier_wait(&crowd->all);
    return failure && strcmp(failure, "caches hold too much") ? failure : NULL;
}

Test(fixed_cache, all_caches_together_hold_a_small_part_only)
{
    struct crowd crowd = {.handle = HeapCreate(0, 0, MAXIMUM)};
    pthread_barrier_init(&crowd.all, NULL, 6);
    run_workers(6, hold, &crowd);
    require(crowd.most > 0, "nothing is held, so nothing was shown");
    require(crowd.most <= MAXIMUM / 64 / MOLE_GRANULE, "caches hold %zu granules",
            crowd.most);
    pthread_barrier_destroy(&crowd.all);
    destroy_heap(crowd.handle);
}
