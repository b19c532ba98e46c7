/* SPDX-License-Identifier: MIT */
/*
 * Borrowed caches: threads that never stay in a heap adopt a cache for each allocation
 * and let it go again, all at the same few heaps. Two threads in one cache would hand one
 * block out twice, and there must not be more caches than threads that were in the heap
 * at once.
 */
#include "arena/heap.h"
#include "race.h"
#include "tcache/thread.h"

enum { THREADS = 4, HELD = 8 };

/* Their ids meet in one place of the threads' table of visits: no thread ever settles. */
static HANDLE heaps[2];
static size_t rounds;
static pthread_barrier_t start;

struct held {
    char *at;
    size_t bytes;
    uint64_t key;
    HANDLE heap;
};

static void replace(struct held *held, HANDLE heap, uint64_t *random)
{
    if (held->at) {
        race_require(race_is_stamped(held->at, held->bytes, held->key),
                     "a block was disturbed");
        race_require(HeapFree(held->heap, 0, held->at), "HeapFree refused a live block");
    }
    *held = (struct held){
        .bytes = 1 + race_below(random, 200), .key = race_next(random), .heap = heap};
    held->at = HeapAlloc(heap, 0, held->bytes);
    race_require(held->at != NULL, "no memory");
    race_stamp(held->at, held->bytes, held->key);
}

static void *visit(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    struct held held[HELD] = {{NULL, 0, 0, NULL}};
    pthread_barrier_wait(&start);
    for (size_t i = 0; i < rounds && !atomic_load(&race_failed); i++)
        replace(&held[race_below(&random, HELD)], heaps[i % 2], &random);
    for (size_t i = 0; i < HELD; i++)
        if (held[i].at)
            race_require(HeapFree(held[i].heap, 0, held[i].at), "HeapFree failed");
    return NULL;
}

/* Two heaps, as many apart as a thread has places for visits. */
static void create_heaps(void)
{
    HANDLE between[MOLE_VISITS - 1];
    heaps[0] = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < MOLE_VISITS - 1; i++)
        between[i] = HeapCreate(0, 0, 0);
    heaps[1] = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < MOLE_VISITS - 1; i++)
        race_require(HeapDestroy(between[i]), "HeapDestroy failed");
}

static size_t caches_of(HANDLE handle)
{
    size_t count = 0;
    for (struct mole_owner *owner = mole_heap_owners(mole_heap_find(handle)); owner;
         owner = owner->next)
        count++;
    return count;
}

int main(void)
{
    race_begin("adopt");
    rounds = race_size(400000, 40000, 2000);
    create_heaps();
    struct mh_stats before = race_stats();
    pthread_barrier_init(&start, NULL, THREADS);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(visit, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    unsigned long long adopted = race_stats().adoptions - before.adoptions;
    printf("%zu rounds of %d threads: %llu adoptions, %zu and %zu caches\n", rounds,
           (int)THREADS, adopted, caches_of(heaps[0]), caches_of(heaps[1]));
    race_case(adopted >= THREADS * rounds / 4, "exercised too little: %llu adoptions",
              adopted);
    for (size_t i = 0; i < 2; i++) {
        /* One more is the maker's. */
        race_case(caches_of(heaps[i]) <= THREADS + 1, "heap %zu has %zu caches", i,
                  caches_of(heaps[i]));
        race_case(race_allocated(heaps[i]) == 0, "heap %zu holds %zu bytes", i,
                  race_allocated(heaps[i]));
        race_case(HeapDestroy(heaps[i]), "HeapDestroy failed");
    }
    return race_end();
}
