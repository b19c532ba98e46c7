/* SPDX-License-Identifier: MIT */
/*
 * Large spans that caches keep, under load: workers allocate and free large blocks in a
 * heap that all share, in malloc's and in heaps of their own, which they destroy, while
 * another thread makes passes and takes everything back. No block loses its contents, and
 * zeroed ones are zero.
 */
#define MOLE_MALLOC_PREFIX 1
#include "malloc/names.h"
#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum { WORKERS = 3, BLOCKS = 4, MOST = 5 * MOLE_CHUNK };

static HANDLE shared;
static size_t rounds;
static atomic_size_t workers_left;
static atomic_size_t made, cleaned; /* blocks; spans seen without their pages */

struct work {
    HANDLE heap; /* NULL: malloc */
    uint64_t *random;
    void *blocks[BLOCKS];
    size_t bytes[BLOCKS];
};

static void make(struct work *work, size_t i)
{
    bool zero = race_below(work->random, 4) == 0;
    size_t bytes = MOLE_SLAB_MAX + 1 + race_below(work->random, MOST - MOLE_SLAB_MAX);
    char *block = work->heap ? HeapAlloc(work->heap, zero ? HEAP_ZERO_MEMORY : 0, bytes)
                  : zero     ? mh_calloc(1, bytes)
                             : mh_malloc(bytes);
    race_require(block != NULL, "no block of %zu bytes", bytes);
    race_require(!zero || race_is_zero(block, bytes), "a zeroed block is not zero");
    race_require(!work->heap || HeapSize(work->heap, 0, block) == bytes,
                 "HeapSize is not %zu", bytes);
    race_stamp(block, bytes, (uintptr_t)work + i);
    work->blocks[i] = block;
    work->bytes[i] = bytes;
    atomic_fetch_add(&made, 1);
}

static void unmake(struct work *work, size_t i)
{
    if (!work->blocks[i])
        return;
    race_require(race_is_stamped(work->blocks[i], work->bytes[i], (uintptr_t)work + i),
                 "a block of %zu bytes was changed", work->bytes[i]);
    if (!work->heap)
        mh_free(work->blocks[i]);
    else
        race_require(HeapFree(work->heap, 0, work->blocks[i]), "HeapFree failed");
    work->blocks[i] = NULL;
}

static void work_in(HANDLE heap, uint64_t *random, size_t count)
{
    struct work work = {.heap = heap, .random = random};
    for (size_t round = 0; round < count; round++) {
        size_t i = race_below(random, BLOCKS);
        unmake(&work, i);
        make(&work, i);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        unmake(&work, i);
}

static void *be_worker(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    for (size_t round = 0; round < rounds; round++) {
        HANDLE own = HeapCreate(round % 2 ? HEAP_NO_SERIALIZE : 0, 0, 0);
        race_require(own != NULL, "no heap");
        work_in(shared, &random, 8);
        work_in(NULL, &random, 8);
        work_in(own, &random, 40);
        race_require(HeapDestroy(own), "HeapDestroy failed");
    }
    atomic_fetch_sub(&workers_left, 1);
    return NULL;
}

static size_t clean_in(struct mole_heap *heap)
{
    size_t count = 0;
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next) {
        const struct mole_tcache *cache = (const struct mole_tcache *)(void *)owner;
        for (size_t i = 1; i < MOLE_LARGE_SLOTS; i++)
            count += (load_rlx(&cache->large.slot_a[i]) & MOLE_LARGE_STATES) ==
                     MOLE_LARGE_CLEAN;
    }
    return count;
}

/* Passes, and now and then everything goes. */
static void *be_janitor(void *argument)
{
    (void)argument;
    for (size_t turn = 0; atomic_load(&workers_left); turn++) {
        (void)mole_large_cache_pass(turn % 16 == 15);
        atomic_fetch_add(&cleaned, clean_in(mole_heap_find(shared)) +
                                       clean_in(mole_process_malloc_heap()));
        if (turn % 32 == 7)
            (void)mole_pool_purge();
        sched_yield();
    }
    return NULL;
}

/* The janitor may have had no time: then its work is done here. */
static void see_one_cleaned(void)
{
    race_require(HeapFree(shared, 0, HeapAlloc(shared, 0, 100000)), "no block");
    for (size_t i = 0; i < 64; i++) {
        void *block = HeapAlloc(shared, 0, 100000);
        race_require(block && HeapFree(shared, 0, block), "no block");
    }
    (void)mole_large_cache_pass(false);
    (void)mole_large_cache_pass(false);
    atomic_fetch_add(&cleaned, clean_in(mole_heap_find(shared)));
}

int main(void)
{
    race_begin("large");
    (void)mh_configure("purger:calls");
    rounds = race_size(400, 60, 8);
    shared = HeapCreate(0, 0, 0);
    atomic_store(&workers_left, WORKERS);
    uint64_t refills = mole_arena_refills();
    pthread_t workers[WORKERS], janitor = race_thread(be_janitor, NULL);
    for (size_t i = 0; i < WORKERS; i++)
        workers[i] = race_thread(be_worker, (void *)(i + 1));
    for (size_t i = 0; i < WORKERS; i++)
        race_join(workers[i]);
    race_join(janitor);
    refills = mole_arena_refills() - refills;
    race_case(refills < atomic_load(&made), "%zu blocks needed %zu runs",
              atomic_load(&made), (size_t)refills);
    see_one_cleaned();
    race_case(atomic_load(&cleaned) > 0, "no pass gave any pages back");
    race_case(race_allocated(shared) == 0, "%zu bytes are left", race_allocated(shared));
    race_case(HeapDestroy(shared), "HeapDestroy failed");
    printf("%zu blocks, %zu runs asked for, %zu times without pages\n",
           atomic_load(&made), (size_t)refills, atomic_load(&cleaned));
    return race_end();
}
