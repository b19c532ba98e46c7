/* SPDX-License-Identifier: MIT */
/*
 * The gate under load: threads allocate, free each other's blocks and resize them in one
 * heap as fast as they can while others lock it. Under the lock nothing moves: every slab
 * is in order and a fingerprint of all tables stays the same. Three times: with the
 * system's barrier, in a process where it is denied from the start, and in one where it
 * is denied in the middle, to all threads as they run.
 */
#include <sched.h>
#include <semaphore.h>

#include "arena/heap.h"
#include "arena/span_map.h"
#include "deny.h"
#include "os/barrier.h"
#include "race.h"

enum { WORKERS = 4, FREERS = 1, LOCKERS = 2, SHARED = 256 };

static HANDLE handle;
static struct mole_heap *heap;
static _Atomic(void *) shared[SHARED]; /* blocks that any thread may take */
static atomic_ullong operations, closings, moved_between, uncached, forks;
static atomic_bool stop;

static size_t some_bytes(uint64_t *random)
{
    return race_below(random, 20) ? race_below(random, 900) : race_below(random, 100000);
}

static void exchange(void *block, uint64_t *random)
{
    void *old = atomic_exchange(&shared[race_below(random, SHARED)], block);
    race_require(!old || HeapFree(handle, 0, old), "HeapFree refused a live block");
}

static void operate(uint64_t *random)
{
    void *block = HeapAlloc(handle, 0, some_bytes(random));
    race_require(block != NULL, "no memory");
    switch (race_below(random, 4)) {
    case 0:
        exchange(block, random);
        break;
    case 1: {
        void *moved = HeapReAlloc(handle, 0, block, some_bytes(random));
        race_require(moved != NULL, "no memory");
        block = moved;
    }
        /* fallthrough */
    default:
        race_require(HeapFree(handle, 0, block), "HeapFree refused a live block");
    }
    atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
}

static void *work(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        operate(&random);
    return NULL;
}

/* Takes from the others, allocates nothing itself, and so never has a cache. */
static void *only_free(void *unused)
{
    uint64_t random = race_seed;
    (void)unused;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        void *block = atomic_exchange(&shared[race_below(&random, SHARED)], NULL);
        race_require(!block || HeapFree(handle, 0, block), "HeapFree refused a block");
        atomic_fetch_add_explicit(&uncached, block != NULL, memory_order_relaxed);
    }
    return NULL;
}

/* What all tables of the heap say; slabs are checked on the way. */
static uint64_t fingerprint(void)
{
    uint64_t print = 0;
    for (struct mole_run *run = heap->arena.runs; run; run = run->next) {
        char *end = run->base + (size_t)run->chunks * MOLE_CHUNK;
        for (char *at = run->base; at < end;) {
            struct mole_span *span = mole_span_map_find(at);
            bool is_slab = span->kind == MOLE_SPAN_SLAB;
            at += is_slab ? (size_t)span->pages * MOLE_PAGE : MOLE_PAGE;
            print = race_mix(print ^ (uintptr_t)span ^ load_rlx(&span->bytes_a));
            if (!is_slab)
                continue;
            mole_span_check(span);
            print ^= load_rlx(&span->inbox_a);
            for (size_t index = 0; index < span->capacity; index++)
                print = race_mix(print + load_rlx(&span->entry_a[index]));
        }
    }
    return print;
}

enum { NONE = -2 }; /* of membarrier's commands */

/* Which one a locker denies when it is half done; whether that could not be. */
static int denied_later = NONE;
static atomic_bool was_refused;

static void inspect(void)
{
    race_require(HeapLock(handle), "HeapLock failed");
    void *own = HeapAlloc(handle, 0, 50); /* the owner goes on */
    race_require(own && HeapFree(handle, 0, own), "the owner cannot use its heap");
    uint64_t before = fingerprint();
    for (int i = 0; i < 3; i++) {
        sched_yield();
        race_require(fingerprint() == before, "the heap changed under the lock");
    }
    race_require(HeapUnlock(handle), "HeapUnlock failed");
    atomic_fetch_add(&closings, 1);
}

static bool works(void)
{
    void *block = HeapAlloc(handle, HEAP_ZERO_MEMORY, 100);
    return block && HeapSize(handle, 0, block) == 100 && HeapFree(handle, 0, block);
}

/* Whether a child of this thread ends well with `is_right`. */
static bool child_finds(bool (*is_right)(void))
{
    pid_t child = fork();
    if (child == 0) {
        alarm(60); /* rather than hang */
        _exit(is_right() ? 0 : 1);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool is_open(void)
{
    return works() && HeapLock(handle) && works() && HeapUnlock(handle);
}

struct locker {
    size_t count;
    bool denies; /* one does, with all others under way */
    bool forks;  /* likewise: into the middle of whatever they do */
};

static void *inspect_often(void *argument)
{
    struct locker *locker = argument;
    for (size_t i = 0; i < locker->count && !atomic_load(&race_failed); i++) {
        if (locker->denies && i == locker->count / 2 && !deny_barrier(denied_later))
            atomic_store(&was_refused, true);
        if (locker->forks && i % 4 == 0) {
            race_require(child_finds(is_open), "a child cannot use the heap");
            atomic_fetch_add(&forks, 1);
        }
        unsigned long long before = atomic_load(&operations);
        inspect();
        for (int turns = 0; turns < 1000 && atomic_load(&operations) == before; turns++)
            turns < 100 ? (void)sched_yield() : race_sleep_ms(1);
        atomic_fetch_add(&moved_between, atomic_load(&operations) > before);
    }
    return NULL;
}

/* All of it once. */
static void run(size_t count, bool forks_too)
{
    pthread_t workers[WORKERS + FREERS], lockers[LOCKERS];
    struct locker what[LOCKERS] = {{count, denied_later != NONE, false},
                                   {count, false, forks_too}};
    atomic_store(&stop, false);
    for (size_t i = 0; i < WORKERS + FREERS; i++)
        workers[i] = race_thread(i < WORKERS ? work : only_free, (void *)i);
    for (size_t i = 0; i < LOCKERS; i++)
        lockers[i] = race_thread(inspect_often, &what[i]);
    for (size_t i = 0; i < LOCKERS; i++)
        race_join(lockers[i]);
    for (int turns = 0; turns < 60000 && atomic_load(&uncached) < count; turns++)
        race_sleep_ms(1); /* under valgrind a thread may have to wait for its turn */
    atomic_store(&stop, true);
    for (size_t i = 0; i < WORKERS + FREERS; i++)
        race_join(workers[i]);
}

static void run_one(enum when denied, int command, size_t count)
{
    if (denied == AT_START && !deny_barrier(command)) {
        race_skip("seccomp filters cannot be set here");
        return;
    }
    handle = HeapCreate(0, 0, 0);
    heap = mole_heap_find(handle);
    denied_later = denied == LATER ? command : NONE;
    bool forks_too = denied == NEVER && !RACE_TSAN; /* see fork_with_gates */
    run(count, forks_too);
    if (atomic_load(&was_refused)) {
        race_skip("seccomp filters cannot be set here");
        return;
    }
    bool is_fenced = load_rlx(&heap->word_a) & MOLE_MODE_FENCED;
    for (size_t i = 0; i < SHARED; i++)
        exchange(NULL, &(uint64_t){i});
    for (size_t i = 0; i < SHARED; i++) {
        void *block = atomic_exchange(&shared[i], NULL);
        race_require(!block || HeapFree(handle, 0, block),
                     "HeapFree refused a live block");
    }
    printf("%s: %llu operations, %llu closings, %llu with operations before the next\n",
           when_names[denied], atomic_load(&operations), atomic_load(&closings),
           atomic_load(&moved_between));
    race_case(race_allocated(handle) == 0, "%zu bytes are left", race_allocated(handle));
    race_case(denied == NEVER || is_fenced, "the heap does without fences");
    race_case(denied != NEVER || RACE_TSAN || !is_fenced, "membarrier is not to be had");
    race_case(atomic_load(&closings) >= LOCKERS * count, "exercised too little");
    race_case(atomic_load(&moved_between) >= count / 4,
              "exercised too little: %llu times others got in between",
              atomic_load(&moved_between));
    race_case(atomic_load(&uncached) >= count,
              "exercised too little: %llu uncached frees", atomic_load(&uncached));
    race_case(!forks_too || atomic_load(&forks) >= count / 4, "only %llu forks",
              atomic_load(&forks));
    race_case(HeapDestroy(handle), "HeapDestroy failed");
}

static sem_t is_locked, may_unlock;

static void *hold(void *unused)
{
    (void)unused;
    race_require(HeapLock(handle), "HeapLock failed");
    sem_post(&is_locked);
    sem_wait(&may_unlock);
    race_require(HeapUnlock(handle), "HeapUnlock failed");
    return NULL;
}

static bool is_still_mine(void)
{
    return works() && HeapUnlock(handle) && HeapUnlock(handle) && !HeapUnlock(handle) &&
           GetLastError() == ERROR_NOT_OWNER && is_open();
}

/*
 * A gate whose owner the child does not have is open there; the forking thread keeps its
 * own.
 */
static void fork_with_gates(void)
{
    if (RACE_TSAN) {
        race_skip("gates in a child: ThreadSanitizer holds locks of its own over fork");
        return;
    }
    handle = HeapCreate(0, 0, 0);
    race_case(works(), "the heap does not work");
    sem_init(&is_locked, 0, 0);
    sem_init(&may_unlock, 0, 0);
    pthread_t holder = race_thread(hold, NULL);
    sem_wait(&is_locked);
    race_case(child_finds(is_open), "a vanished thread's lock stays in the child");
    sem_post(&may_unlock);
    race_join(holder);
    race_require(HeapLock(handle) && HeapLock(handle), "HeapLock failed");
    race_case(child_finds(is_still_mine), "the forking thread's lock is not its own");
    race_case(is_still_mine(), "the parent's lock changed");
    race_case(HeapDestroy(handle), "HeapDestroy failed");
}

int main(void)
{
    race_begin("gate");
    size_t count = race_size(200, 100, 8);
    run_denied(AT_START, ALL, count / 4, run_one);
    run_denied(AT_START, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, count / 8, run_one);
    run_denied(AT_START, MEMBARRIER_CMD_PRIVATE_EXPEDITED, count / 8, run_one);
    run_denied(LATER, ALL, count / 4, run_one);
    run_denied(LATER, MEMBARRIER_CMD_PRIVATE_EXPEDITED, count / 8, run_one);
    run_one(NEVER, ALL, count);
    fork_with_gates();
    return race_end();
}
