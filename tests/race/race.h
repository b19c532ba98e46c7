/* SPDX-License-Identifier: MIT */
/*
 * What the race programs share: cases counted and closed with `N passed, M failed, K
 * skipped`, a printed seed, sizes for sanitizers and valgrind (MOLE_BRIEF=1 and 2),
 * counters of the library, and blocks that tell whether they were disturbed. Plain main()
 * programs: ThreadSanitizer and Criterion do not go together.
 */
#pragma once

#include <errno.h>
#include <molehill/heapapi.h>
#include <molehill/molehill.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOLE_MALLOC_PREFIX 1
#include "malloc/names.h"

/* Not used by every program. */
#define race_maybe __attribute__((unused))

#if defined(__has_feature)
#define RACE_HAS_FEATURE(name) __has_feature(name)
#else
#define RACE_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || RACE_HAS_FEATURE(thread_sanitizer)
enum { RACE_TSAN = 1 };
#else
enum { RACE_TSAN = 0 };
#endif

#if defined(__SANITIZE_ADDRESS__) || RACE_HAS_FEATURE(address_sanitizer)
enum { RACE_ASAN = 1 };
#else
enum { RACE_ASAN = 0 };
#endif

static const char *race_name;
static uint64_t race_seed;
static atomic_uint race_passed, race_failed, race_skipped;

/* 0: full size; 1: under a sanitizer; 2: under valgrind. */
static int race_brief(void)
{
    const char *brief = getenv("MOLE_BRIEF");
    int level = brief ? atoi(brief) : 0;
    return level < 0 ? 0 : level > 2 ? 2 : level;
}

/* The size of something that costs time, by how brief the run is to be. */
static race_maybe size_t race_size(size_t full, size_t brief, size_t briefest)
{
    size_t sizes[] = {full, brief, briefest};
    return sizes[race_brief()];
}

static race_maybe uint64_t race_mix(uint64_t n)
{
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
}

/* The next number of a sequence; `state` is the caller's. */
static race_maybe uint64_t race_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return race_mix(*state);
}

static race_maybe size_t race_below(uint64_t *state, size_t limit)
{
    return (size_t)(race_next(state) % limit);
}

/* Seconds since some start. */
static race_maybe double race_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static race_maybe void race_sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* Name the program and print the seed; MOLE_SEED repeats an earlier run's. */
static race_maybe void race_begin(const char *name)
{
    const char *given = getenv("MOLE_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    race_name = name;
    race_seed =
        given ? strtoull(given, NULL, 0)
              : race_mix((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s: MOLE_SEED=0x%llx MOLE_BRIEF=%d\n", name, (unsigned long long)race_seed,
           race_brief());
}

/* The closing line, and the exit status. */
static race_maybe int race_end(void)
{
    printf("%u passed, %u failed, %u skipped\n", atomic_load(&race_passed),
           atomic_load(&race_failed), atomic_load(&race_skipped));
    fflush(stdout);
    return atomic_load(&race_failed) ? 1 : 0;
}

/* Say what went wrong; the program ends at once after too much of it. */
__attribute__((format(printf, 1, 2))) static race_maybe void race_fail(const char *format,
                                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    char line[400];
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    printf("%s: FAILED: %s\n", race_name, line);
    if (atomic_fetch_add(&race_failed, 1) + 1 < 20)
        return;
    race_end();
    _exit(1);
}

/* One case: passed when `condition` holds. */
#define race_case(condition, ...) \
    ((condition) ? (void)atomic_fetch_add(&race_passed, 1) : race_fail(__VA_ARGS__))

/* Something that must hold all the time and is no case of its own. */
#define race_require(condition, ...) ((condition) ? (void)0 : race_fail(__VA_ARGS__))

__attribute__((format(printf, 1, 2))) static race_maybe void race_skip(const char *format,
                                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    char line[400];
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    printf("%s: SKIPPED: %s\n", race_name, line);
    atomic_fetch_add(&race_skipped, 1);
}

static race_maybe struct mh_stats race_stats(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    if (mh_stats_get(&stats) != 0)
        race_fail("mh_stats_get failed");
    return stats;
}

/* Requested bytes of the heap's live blocks. */
static race_maybe size_t race_allocated(HANDLE heap)
{
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    if (!HeapSummary(heap, 0, &summary)) {
        race_fail("HeapSummary failed");
        return 0;
    }
    return summary.cbAllocated;
}

/* Resident bytes of the process. */
static race_maybe size_t race_resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long all = 0, resident = 0;
    if (!file || fscanf(file, "%lu %lu", &all, &resident) != 2)
        race_fail("/proc/self/statm cannot be read");
    if (file)
        fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static race_maybe pthread_t race_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);
    if (error) {
        race_fail("pthread_create: %s", strerror(error));
        race_end();
        _exit(1);
    }
    return thread;
}

static race_maybe void race_join(pthread_t thread)
{
    int error = pthread_join(thread, NULL);
    race_require(error == 0, "pthread_join: %s", strerror(error));
}

/*
 * Fill a block with what only `key` produces. A shorter stamp is a prefix of a longer
 * one.
 */
static race_maybe void race_stamp(void *block, size_t bytes, uint64_t key)
{
    unsigned char *at = block;
    size_t left = bytes;
    for (; left >= 8; at += 8, left -= 8) {
        memcpy(at, &key, 8);
        key += 0x9e3779b97f4a7c15u;
    }
    memcpy(at, &key, left);
}

static race_maybe bool race_is_stamped(const void *block, size_t bytes, uint64_t key)
{
    const unsigned char *at = block;
    size_t left = bytes;
    uint64_t wrong = 0;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wrong |= word ^ key;
        key += 0x9e3779b97f4a7c15u;
    }
    return !wrong && memcmp(at, &key, left) == 0;
}

static race_maybe bool race_is_zero(const void *block, size_t bytes)
{
    const unsigned char *at = block;
    return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0);
}
