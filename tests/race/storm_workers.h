/* SPDX-License-Identifier: MIT */
/*
 * For storm.c: threads that allocate, resize and free, each other's blocks too, in heaps
 * that stay, in heaps that come and go, and by malloc; and end all the time, with some
 * left to do in destructors.
 */
#pragma once

#include <sched.h>

#include "com_spy.h"
#include "race.h"

enum {
    WORKERS = 4,
    HEAPS = 4,      /* the process heap and private ones */
    PLACES = 5,     /* and malloc: */
    MALLOC = HEAPS, /* the place that is no heap */
    SHARED = 64,    /* blocks on their way, a place */
    TENANT_BLOCKS = 16,
    TASK_BLOCKS = 4,
    LIFE = 3000, /* steps of a thread */
    CAN_FORK = !RACE_TSAN && !RACE_ASAN,
};

static HANDLE heaps[HEAPS];
static _Atomic(void *) shared[PLACES][SHARED];
static HANDLE some_tenant;    /* under tenant_lock: a heap that is there, or NULL */
static size_t tenant_changes; /* under tenant_lock: handles come again */
static pthread_mutex_t tenant_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stop;
static pthread_key_t farewell_key;

/*
 * Held over fork, and over pthread_create beside it. glibc (2.36) frees the thread-local
 * blocks of a library that was loaded late, as liburcu is, when it uses a stack again,
 * and forgets them after that: a child forked in between frees them once more when it
 * starts or ends threads itself. POSIX promises such a child nothing.
 */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

/* The thread has a heap locked, or will: it waits for no other heap. */
static _Thread_local bool owns_lock;

static struct {
    atomic_ullong allocations, resizes, remote_frees, tenants, threads, farewells;
    atomic_ullong refused; /* NULL was returned */
} done;
static atomic_ullong vetoes;       /* by spies */
static atomic_ullong task_vetoes;  /* the same of blocks of the task allocator */
static atomic_ullong task_blocks;  /* allocated there */
static _Thread_local bool is_task; /* the thread uses it */

static void count(atomic_ullong *what)
{
    atomic_fetch_add_explicit(what, 1, memory_order_relaxed);
}

static bool is_over(void)
{
    return atomic_load_explicit(&stop, memory_order_relaxed);
}

/* The block, which says where it is; NULL: a spy has vetoed. */
static void *signed_block(void *block)
{
    count(block ? &done.allocations : &done.refused);
    if (block)
        *(uint64_t *)block = race_mix((uintptr_t)block ^ race_seed);
    return block;
}

static size_t some_bytes(uint64_t *random)
{
    return sizeof(uint64_t) +
           (race_below(random, 50) ? race_below(random, 900) : race_below(random, 60000));
}

static void *allocate_in(HANDLE heap, size_t bytes)
{
    return signed_block(HeapAlloc(heap, 0, bytes));
}

static void *allocate(size_t place, uint64_t *random)
{
    size_t bytes = some_bytes(random);
    if (place == MALLOC)
        return signed_block(mh_malloc(bytes));
    return allocate_in(heaps[place], bytes);
}

static size_t size_of(size_t place, const void *block)
{
    return place == MALLOC ? mh_malloc_usable_size((void *)(uintptr_t)block)
                           : HeapSize(heaps[place], 0, block);
}

static void release(size_t place, void *block)
{
    if (!block)
        return;
    if (place == MALLOC)
        mh_free(block);
    else
        race_require(HeapFree(heaps[place], 0, block), "HeapFree refused a live block");
}

/* Free a block that may have gone through several hands. */
static void release_shared(size_t place, void *block)
{
    if (!block)
        return;
    race_require(*(uint64_t *)block == race_mix((uintptr_t)block ^ race_seed),
                 "%p in place %zu was disturbed", block, place);
    count(&done.remote_frees);
    release(place, block);
}

static void exchange(size_t place, void *block, uint64_t *random)
{
    size_t slot = race_below(random, SHARED);
    release_shared(place, atomic_exchange(&shared[place][slot], block));
}

/* The block, maybe elsewhere and of another size; still the old one if that is vetoed. */
static void *resize(size_t place, void *block, uint64_t *random)
{
    size_t bytes = some_bytes(random);
    void *moved = place == MALLOC ? mh_realloc(block, bytes)
                                  : HeapReAlloc(heaps[place], 0, block, bytes);
    if (!moved) {
        count(&done.refused);
        return block;
    }
    count(&done.resizes);
    *(uint64_t *)moved = race_mix((uintptr_t)moved ^ race_seed);
    return moved;
}

static void step(uint64_t *random)
{
    size_t place = race_below(random, PLACES);
    void *block = allocate(place, random);
    if (!block)
        return;
    size_t kind = race_below(random, 8);
    if (kind < 2)
        block = resize(place, block, random);
    if (kind % 2)
        exchange(place, block, random);
    else
        release(place, block);
}

/* `heap` instead of what was shown; NULL: it is about to end. */
static void show_tenant(HANDLE shown, HANDLE heap)
{
    pthread_mutex_lock(&tenant_lock);
    if (!shown || some_tenant == shown) {
        some_tenant = heap;
        tenant_changes++;
    }
    pthread_mutex_unlock(&tenant_lock);
}

/* A heap's whole life; half of them are for this thread alone. */
static void live_in_tenant(uint64_t *random)
{
    HANDLE heap = HeapCreate(race_below(random, 2) ? HEAP_NO_SERIALIZE : 0, 0, 0);
    race_require(heap != NULL, "HeapCreate failed");
    show_tenant(NULL, heap);
    void *blocks[TENANT_BLOCKS];
    for (size_t i = 0; i < TENANT_BLOCKS; i++)
        blocks[i] = allocate_in(heap, some_bytes(random));
    for (size_t i = 0; i < TENANT_BLOCKS; i += 1 + race_below(random, 4))
        race_require(!blocks[i] || HeapFree(heap, 0, blocks[i]),
                     "HeapFree refused a live block");
    show_tenant(heap, NULL);
    race_require(HeapDestroy(heap), "HeapDestroy failed");
    count(&done.tenants);
}

/* Something from each place: what callbacks, destructors and children do. */
static void use_places(uint64_t *random)
{
    bool was_task = is_task;
    is_task = false;
    for (size_t place = 0; place < PLACES; place++) {
        void *block = allocate(place, random);
        if (block)
            release(place, resize(place, block, random));
    }
    is_task = was_task;
}

/* Blocks of the task allocator, past a COM spy if one is there: which may refuse, too. */
static void use_task(uint64_t *random)
{
    IMalloc *task = spy_malloc();
    void *blocks[TASK_BLOCKS];
    is_task = true;
    for (size_t i = 0; i < TASK_BLOCKS; i++) {
        blocks[i] = IMalloc_Alloc(task, some_bytes(random));
        if (blocks[i])
            count(&task_blocks);
    }
    for (size_t i = 0; i < TASK_BLOCKS; i++) {
        void *moved = IMalloc_Realloc(task, blocks[i], some_bytes(random));
        if (moved)
            blocks[i] = moved;
    }
    for (size_t i = 0; i < TASK_BLOCKS; i++)
        IMalloc_Free(task, blocks[i]);
    is_task = false;
}

/* A destructor of thread-specific data: first after molehill's, then once more. */
static void take_leave(void *value)
{
    uint64_t random = race_mix((uintptr_t)value);
    use_places(&random);
    exchange(MALLOC, allocate(MALLOC, &random), &random);
    count(&done.farewells);
    if ((uintptr_t)value % 2)
        pthread_setspecific(farewell_key, (char *)value - 1);
}

static void *work(void *argument)
{
    uint64_t random = *(uint64_t *)argument;
    pthread_setspecific(farewell_key, (void *)(race_below(&random, 1000) * 4 + 3));
    for (size_t i = 0; i < LIFE && !is_over(); i++) {
        step(&random);
        if (i % 256 == 255)
            live_in_tenant(&random);
        if (i % 32 == 31)
            use_task(&random);
        if (i % 16 == 0)
            sched_yield(); /* rather here than in a callback, where others wait for it */
    }
    live_in_tenant(&random);
    count(&done.threads);
    *(uint64_t *)argument = random;
    return NULL;
}

/* Where nobody forks, no lock: it would hide races from ThreadSanitizer. */
static pthread_t start_work(uint64_t *random)
{
    if (CAN_FORK)
        pthread_mutex_lock(&start_lock);
    pthread_t thread = race_thread(work, random);
    if (CAN_FORK)
        pthread_mutex_unlock(&start_lock);
    return thread;
}

/* One thread after another. */
static void *supervise(void *argument)
{
    uint64_t random = race_seed ^ race_mix((uintptr_t)argument);
    while (!is_over())
        race_join(start_work(&random));
    return NULL;
}
