/* SPDX-License-Identifier: MIT */
/*
 * What grows with threads, heaps and memory: the figures of docs/scaling.md. Prints one
 * line; nothing is asserted.
 *
 *   scaling membarrier N   ns of a membarrier while N threads run, p50 p99
 *   scaling lock N         ns of HeapLock and HeapUnlock of a heap that N idle threads
 *                          have caches in, p50 p99
 *   scaling line N         ns of an atomic addition that N threads do to one line: p50
 *                          p99 of 1000 at a time
 *   scaling map N          bytes resident for N GiB of blocks that nobody writes to
 *   scaling purge N        ms of processor time that HeapCompact needs after N GiB of
 *                          blocks were freed
 *   scaling purger N       us of processor time the purger takes in a second, N heaps
 *                          idle
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <molehill/heapapi.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 4096, ROUNDS = 2000 };

static pthread_t threads[MOST_THREADS];
static _Atomic(size_t) ready_a;
static _Atomic(bool) is_over_a;
static alignas(128) _Atomic(uint64_t) line_a;
static HANDLE heap;
static uint64_t times[ROUNDS];

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void start(size_t count, void *(*run)(void *))
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)1 << 16);
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], &attributes, run, NULL) != 0)
            abort();
    while (atomic_load(&ready_a) < count)
        sched_yield();
}

static void finish(size_t count)
{
    atomic_store(&is_over_a, true);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void *spin(void *unused)
{
    atomic_fetch_add(&ready_a, 1);
    while (!atomic_load_explicit(&is_over_a, memory_order_relaxed)) {
    }
    return unused;
}

static void *keep_a_cache(void *unused)
{
    for (unsigned i = 0; i < 100; i++)
        HeapFree(heap, 0, HeapAlloc(heap, 0, 64));
    atomic_fetch_add(&ready_a, 1);
    while (!atomic_load(&is_over_a))
        usleep(10000);
    return unused;
}

static void *sleep_on(void *unused)
{
    pause();
    return unused;
}

static void add_1000(void)
{
    for (unsigned i = 0; i < 1000; i++)
        atomic_fetch_add_explicit(&line_a, 1, memory_order_relaxed);
}

static void *add(void *unused)
{
    atomic_fetch_add(&ready_a, 1);
    while (!atomic_load_explicit(&is_over_a, memory_order_relaxed))
        add_1000();
    return unused;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* In units of `of` calls. */
static void measure(const char *name, size_t count, void (*run)(void), unsigned of)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t begin = clock_ns(CLOCK_MONOTONIC);
        run();
        times[i] = clock_ns(CLOCK_MONOTONIC) - begin;
    }
    qsort(times, ROUNDS, sizeof times[0], compare);
    printf("%s %zu %.1f %.1f ns\n", name, count, (double)times[ROUNDS / 2] / of,
           (double)times[ROUNDS / 100 * 99] / of);
}

static void barrier(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

static void lock(void)
{
    if (!HeapLock(heap) || !HeapUnlock(heap))
        abort();
}

static void membarriers(size_t count)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
        abort();
    start(count, spin);
    measure("membarrier", count, barrier, 1);
    finish(count);
}

static void locks(size_t count)
{
    start(count, keep_a_cache);
    measure("lock", count, lock, 1);
    finish(count);
}

static void lines(size_t count)
{
    count = count ? count : 1;
    start(count - 1, add); /* the first thread is one of them */
    measure("line", count, add_1000, 1000);
    finish(count - 1);
}

static uint64_t number_after(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *found = strstr(text, key);
    return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

static uint64_t rss_bytes(void)
{
    return number_after("/proc/self/smaps_rollup", "\nRss:") * 1024;
}

/* All of a slab's size, which a client that has as much would use. */
static void *allocate(size_t gib, size_t bytes, bool writes)
{
    size_t count = (gib << 30) / bytes;
    char **blocks = malloc(count * sizeof *blocks);
    for (size_t i = 0; blocks && i < count; i++) {
        blocks[i] = HeapAlloc(heap, 0, bytes);
        if (!blocks[i])
            abort();
        for (size_t at = 0; writes && at < bytes; at += 4096)
            blocks[i][at] = 1;
    }
    return blocks;
}

static void map(size_t gib)
{
    uint64_t before = rss_bytes();
    allocate(gib, (size_t)1 << 20, false);
    printf("map %zu %llu bytes\n", gib, (unsigned long long)(rss_bytes() - before));
}

static void purge(size_t gib)
{
    enum { BYTES = 1 << 16 };
    char **blocks = allocate(gib, BYTES, true);
    for (size_t i = 0; i < (gib << 30) / BYTES; i++)
        HeapFree(heap, 0, blocks[i]);
    uint64_t before = rss_bytes(), begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    HeapCompact(heap, 0);
    double ms = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / 1e6;
    printf("purge %zu %.1f ms for %llu MiB\n", gib, ms,
           (unsigned long long)((before - rss_bytes()) >> 20));
}

/* Of all threads but the first, which sleeps: there is only the purger. */
static uint64_t others_ns(void)
{
    uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    while (tasks && (entry = readdir(tasks))) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != getpid())
            sum += number_after(path, "");
    }
    closedir(tasks);
    return sum;
}

static void purger(size_t count)
{
    enum { SECONDS = 4 };
    pthread_t other; /* a process of one thread has no purger */
    pthread_create(&other, NULL, sleep_on, NULL);
    for (size_t i = 0; i < count; i++)
        if (!HeapAlloc(HeapCreate(0, 0, 0), 0, 64))
            abort();
    sleep(3);
    uint64_t before = others_ns();
    for (unsigned i = 0; i < SECONDS * 20; i++) {
        usleep(50000);
        HeapDestroy(HeapCreate(0, 0, 0)); /* so that it does not sleep longer */
    }
    printf("purger %zu %.0f us in a second\n", count,
           (double)(others_ns() - before) / 1000 / SECONDS);
    _exit(fflush(stdout));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(size_t);
    } modes[] = {{"membarrier", membarriers},
                 {"lock", locks},
                 {"line", lines},
                 {"map", map},
                 {"purge", purge},
                 {"purger", purger}};
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : MOST_THREADS * 1000;
    heap = HeapCreate(0, 0, 0);
    for (size_t i = 0; heap && i < sizeof modes / sizeof modes[0]; i++)
        if (argc == 3 && strcmp(argv[1], modes[i].name) == 0 &&
            (i > 2 || count <= MOST_THREADS)) {
            modes[i].run(count);
            return 0;
        }
    fprintf(stderr, "usage: scaling membarrier|lock|line|map|purge|purger NUMBER\n");
    return 1;
}
