/* SPDX-License-Identifier: MIT */
/*
 * Forks while heaps are in use, for fork.c and fork_inside.c: blocks with records,
 * threads that keep allocating and freeing them, what a child does first, and how it is
 * waited for.
 *
 * The child sees a prefix of what each thread of the parent did: of each block it knows
 * whether its thread was in the middle of a call (`in_flight`), and all others must be
 * whole.
 */
#pragma once

#include <signal.h>
#include <sys/wait.h>

#include "race.h"

enum {
    THREADS = 3,
    OWN = 60,
    TABLE = 100,
    RECORDS = TABLE + (THREADS + 1) * OWN,
    HEAPS = 4, /* the process heap and private ones; malloc comes after them */
    FIXED = 3, /* of these, the one of a fixed size */
    CHILD_BLOCKS = 600,
    MOST_BYTES = 60000,
};

struct record {
    atomic_bool in_flight;
    char *at;
    size_t bytes;
    uint64_t key;
    uint32_t place; /* HEAPS: malloc */
};

static struct record records[RECORDS];
static _Atomic(struct record *) table[TABLE];
static HANDLE heaps[HEAPS];

static HANDLE make_heap(size_t place)
{
    return HeapCreate(0, 0, place == FIXED ? (size_t)64 << 20 : 0);
}
static atomic_bool is_over;
static atomic_ullong operations;
static atomic_uint progress; /* what the watchdog watches */

/* The thread is in a call of the library's, and nowhere else. */
static _Thread_local volatile sig_atomic_t is_inside;

static void *call_alloc(uint32_t place, size_t bytes)
{
    is_inside = 1;
    void *block = place == HEAPS ? mh_malloc(bytes) : HeapAlloc(heaps[place], 0, bytes);
    is_inside = 0;
    return block;
}

static bool call_free(uint32_t place, void *block)
{
    bool is_freed = true;
    is_inside = 1;
    if (place == HEAPS)
        mh_free(block);
    else
        is_freed = HeapFree(heaps[place], 0, block);
    is_inside = 0;
    return is_freed;
}

static void allocate(struct record *record, uint64_t *random)
{
    size_t kind = race_below(random, 100);
    size_t limit = kind < 80 ? 300 : kind < 98 ? 5000 : MOST_BYTES;
    record->bytes = race_below(random, limit);
    record->place = (uint32_t)race_below(random, HEAPS + 2);
    if (record->place > HEAPS)
        record->place = HEAPS;
    record->key = race_next(random);
    record->at = call_alloc(record->place, record->bytes);
    race_require(record->at != NULL, "no memory");
    if (record->at)
        race_stamp(record->at, record->bytes, record->key);
}

static void release(struct record *record)
{
    race_require(race_is_stamped(record->at, record->bytes, record->key),
                 "block %p of %zu bytes, place %u, was disturbed", (void *)record->at,
                 record->bytes, record->place);
    race_require(call_free(record->place, record->at), "HeapFree refused %p",
                 (void *)record->at);
    record->at = NULL;
}

static void step(struct record **own, uint64_t *random)
{
    struct record **mine = &own[race_below(random, OWN)];
    if (race_below(random, 4) == 0)
        *mine = atomic_exchange(&table[race_below(random, TABLE)], *mine);
    struct record *record = *mine;
    atomic_store(&record->in_flight, true);
    if (record->at)
        release(record);
    else
        allocate(record, random);
    atomic_store_explicit(&record->in_flight, false, memory_order_release);
    atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
}

/* What a thread that keeps allocating has. */
struct busy {
    uint64_t random;
    struct record *own[OWN];
};
static struct busy busy_threads[THREADS + 1]; /* the last one is the main thread's */

/* Allocate many blocks, half of them freed by another order; all of them stamped. */
static void *allocate_many(void *argument)
{
    static _Thread_local struct record many[CHILD_BLOCKS];
    uint64_t random = race_seed ^ (uintptr_t)argument;
    for (size_t i = 0; i < CHILD_BLOCKS; i++)
        allocate(&many[i], &random);
    for (size_t i = 0; i < CHILD_BLOCKS; i += 2)
        release(&many[i]);
    for (size_t i = 0; i < CHILD_BLOCKS; i += 2)
        allocate(&many[i], &random);
    for (size_t i = CHILD_BLOCKS; i-- > 0;)
        release(&many[i]);
    return NULL;
}

/* What nobody was in the middle of: check it, and free it when asked to. */
static size_t visit_records(bool frees)
{
    size_t count = 0;
    for (size_t i = 0; i < RECORDS; i++) {
        struct record *record = &records[i];
        if (atomic_load(&record->in_flight) || !record->at)
            continue;
        count++;
        if (frees)
            release(record);
        else
            race_require(race_is_stamped(record->at, record->bytes, record->key),
                         "a vanished thread's block was disturbed");
    }
    return count;
}

/* Wait for a child, but not for ever. */
static race_maybe bool reap(pid_t child, const char *what)
{
    int status = 0;
    double limit = race_now() + (race_brief() ? 120 : 30);
    for (unsigned wait = 0; race_now() < limit; wait++) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        atomic_fetch_add(&progress, 1);
        if (ended == child) {
            race_case(status == 0, "%s: the child ended with status 0x%x", what, status);
            return status == 0;
        }
        race_sleep_ms(wait < 20 ? 1 : 10);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    race_fail("%s: the child hangs", what);
    return false;
}

/* The parent may hang as well. */
static void *watch(void *argument)
{
    (void)argument;
    sigset_t all; /* signals are for the thread that they are to interrupt */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    unsigned last = atomic_load(&progress);
    for (unsigned quiet = 0; quiet < 150; quiet++) {
        race_sleep_ms(1000);
        if (atomic_load(&progress) != last)
            quiet = 0;
        last = atomic_load(&progress);
    }
    race_fail("the parent hangs");
    (void)race_end();
    _exit(1);
}

static void set_up(void)
{
    heaps[0] = GetProcessHeap();
    for (size_t i = 1; i < HEAPS; i++)
        heaps[i] = make_heap(i);
    for (size_t i = 0; i < TABLE; i++)
        atomic_store(&table[i], &records[i]);
    for (size_t i = 0; i < (THREADS + 1) * OWN; i++) {
        struct busy *busy = &busy_threads[i / OWN];
        busy->own[i % OWN] = &records[TABLE + i];
        busy->random = race_mix(race_seed + i / OWN);
    }
}
