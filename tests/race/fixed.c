/* SPDX-License-Identifier: MIT */
/*
 * Threads on one small fixed-size heap that is full most of the time: they allocate until
 * nothing is left, resize, and free each other's blocks. So allocations fail, and before
 * each failure the heap is stopped and its caches drained, while others come and go, some
 * of them passing the gate (HEAP_NO_SERIALIZE), one locks the heap and checks all of it,
 * one compacts it. Live blocks are stamped; their sum never exceeds the maximum; and when
 * all is over the heap is one piece again.
 */
#include "race.h"

enum { THREADS = 4, SLOTS = 3000, MAXIMUM = 512 * 1024, CHARGED = 0x600 };

struct slot {
    char *at; /* NULL: none */
    size_t bytes;
    uint64_t key;
};

static struct slot store[SLOTS];
static _Atomic(struct slot *) slots[SLOTS]; /* NULL: a thread has it */
static HANDLE heap;
static _Atomic(size_t) live, most_live;
static atomic_bool is_over;
static struct {
    atomic_size_t steps, failures, resizes, in_place, checks;
} done;

static void count(atomic_size_t *what)
{
    atomic_fetch_add_explicit(what, 1, memory_order_relaxed);
}

static void add_live(size_t bytes)
{
    size_t now = atomic_fetch_add(&live, bytes) + bytes;
    size_t most = atomic_load(&most_live);
    while (now > most && !atomic_compare_exchange_weak(&most_live, &most, now)) {
    }
}

static size_t some_bytes(uint64_t *random)
{
    size_t kind = race_below(random, 100);
    return race_below(random, kind < 80 ? 300 : kind < 97 ? 3000 : 40000);
}

static void verify(const struct slot *slot)
{
    race_require(HeapSize(heap, 0, slot->at) == slot->bytes, "a block has another size");
    race_require(race_is_stamped(slot->at, slot->bytes, slot->key),
                 "a block's contents were disturbed");
}

static void stamp(struct slot *slot, uint64_t *random)
{
    slot->key = race_next(random);
    race_stamp(slot->at, slot->bytes, slot->key);
}

static void allocate(struct slot *slot, uint64_t *random, DWORD flags)
{
    size_t bytes = some_bytes(random);
    slot->at = HeapAlloc(heap, flags, bytes);
    if (!slot->at) {
        count(&done.failures);
        return;
    }
    slot->bytes = bytes;
    add_live(bytes);
    stamp(slot, random);
}

static void resize(struct slot *slot, uint64_t *random, DWORD flags)
{
    size_t bytes = some_bytes(random);
    if (race_below(random, 2))
        flags |= HEAP_REALLOC_IN_PLACE_ONLY;
    size_t kept = bytes < slot->bytes ? bytes : slot->bytes;
    atomic_fetch_sub(&live, slot->bytes); /* before: what it frees may be had at once */
    char *at = HeapReAlloc(heap, flags, slot->at, bytes);
    if (!at) {
        race_require(bytes > slot->bytes, "%zu bytes did not shrink to %zu", slot->bytes,
                     bytes);
        add_live(slot->bytes);
        verify(slot);
        return;
    }
    race_require(race_is_stamped(at, kept, slot->key), "HeapReAlloc lost contents");
    race_require(at == slot->at || !(flags & HEAP_REALLOC_IN_PLACE_ONLY), "it moved");
    count(at == slot->at ? &done.in_place : &done.resizes);
    slot->at = at;
    slot->bytes = bytes;
    add_live(bytes);
    stamp(slot, random);
}

static void release(struct slot *slot, DWORD flags)
{
    atomic_fetch_sub(&live, slot->bytes);
    race_require(HeapFree(heap, flags, slot->at), "HeapFree refused a live block");
    slot->at = NULL;
}

static void step(uint64_t *random)
{
    DWORD flags = race_below(random, 4) ? 0 : HEAP_NO_SERIALIZE;
    size_t place = race_below(random, SLOTS);
    struct slot *slot = atomic_exchange(&slots[place], NULL);
    if (!slot)
        return;
    if (!slot->at) {
        allocate(slot, random, flags);
    } else {
        verify(slot);
        if (race_below(random, 4))
            release(slot, flags);
        else
            resize(slot, random, flags);
    }
    /* Now it is whoever's comes next. */
    atomic_store(&slots[place], slot);
    count(&done.steps);
}

static void *work(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    while (!atomic_load(&is_over) && !atomic_load(&race_failed))
        step(&random);
    return NULL;
}

/*
 * Nobody else changes it under the lock, but those that pass: so no walk of its blocks.
 */
static void check_whole(void)
{
    race_require(HeapLock(heap), "HeapLock failed");
    race_require(HeapValidate(heap, 0, NULL), "the heap does not validate");
    race_require(race_allocated(heap) <= MAXIMUM - CHARGED, "more is live than there is");
    race_require(HeapUnlock(heap), "HeapUnlock failed");
    count(&done.checks);
}

static void *inspect(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over) && !atomic_load(&race_failed)) {
        check_whole();
        race_require(HeapCompact(heap, 0) < MAXIMUM, "more is free than there is");
        PROCESS_HEAP_ENTRY entry = {0};
        while (HeapWalk(heap, &entry))
            race_require(entry.wFlags <= 4, "an entry of no kind");
        race_sleep_ms(1);
    }
    return NULL;
}

static bool is_enough(size_t steps)
{
    return atomic_load(&done.steps) >= steps &&
           atomic_load(&done.failures) >= steps / 100 &&
           atomic_load(&done.in_place) >= steps / 100 &&
           atomic_load(&done.resizes) >= steps / 100 && atomic_load(&done.checks) >= 10;
}

static void run(size_t steps)
{
    pthread_t threads[THREADS + 1];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(work, (void *)(i + 1));
    threads[THREADS] = race_thread(inspect, NULL);
    double limit = race_now() + 120;
    while (!is_enough(steps) && race_now() < limit && !atomic_load(&race_failed))
        race_sleep_ms(5);
    atomic_store(&is_over, true);
    for (size_t i = 0; i <= THREADS; i++)
        race_join(threads[i]);
}

static void finish(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = atomic_load(&slots[i]);
        if (!slot->at)
            continue;
        verify(slot);
        release(slot, 0);
    }
    race_case(race_allocated(heap) == 0, "%zu bytes are left", race_allocated(heap));
    size_t most = HeapCompact(heap, 0);
    race_case(most >= MAXIMUM - 2 * CHARGED, "only %zu bytes are one piece", most);
    race_case(HeapValidate(heap, 0, NULL), "the heap does not validate");
    race_case(HeapDestroy(heap), "HeapDestroy failed");
}

int main(void)
{
    race_begin("fixed");
    heap = HeapCreate(0, 0, MAXIMUM);
    race_case(heap != NULL, "no heap");
    for (size_t i = 0; i < SLOTS; i++)
        atomic_store(&slots[i], &store[i]);
    size_t steps = race_size(400000, 60000, 3000);
    run(steps);
    printf("%zu steps: %zu allocations failed, %zu blocks moved, %zu stayed, %zu checks; "
           "at most %zu bytes live\n",
           atomic_load(&done.steps), atomic_load(&done.failures),
           atomic_load(&done.resizes), atomic_load(&done.in_place),
           atomic_load(&done.checks), atomic_load(&most_live));
    race_case(is_enough(steps), "exercised too little");
    race_case(atomic_load(&most_live) <= MAXIMUM - CHARGED, "%zu bytes were live",
              atomic_load(&most_live));
    finish();
    return race_end();
}
