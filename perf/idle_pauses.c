/* SPDX-License-Identifier: MIT */
/*
 * How long a heap is paused while the caches of idle threads are drained, and what a
 * thread feels that goes on allocating in it. THREADS threads allocate KIB KiB in small
 * blocks, free them and sleep; one more allocates and frees, and times each call. It is
 * linked with molehill's inside, to be told of each pause.
 *
 *   idle_pauses THREADS KIB drained|kept
 *
 * prints how many pauses there were, their median, 99th percentile and longest in
 * microseconds; of the busy thread its operations, in how many it let the processor go,
 * the longest of those, and the longest of all others, in which it may have lost it.
 * Last, after how many milliseconds nine tenths of the memory was given back. In no list;
 * nothing is asserted.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "arena/mode.h"
#include "tcache/idle.h"
#include <molehill/heapapi.h>
#include <molehill/molehill.h>

enum { MOST_THREADS = 1024, MOST_PAUSES = 1 << 16, BUSY_BLOCKS = 64, SLOW_NS = 5000 };

struct link {
    struct link *next;
};

static HANDLE heap;
static size_t threads, share;
static pthread_barrier_t turn;
static atomic_bool stop;
static uint64_t pauses[MOST_PAUSES], began;
static size_t pause_count;
static struct {
    uint64_t count, waits, longest_wait, longest;
} busy;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void see_pause(unsigned modes)
{
    if (modes & MOLE_MODE_STOPPED)
        began = now_ns();
    else if (began && pause_count < MOST_PAUSES)
        pauses[pause_count++] = now_ns() - began;
}

/* 16 bytes to 4 KiB, as many in each power of two. */
static size_t draw(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    size_t power = (size_t)16 << (*random >> 40) % 8;
    return power + (*random >> 48) % power;
}

static void *work_and_sleep(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    struct link *list = NULL;
    for (size_t bytes = 0; bytes < share;) {
        size_t size = draw(&random);
        struct link *block = HeapAlloc(heap, 0, size);
        memset(block, 1, size);
        block->next = list;
        list = block;
        bytes += size;
    }
    pthread_barrier_wait(&turn);
    while (list) {
        struct link *gone = list;
        list = gone->next;
        HeapFree(heap, 0, gone);
    }
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* the end */
    return NULL;
}

static uint64_t voluntary_switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nvcsw;
}

static void note_slow(uint64_t took, uint64_t *switches)
{
    uint64_t after = voluntary_switches();
    uint64_t *longest = after != *switches ? &busy.longest_wait : &busy.longest;
    busy.waits += after != *switches;
    *longest = took > *longest ? took : *longest;
    *switches = after;
}

static void *be_busy(void *argument)
{
    void *blocks[BUSY_BLOCKS] = {NULL};
    uint64_t random = 1;
    uint64_t switches = voluntary_switches();
    for (; !atomic_load_explicit(&stop, memory_order_relaxed); busy.count++) {
        void **place = &blocks[(random >> 33) % BUSY_BLOCKS];
        size_t size = draw(&random);
        uint64_t start = now_ns();
        if (*place)
            HeapFree(heap, 0, *place);
        *place = HeapAlloc(heap, 0, size);
        uint64_t took = now_ns() - start;
        if (took >= SLOW_NS)
            note_slow(took, &switches);
    }
    return argument;
}

static long resident_kib(void)
{
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int compare(const void *left, const void *right)
{
    uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;
    return (one > other) - (one < other);
}

/* Milliseconds until nine tenths of it are gone; 0: not in five seconds. */
static unsigned await_end(long start)
{
    long full = resident_kib() - start;
    for (unsigned ms = 10; ms <= 5000; ms += 10) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        if (resident_kib() - start < full / 10)
            return ms;
    }
    return 0;
}

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void print(unsigned ms)
{
    qsort(pauses, pause_count, sizeof *pauses, compare);
    size_t last = pause_count ? pause_count - 1 : 0;
    printf("idle_pauses %zu %zu pauses %zu %.1f %.1f %.1f", threads, share / 1024,
           pause_count, us(pauses[last / 2]), us(pauses[last * 99 / 100]),
           us(pauses[last]));
    printf(" busy %llu %llu %.1f %.1f gone %u\n", (unsigned long long)busy.count,
           (unsigned long long)busy.waits, us(busy.longest_wait), us(busy.longest), ms);
}

int main(int count, char **arguments)
{
    static pthread_t ids[MOST_THREADS + 1];
    if (count != 4 || sscanf(arguments[1], "%zu", &threads) != 1 || threads == 0 ||
        threads > MOST_THREADS || sscanf(arguments[2], "%zu", &share) != 1) {
        fputs("usage: idle_pauses THREADS KIB drained|kept\n", stderr);
        return 2;
    }
    if (!strcmp(arguments[3], "kept"))
        (void)mh_configure("purger:calls");
    share *= 1024;
    heap = HeapCreate(0, 0, 0);
    mole_mode_follow(mole_handle_heap(heap), see_pause);
    pthread_barrier_init(&turn, NULL, (unsigned)threads + 1);
    pthread_create(&ids[threads], NULL, be_busy, NULL);
    long start = resident_kib();
    for (uintptr_t i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, work_and_sleep, (void *)i);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    unsigned ms = await_end(start);
    atomic_store(&stop, true);
    pthread_join(ids[threads], NULL);
    pthread_barrier_wait(&turn);
    for (uintptr_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    print(ms);
    return 0;
}
