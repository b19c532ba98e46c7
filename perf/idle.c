/* SPDX-License-Identifier: MIT */
/*
 * What threads keep that have stopped allocating, and what an allocating one feels while
 * that is given back. Each of THREADS allocates BYTES in small blocks, which it frees
 * (local) or its neighbour does (remote), and sleeps. Meanwhile one more thread allocates
 * and frees, unless it is told not to (quiet), and times each call.
 *
 *   idle THREADS KIB local|remote busy|quiet
 *
 * prints `idle target threads KiB mode` and then resident KiB above those at the start:
 * right after, and each half a second for three; then of the busy thread, in
 * microseconds, its longest operation, how many it had to wait in, that is let the
 * processor go, and the longest of those. In no list; nothing is asserted.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

#ifdef TARGET_HEAP
HANDLE perf_heap;
static const char target[] = "heap";
#else
static const char target[] = "malloc";
#endif

enum { MOST_THREADS = 1024, SAMPLES = 7, BUSY_BLOCKS = 64, SLOW_NS = 5000 };

struct link {
    struct link *next;
};

static struct link *lists[MOST_THREADS];
static size_t threads, share;
static bool is_remote;
static pthread_barrier_t turn;
static atomic_bool stop, is_counted;
static double longest, longest_wait;
static unsigned waits;

/* 16 bytes to 4 KiB, as many in each power of two. */
static size_t draw(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    size_t power = (size_t)16 << (*random >> 40) % 8;
    return power + (*random >> 48) % power;
}

static void fill(size_t number)
{
    uint64_t random = number;
    for (size_t bytes = 0; bytes < share;) {
        size_t size = draw(&random);
        struct link *block = PERF_ALLOC(size);
        memset(block, 1, size);
        block->next = lists[number];
        lists[number] = block;
        bytes += size;
    }
}

static void empty(size_t number)
{
    while (lists[number]) {
        struct link *gone = lists[number];
        lists[number] = gone->next;
        PERF_FREE(gone);
    }
}

static void *work_and_sleep(void *argument)
{
    size_t number = (uintptr_t)argument;
    fill(number);
    pthread_barrier_wait(&turn);
    empty(is_remote ? (number + 1) % threads : number);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* the end */
    return NULL;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static long voluntary_switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *be_busy(void *argument)
{
    void *blocks[BUSY_BLOCKS] = {NULL};
    uint64_t random = 1;
    long before = voluntary_switches();
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        void **place = &blocks[(random >> 33) % BUSY_BLOCKS];
        size_t size = draw(&random);
        double start = now_ns();
        if (*place)
            PERF_FREE(*place);
        *place = PERF_ALLOC(size);
        double took = now_ns() - start;
        if (took < SLOW_NS || !atomic_load(&is_counted))
            continue;
        longest = took > longest ? took : longest;
        long after = voluntary_switches();
        if (after != before) {
            waits++;
            longest_wait = took > longest_wait ? took : longest_wait;
        }
        before = after;
    }
    return argument;
}

static long resident_kib(void)
{
    char line[100] = {0};
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fgets(line, sizeof line, file))
        (void)sscanf(line, "%ld %ld", &all, &resident);
    if (file)
        fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool has_options(int count, char **arguments)
{
    bool is_good = count == 5 && sscanf(arguments[1], "%zu", &threads) == 1 &&
                   threads > 0 && threads <= MOST_THREADS &&
                   sscanf(arguments[2], "%zu", &share) == 1;
    if (!is_good)
        fputs("usage: idle THREADS KIB local|remote busy|quiet\n", stderr);
    share *= 1024;
    is_remote = is_good && !strcmp(arguments[3], "remote");
    return is_good;
}

static void sample(long start)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        printf(" %ld", resident_kib() - start);
        nanosleep(&(struct timespec){.tv_nsec = 500 * 1000 * 1000}, NULL);
    }
}

int main(int count, char **arguments)
{
    static pthread_t ids[MOST_THREADS];
    pthread_t busy;
    if (!has_options(count, arguments))
        return 2;
    bool is_busy = !strcmp(arguments[4], "busy");
#ifdef TARGET_HEAP
    perf_heap = HeapCreate(0, 0, 0);
#endif
    pthread_barrier_init(&turn, NULL, (unsigned)threads + 1);
    if (is_busy)
        pthread_create(&busy, NULL, be_busy, NULL);
    long start = resident_kib();
    for (uintptr_t i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, work_and_sleep, (void *)i);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    atomic_store(&is_counted, true);
    printf("idle %s %zu %zu %s", target, threads, share / 1024, arguments[3]);
    sample(start);
    atomic_store(&stop, true);
    if (is_busy)
        pthread_join(busy, NULL);
    printf(" %.1f %u %.1f\n", longest / 1e3, waits, longest_wait / 1e3);
    pthread_barrier_wait(&turn);
    for (uintptr_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return 0;
}
