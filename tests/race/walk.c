/* SPDX-License-Identifier: MIT */
/*
 * Walks while threads allocate, resize and free each other's blocks: under the lock each
 * shows exactly what there is (walk_oracle.h, case 80); without it, it may show anything
 * and end early, but touches nothing that is not there (case 63).
 */
#include "../api/walk_oracle.h"

#include "race.h"

enum { WORKERS = 4, LOCKERS = 2, STROLLERS = 1 };

static struct walk_oracle oracle; /* its walker's part: under the heap's lock */
static atomic_size_t walks, strolls, steps, strolls_ended_early;

static void *work(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    while (!atomic_load(&oracle.is_over)) {
        const char *failure = walk_oracle_operate(&oracle, &random);
        race_require(!failure, "%s", failure);
    }
    return NULL;
}

static void *inspect(void *count)
{
    for (size_t i = 0; i < (uintptr_t)count && !atomic_load(&race_failed); i++) {
        uint64_t before = atomic_load(&oracle.operations);
        const char *failure = walk_oracle_inspect(&oracle);
        race_require(!failure, "%s", failure);
        race_require(walk_oracle_moves_on(&oracle, before), "nobody woke up");
        atomic_fetch_add(&walks, 1);
    }
    return NULL;
}

static void *stroll(void *unused)
{
    (void)unused;
    while (!atomic_load(&oracle.is_over)) {
        PROCESS_HEAP_ENTRY entry = {0};
        size_t count = 0;
        while (!atomic_load(&oracle.is_over) && HeapWalk(oracle.heap, &entry))
            count++;
        DWORD error = GetLastError();
        atomic_fetch_add(&strolls, 1);
        atomic_fetch_add(&steps, count);
        atomic_fetch_add(&strolls_ended_early, error == ERROR_INVALID_PARAMETER);
    }
    return NULL;
}

static void run(size_t count)
{
    pthread_t threads[WORKERS + STROLLERS], lockers[LOCKERS];
    for (size_t i = 0; i < WORKERS + STROLLERS; i++)
        threads[i] = race_thread(i < WORKERS ? work : stroll, (void *)i);
    for (size_t i = 0; i < LOCKERS; i++)
        lockers[i] = race_thread(inspect, (void *)count);
    for (size_t i = 0; i < LOCKERS; i++)
        race_join(lockers[i]);
    for (int turns = 0; turns < 60000 && atomic_load(&strolls) == 0; turns++)
        race_sleep_ms(1);
    atomic_store(&oracle.is_over, true);
    for (size_t i = 0; i < WORKERS + STROLLERS; i++)
        race_join(threads[i]);
}

static void walk_heap(const char *kind, HANDLE heap, size_t count)
{
    atomic_store(&walks, 0);
    atomic_store(&strolls, 0);
    atomic_store(&steps, 0);
    atomic_store(&strolls_ended_early, 0);
    walk_oracle_init(&oracle, heap);
    run(count);
    printf("%s: %llu operations; %zu walks showed %zu blocks with %zu calls in flight; "
           "without lock %zu walks, %zu steps, %zu ended early\n",
           kind, (unsigned long long)atomic_load(&oracle.operations), atomic_load(&walks),
           oracle.seen, oracle.in_flight, atomic_load(&strolls), atomic_load(&steps),
           atomic_load(&strolls_ended_early));
    race_case(atomic_load(&walks) == LOCKERS * count, "%zu walks", atomic_load(&walks));
    race_case(oracle.seen >= 10 * count, "exercised too little: %zu blocks shown",
              oracle.seen);
    race_case(oracle.in_flight > 0, "exercised too little: no call was ever in flight");
    race_case(atomic_load(&steps) >= count, "exercised too little: %zu steps",
              atomic_load(&steps));
    walk_oracle_finish(&oracle);
    race_case(race_allocated(oracle.heap) == 0, "%zu bytes are left",
              race_allocated(oracle.heap));
    race_case(HeapDestroy(oracle.heap), "HeapDestroy failed");
}

int main(void)
{
    race_begin("walk");
    size_t count = race_size(400, 60, 5);
    walk_heap("growable", HeapCreate(0, 0, 0), count);
    walk_heap("fixed", HeapCreate(0, 0, (size_t)256 << 20), count / 4 + 4);
    return race_end();
}
