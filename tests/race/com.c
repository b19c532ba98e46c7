/* SPDX-License-Identifier: MIT */
/*
 * Cases 118 and 120: eight threads use the task allocator, each other's blocks too, while
 * COM spies come and go: under the lock and free-threaded, with headers and without. Two
 * more use the process heap beside it: one with HeapAlloc and HeapFree, one locks it.
 */
#include "com_spy.h"

enum { THREADS = 8, OWN = 16, SHARED = 64, KINDS = 4, MOST_BYTES = 3000 };

struct block {
    uint64_t key; /* of the stamp behind this */
    size_t bytes; /* all of it */
};

static IMalloc *task_malloc;
static _Atomic(struct block *) shared[SHARED];
static atomic_bool is_draining; /* nothing is allocated any more */
static atomic_bool is_asking;   /* but the spy is called */
static atomic_bool is_over;
static atomic_ullong drained[THREADS + 1]; /* rounds in which the thread had no block */
static atomic_ullong operations, beside, locks, past_the_spy, moved_past_the_spy;

static void check_block(const struct block *block, const char *what)
{
    race_require(race_is_stamped(block + 1, block->bytes - sizeof *block, block->key),
                 "%s: a block of %zu bytes changed", what, block->bytes);
}

static size_t some_bytes(uint64_t *random)
{
    return sizeof(struct block) + race_below(random, MOST_BYTES);
}

static void stamp(struct block *block, size_t bytes, uint64_t key)
{
    block->key = key;
    block->bytes = bytes;
    race_stamp(block + 1, bytes - sizeof *block, key);
}

/* NULL: the spy refused. */
static struct block *take(uint64_t *random)
{
    size_t bytes = some_bytes(random);
    struct block *block = race_below(random, 4) ? IMalloc_Alloc(task_malloc, bytes)
                                                : CoTaskMemRealloc(NULL, bytes);
    if (block)
        stamp(block, bytes, race_next(random));
    return block;
}

/* A block without header may be given to the heap's own functions. */
static bool is_thin(const struct block *block)
{
    return HeapValidate(GetProcessHeap(), 0, block);
}

static void give(struct block *block, uint64_t *random)
{
    if (!block)
        return;
    check_block(block, "free");
    switch (race_below(random, 8)) {
    case 0:
        /* Refused: still there. */
        if (IMalloc_Realloc(task_malloc, block, 0) != NULL)
            race_fail("Realloc to nothing returned a block");
        return;
    case 1:
        if (is_thin(block)) {
            race_require(HeapFree(GetProcessHeap(), 0, block), "HeapFree refused");
            atomic_fetch_add(&past_the_spy, 1);
            return;
        }
        /* fallthrough */
    default:
        IMalloc_Free(task_malloc, block);
    }
}

static struct block *resize(struct block *block, uint64_t *random)
{
    size_t bytes = some_bytes(random), kept = bytes;
    struct block *moved;
    if (block->bytes < kept)
        kept = block->bytes;
    if (race_below(random, 8) == 0 && is_thin(block)) {
        moved = HeapReAlloc(GetProcessHeap(), 0, block, bytes);
        race_require(moved != NULL, "HeapReAlloc failed");
        atomic_fetch_add(&moved_past_the_spy, 1);
    } else {
        moved = IMalloc_Realloc(task_malloc, block, bytes);
    }
    if (!moved)
        return block;
    race_require(race_is_stamped(moved + 1, kept - sizeof *moved, moved->key),
                 "realloc: contents lost");
    stamp(moved, bytes, moved->key);
    return moved;
}

static struct block *operate(struct block *block, uint64_t *random)
{
    if (!block)
        return atomic_load(&is_draining) ? NULL : take(random);
    switch (race_below(random, 8)) {
    case 0:
        return resize(block, random);
    case 1:
        race_require(IMalloc_GetSize(task_malloc, block) == block->bytes, "a wrong size");
        return block;
    case 2:
        race_require(IMalloc_DidAlloc(task_malloc, block) == 1, "a block is not known");
        return block;
    case 3:
    case 4:
        return atomic_exchange(&shared[race_below(random, SHARED)], block);
    default:
        give(block, random);
        return NULL;
    }
}

/* Calls that leave nothing behind. */
static void ask(void)
{
    for (int i = 0; i < 50; i++)
        race_require(IMalloc_DidAlloc(task_malloc, (void *)1) == 0, "it is no block");
}

static void *work(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    atomic_ullong *rounds = &drained[(uintptr_t)argument];
    struct block *own[OWN] = {NULL};
    while (!atomic_load(&is_over)) {
        size_t i = race_below(&random, OWN);
        own[i] = operate(own[i], &random);
        atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
        if (!atomic_load(&is_draining))
            continue;
        for (i = 0; i < OWN; i++) {
            give(own[i], &random);
            own[i] = NULL;
        }
        give(atomic_exchange(&shared[race_below(&random, SHARED)], NULL), &random);
        atomic_fetch_add(rounds, 1);
        if (atomic_load(&is_asking))
            ask();
        else
            sched_yield();
    }
    for (size_t i = 0; i < OWN; i++)
        give(own[i], &random);
    return NULL;
}

/* Not spied. */
static void *work_beside(void *unused)
{
    (void)unused;
    uint64_t random = race_seed;
    while (!atomic_load(&is_over)) {
        size_t bytes = some_bytes(&random);
        struct block *block = HeapAlloc(GetProcessHeap(), 0, bytes);
        stamp(block, bytes, race_next(&random));
        if (race_below(&random, 4) == 0)
            sched_yield();
        check_block(block, "HeapFree");
        race_require(HeapFree(GetProcessHeap(), 0, block), "HeapFree refused");
        atomic_fetch_add_explicit(&beside, 1, memory_order_relaxed);
    }
    return NULL;
}

static void *lock_often(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over)) {
        race_require(HeapLock(GetProcessHeap()), "HeapLock failed");
        if (!atomic_load(&is_draining))
            CoTaskMemFree(CoTaskMemAlloc(64));
        race_require(HeapUnlock(GetProcessHeap()), "HeapUnlock failed");
        atomic_fetch_add(&locks, 1);
        atomic_fetch_add(&drained[THREADS], 1);
        race_sleep_ms(1);
    }
    return NULL;
}

/* Let the others run until `count` has risen to `least`. */
static void await(atomic_ullong *count, unsigned long long least)
{
    for (unsigned turns = 0; atomic_load(count) < least; turns++)
        turns < 100 ? (void)sched_yield() : race_sleep_ms(1);
}

static void await_release(struct spy *spy)
{
    for (unsigned turns = 0; !spy_is_released(spy); turns++)
        turns < 100 ? (void)sched_yield() : race_sleep_ms(1);
}

/* Until no block is left and no call of the spy is under way. */
static void drain(void)
{
    atomic_store(&is_draining, true);
    for (int twice = 0; twice < 2; twice++) {
        for (size_t i = 0; i < THREADS + 1; i++)
            await(&drained[i], atomic_load(&drained[i]) + 2);
        for (size_t i = 0; i < SHARED; i++)
            give(atomic_exchange(&shared[i], NULL), &(uint64_t){i});
    }
}

/* While a block of this thread's is out it cannot go. */
static void revoke_early(uint64_t *random)
{
    struct block *block = NULL;
    while (!block)
        block = take(random);
    HRESULT result = CoRevokeMallocSpy();
    race_require(result == E_ACCESSDENIED, "revoke with a block out: 0x%x", result);
    block = atomic_exchange(&shared[race_below(random, SHARED)], block);
    atomic_store(&is_draining, true);
    give(block, random);
}

/* Nobody has a block of the spy's; with `asks` it is called all the time. */
static void revoke_late(struct spy *spy, bool asks)
{
    atomic_store(&is_asking, asks);
    drain();
    HRESULT result = CoRevokeMallocSpy();
    race_require(result == S_OK && spy_is_released(spy), "revoke: 0x%x", result);
}

static struct {
    unsigned long long at_once, pending, by_others, calls;
} seen[KINDS];

/* One spy's life. */
static void live(struct spy *spy, size_t i)
{
    static struct spy nobody;
    size_t kind = i % KINDS, way = i / KINDS % 4;
    uint64_t random = race_seed + i;
    spy_init(spy, kind & 1, kind & 2);
    race_require(CoRegisterMallocSpy(&spy->interface) == S_OK, "it was not registered");
    race_require(CoRegisterMallocSpy(&nobody.interface) == CO_E_OBJISREG, "a second spy");
    await(&spy->pres, 200);
    if (way & 1)
        revoke_early(&random);
    else
        revoke_late(spy, way != 0);
    await_release(spy);
    seen[kind].at_once += !(way & 1);
    seen[kind].pending += way & 1;
    seen[kind].by_others += !pthread_equal(spy->releaser, pthread_self());
    seen[kind].calls += atomic_load(&spy->pres);
    if (race_below(&random, 4) == 0)
        race_require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "it is still there");
    atomic_store(&is_asking, false);
    atomic_store(&is_draining, false);
}

static void report(size_t count)
{
    static const char *const names[KINDS] = {"under the lock", "free-threaded",
                                             "under the lock, headers",
                                             "free-threaded, headers"};
    for (size_t i = 0; i < KINDS; i++) {
        printf("%s: %llu calls; gone at once %llu times, pending %llu, ended by other "
               "threads %llu\n",
               names[i], seen[i].calls, seen[i].at_once, seen[i].pending,
               seen[i].by_others);
        race_case((seen[i].by_others > 0 || race_brief() == 2) &&
                      seen[i].calls >= 200 * count / KINDS,
                  "exercised too little");
    }
    printf("%llu operations, %llu beside, %llu HeapLocks; fSpyed TRUE %llu times, FALSE "
           "%llu; refused %llu, nested %llu, together %llu; freed past the spy %llu, "
           "resized %llu\n",
           atomic_load(&operations), atomic_load(&beside), atomic_load(&locks),
           atomic_load(&spy_true), atomic_load(&spy_false), atomic_load(&spy_refused),
           atomic_load(&spy_nested), atomic_load(&spy_together),
           atomic_load(&past_the_spy), atomic_load(&moved_past_the_spy));
    race_case(atomic_load(&beside) > count && atomic_load(&locks) > count / 100 &&
                  atomic_load(&spy_true) && atomic_load(&spy_false) &&
                  atomic_load(&spy_refused) && atomic_load(&spy_nested) &&
                  atomic_load(&spy_together) && atomic_load(&past_the_spy) &&
                  atomic_load(&moved_past_the_spy),
              "exercised too little");
}

int main(void)
{
    race_begin("com");
    alarm(race_brief() == 2 ? 1000 : 280); /* rather than hang */
    size_t count = race_size(300, 160, 16);
    struct spy *spies = calloc(count, sizeof *spies);
    pthread_t threads[THREADS + 2];
    task_malloc = spy_malloc();
    size_t before = race_allocated(GetProcessHeap());
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(work, (void *)i);
    threads[THREADS] = race_thread(work_beside, NULL);
    threads[THREADS + 1] = race_thread(lock_often, NULL);
    for (size_t i = 0; i < count && !atomic_load(&race_failed); i++)
        live(&spies[i], i);
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS + 2; i++)
        race_join(threads[i]);
    for (size_t i = 0; i < SHARED; i++)
        give(atomic_exchange(&shared[i], NULL), &(uint64_t){i});
    report(count);
    race_case(race_allocated(GetProcessHeap()) == before, "%zu bytes are left",
              race_allocated(GetProcessHeap()) - before);
    free(spies);
    return race_end();
}
