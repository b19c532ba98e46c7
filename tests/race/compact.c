/* SPDX-License-Identifier: MIT */
/*
 * HeapCompact and HeapValidate of a whole heap while threads use it: half of them with
 * HEAP_NO_SERIALIZE on each call, which passes a locked heap, and in short lives, so that
 * caches are let go and adopted all the time. Blocks keep their contents, the heap is in
 * order whenever somebody looks, and nothing is left at the end.
 */
#include "arena/heap.h"

#include "race.h"

enum { WORKERS = 4, SHARED = 512, LIFE = 150 };

static HANDLE handle;
static _Atomic(void *) shared[SHARED]; /* stamped blocks that any thread may take */
static atomic_bool stop;
static atomic_ullong operations, lives, compactions;

static uint64_t key_of(size_t bytes)
{
    return bytes * 31 + 7;
}

static void check_and_free(void *block, DWORD flags)
{
    size_t bytes = HeapSize(handle, flags, block);
    race_require(bytes < 200000 && race_is_stamped(block, bytes, key_of(bytes)),
                 "a block of %zu bytes was changed", bytes);
    race_require(HeapFree(handle, flags, block), "HeapFree refused a live block");
}

static void operate(uint64_t *random, DWORD flags)
{
    size_t bytes =
        race_below(random, 50) ? race_below(random, 1500) : race_below(random, 100000);
    void *block = HeapAlloc(handle, flags, bytes);
    race_require(block != NULL, "no memory");
    race_stamp(block, bytes, key_of(bytes));
    void *old = atomic_exchange(&shared[race_below(random, SHARED)], block);
    if (old)
        check_and_free(old, flags);
    atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
}

static void *live(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    DWORD flags = (uintptr_t)argument % 2 ? HEAP_NO_SERIALIZE : 0;
    for (int i = 0; i < LIFE && !atomic_load(&stop); i++)
        operate(&random, flags);
    return NULL;
}

static void *live_again_and_again(void *argument)
{
    uintptr_t life = (uintptr_t)argument;
    for (; !atomic_load(&stop); life += WORKERS) {
        race_join(race_thread(live, (void *)life));
        atomic_fetch_add(&lives, 1);
    }
    return NULL;
}

/* Give the others a turn each time. */
static void *compact(void *count)
{
    for (size_t i = 0; i < (uintptr_t)count && !atomic_load(&race_failed); i++) {
        unsigned long long before = atomic_load(&operations);
        race_require(HeapCompact(handle, 0) > 0, "HeapCompact failed");
        race_require(HeapValidate(handle, 0, NULL), "the heap is not in order");
        for (int turns = 0; turns < 1000 && atomic_load(&operations) == before; turns++)
            race_sleep_ms(turns > 100);
        atomic_fetch_add(&compactions, 1);
    }
    return NULL;
}

static void empty(void)
{
    for (size_t i = 0; i < SHARED; i++) {
        void *block = atomic_exchange(&shared[i], NULL);
        if (block)
            check_and_free(block, 0);
    }
}

int main(void)
{
    race_begin("compact");
    size_t count = race_size(1500, 150, 8);
    pthread_t workers[WORKERS];
    handle = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < WORKERS; i++)
        workers[i] = race_thread(live_again_and_again, (void *)i);
    pthread_t compactor = race_thread(compact, (void *)count);
    race_join(compactor);
    atomic_store(&stop, true);
    for (size_t i = 0; i < WORKERS; i++)
        race_join(workers[i]);
    printf("%llu operations in %llu lives, %llu compactions\n", atomic_load(&operations),
           atomic_load(&lives), atomic_load(&compactions));
    race_case(atomic_load(&compactions) == count, "%llu compactions",
              atomic_load(&compactions));
    race_case(atomic_load(&operations) >= 10 * count && atomic_load(&lives) >= WORKERS,
              "exercised too little: %llu operations", atomic_load(&operations));
    empty();
    race_case(race_allocated(handle) == 0, "%zu bytes are left", race_allocated(handle));
    HeapCompact(handle, 0);
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    race_case(HeapSummary(handle, 0, &summary) && summary.cbReserved == MOLE_CHUNK,
              "an emptied heap keeps %zu bytes", summary.cbReserved);
    race_case(HeapValidate(handle, 0, NULL), "it is not in order");
    race_case(HeapDestroy(handle), "HeapDestroy failed");
    return race_end();
}
