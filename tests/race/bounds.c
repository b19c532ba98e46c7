/* SPDX-License-Identifier: MIT */
/*
 * What a thread holds back is bounded: blocks of others' in its batches while it lives,
 * and nothing once it ended.
 */
#include <semaphore.h>

#include "race.h"
#include "tcache/thread.h"

enum { BLOCKS = 4096, MOST_THREADS = 64, HEAPS_OF_EACH = 2 * MOLE_POOL_SLOTS };

/* --- batches ---------------------------------------------------------------------- */

static HANDLE heap;
static void *blocks[BLOCKS];
static size_t block_count;
static sem_t are_freed, may_end;

/*
 * Settles in the heap, so that it has batches there, and frees what another thread
 * allocated.
 */
static void *free_blocks(void *argument)
{
    (void)argument;
    for (size_t i = 0; i < 2 * MOLE_KEEP_AFTER; i++) {
        void *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 100);
        race_require(block && HeapFree(heap, 0, block), "the heap does not work");
    }
    for (size_t i = 0; i < block_count; i++)
        race_require(HeapFree(heap, 0, blocks[i]), "HeapFree refused a live block");
    sem_post(&are_freed);
    sem_wait(&may_end);
    return NULL;
}

/* The blocks are handed over by and by: `most` of them at a time. */
static void batches_are_bounded(size_t bytes, size_t most)
{
    heap = HeapCreate(0, 0, 0);
    block_count = BLOCKS * 16 / bytes > 256 ? BLOCKS : 256;
    for (size_t i = 0; i < block_count; i++) {
        blocks[i] = HeapAlloc(heap, 0, bytes);
        race_require(blocks[i] != NULL, "no memory");
    }
    unsigned long long before = race_stats().remote_batches;
    sem_init(&are_freed, 0, 0);
    sem_init(&may_end, 0, 0);
    pthread_t thread = race_thread(free_blocks, NULL);
    sem_wait(&are_freed);
    unsigned long long batches = race_stats().remote_batches - before;
    race_case(batches + 1 >= block_count / most,
              "%zu blocks of %zu bytes went back in %llu batches", block_count, bytes,
              batches);
    sem_post(&may_end);
    race_join(thread);
    race_case(race_allocated(heap) == 0, "%zu bytes are left", race_allocated(heap));
    race_case(HeapDestroy(heap), "HeapDestroy failed");
}

/* --- free runs -------------------------------------------------------------------- */

static pthread_barrier_t all_have_heaps, all_are_done;

/* Leaves as many free runs behind as a thread keeps for itself, and more. */
static void *use_heaps(void *argument)
{
    (void)argument;
    HANDLE heaps[HEAPS_OF_EACH];
    for (size_t i = 0; i < HEAPS_OF_EACH; i++) {
        heaps[i] = HeapCreate(0, 0, 0);
        race_require(heaps[i] != NULL, "HeapCreate failed");
    }
    pthread_barrier_wait(&all_have_heaps);
    for (size_t i = 0; i < HEAPS_OF_EACH; i++)
        race_require(HeapDestroy(heaps[i]), "HeapDestroy failed");
    pthread_barrier_wait(&all_are_done); /* each has a record of its own */
    return NULL;
}

static void free_runs_do_not_stay_with_ended_threads(void)
{
    pthread_t threads[MOST_THREADS];
    static HANDLE heaps[MOST_THREADS * HEAPS_OF_EACH];
    size_t count = race_size(MOST_THREADS, MOST_THREADS, 8);
    pthread_barrier_init(&all_have_heaps, NULL, (unsigned)count);
    pthread_barrier_init(&all_are_done, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++)
        threads[i] = race_thread(use_heaps, NULL);
    for (size_t i = 0; i < count; i++)
        race_join(threads[i]);
    unsigned long long before = race_stats().committed_bytes;
    for (size_t i = 0; i < count * HEAPS_OF_EACH; i++) {
        heaps[i] = HeapCreate(0, 0, 0);
        race_require(heaps[i] != NULL, "HeapCreate failed");
    }
    unsigned long long more = race_stats().committed_bytes - before;
    /* A heap's records may take a step; its memory is there. */
    race_case(more < count * MOLE_POOL_SLOTS * MOLE_CHUNK / 2,
              "%llu KiB more are needed for what ended threads had", more / 1024);
    for (size_t i = 0; i < count * HEAPS_OF_EACH; i++)
        race_require(HeapDestroy(heaps[i]), "HeapDestroy failed");
}

int main(void)
{
    race_begin("bounds");
    (void)mh_configure("purger:calls"); /* nobody else moves runs about */
    batches_are_bounded(16, MOLE_BATCH_BLOCKS);
    batches_are_bounded(200, MOLE_BATCH_BYTES / 208 + 1);
    batches_are_bounded(4000, MOLE_BATCH_BYTES / 4000 + 1);
    batches_are_bounded(8000, MOLE_BATCH_BYTES / 8000 + 1);
    free_runs_do_not_stay_with_ended_threads();
    return race_end();
}
