/* SPDX-License-Identifier: MIT */
/*
 * Growth side by side: threads take new memory as fast as they can, which makes it usable
 * step by step. Whoever gets a block finds it in the span map at once, whoever took the
 * step.
 *
 * Each run is a process of its own, for address space is taken only once.
 */
#include <sys/wait.h>

#include "race.h"

enum { THREADS = 8, MOST_BLOCKS = 4096, MOLE_CHUNK = 1 << 16 };
#define MIB ((size_t)1 << 20)

static size_t bytes_of_each;
static pthread_barrier_t start, all_have_taken;

/* One block, never touched; NULL: no memory. */
static void *take(HANDLE heap, size_t bytes)
{
    void *block = HeapAlloc(heap, 0, bytes);
    if (!block)
        return NULL;
    race_require(HeapSize(heap, 0, block) == bytes,
                 "a new block of %zu bytes is not known", bytes);
    race_require(HeapValidate(heap, 0, block), "a new block is not valid");
    return block;
}

/* A heap is known by its handle, which is an address too. */
static void use_new_heap(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    if (!heap)
        return;
    void *block = take(heap, 100);
    race_require(!block || HeapFree(heap, 0, block), "HeapFree failed");
    race_require(HeapDestroy(heap), "a new heap is not known");
}

static void *grow(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    static void *all_blocks[THREADS][MOST_BLOCKS];
    void **blocks = all_blocks[(uintptr_t)argument];
    HANDLE heap = GetProcessHeap();
    size_t count = 0;
    pthread_barrier_wait(&start);
    for (size_t taken = 0; taken < bytes_of_each && count < MOST_BLOCKS; count++) {
        size_t bytes = (1 + race_below(&random, 16)) * MOLE_CHUNK - 10;
        blocks[count] = take(heap, bytes);
        if (!blocks[count] || atomic_load(&race_failed))
            break;
        taken += bytes;
        if (race_below(&random, 8) == 0)
            use_new_heap();
    }
    pthread_barrier_wait(&all_have_taken);
    for (size_t i = 0; i < count; i++)
        race_require(HeapFree(heap, 0, blocks[i]), "HeapFree refused a live block");
    return NULL;
}

static int run(void)
{
    pthread_barrier_init(&start, NULL, THREADS);
    pthread_barrier_init(&all_have_taken, NULL, THREADS);
    atomic_store(&race_failed, 0); /* those of earlier runs */
    size_t before = (size_t)race_stats().committed_bytes;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(grow, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    size_t grown = (size_t)race_stats().committed_bytes - before;
    race_require(grown >= THREADS * bytes_of_each / 2,
                 "exercised too little: grown by %zu KiB", grown / 1024);
    return atomic_load(&race_failed) ? 1 : 0;
}

int main(void)
{
    race_begin("grow");
    bytes_of_each = race_size(256 * MIB, 64 * MIB, 8 * MIB);
    for (size_t runs = race_size(20, 3, 1); runs; runs--) {
        race_seed = race_mix(race_seed);
        pid_t child = fork();
        if (child == 0)
            _exit(run());
        int status = 0;
        waitpid(child, &status, 0);
        race_case(status == 0, "growing ended with status 0x%x", status);
    }
    return race_end();
}
