/* SPDX-License-Identifier: MIT */
/*
 * What every workload shares: its options, its lanes, the clock, random numbers, and the
 * one line printed at the end. A workload defines `perf_workload`; main is in harness.c.
 * Memory of the harness and of a workload's own tables comes from mmap, never from the
 * allocator measured.
 *
 *   program name target threads ops [key=value ...]
 *
 * prints `workload target threads bytes ops min median max ns/op peak_rss faults
 * after_rss`, see README.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A lane is one thread of the workload, from 0; with one lane the process stays
 * single-threaded.
 */
struct perf_workload {
    /* Once, before any lane runs; not timed. */
    void (*setup)(void);
    /* A lane's share of a repetition, timed: about `ops` operations, returns how many. */
    uint64_t (*run)(unsigned lane, uint64_t ops);
    /* Repetitions before any is counted, 0 for one; `warmed` is told of each from 0. */
    unsigned warm_ups;
    void (*warmed)(unsigned turn); /* NULL: nobody wants to know; the lanes wait */
    /* NULL, or prints lines of its own before the usual one. */
    void (*report)(const char *name, const char *target);
    /*
     * Frees what the lane's repetitions left allocated, after the last; not timed. NULL:
     * they leave nothing.
     */
    void (*finish)(unsigned lane);
};

extern const struct perf_workload perf_workload;

unsigned perf_lanes(void); /* how many lanes run, at least 1 */

/*
 * The value of `key=` on the command line (suffixes k and m: 1024 and 1024²), or
 * `fallback`. A key that nobody has asked for when the measuring begins is refused.
 */
uint64_t perf_option(const char *key, uint64_t fallback);

/* What follows `key=` on the command line, NULL if it is not there. */
const char *perf_text(const char *key);

/*
 * At the end of setup: from now on so many bytes of what is resident are a workload's own
 * and no part of the line's peak_rss; nor is what was given back by now.
 */
void perf_hide_pages(size_t bytes);

/* `bytes` of zeroed, resident memory that lives until the process ends. */
void *perf_pages(size_t bytes);

/*
 * Says why on stderr and exits with 1: a set-up that failed, an option that makes no
 * sense.
 */
_Noreturn void perf_die(const char *why);

/* Random numbers: small, fast, the same in each run. One state per lane. */
struct perf_random {
    uint64_t state;
};

static inline void perf_random_seed(struct perf_random *random, uint64_t seed)
{
    random->state = (seed + 1) * 0x9e3779b97f4a7c15u;
}

static inline uint64_t perf_random_next(struct perf_random *random)
{
    uint64_t x = random->state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    random->state = x;
    return x;
}

/* Uniform in 0 to limit-1; limit below 2^32. */
static inline uint64_t perf_random_below(struct perf_random *random, uint64_t limit)
{
    return (perf_random_next(random) >> 32) * limit >> 32;
}

/* Block sizes drawn before the clock starts: 4 KiB of them, read round and round. */
#define PERF_SIZE_COUNT 1024u

struct perf_sizes {
    uint32_t at[PERF_SIZE_COUNT];
};

/* Draws sizes from min to max: uniform, or if `log` as many in each power of two. */
void perf_sizes_draw(struct perf_sizes *sizes, uint64_t min, uint64_t max, bool log);

/*
 * The same from the options min=, max= and log=, and shows the range in the line's
 * `bytes`.
 */
void perf_sizes_from_options(struct perf_sizes *sizes);

/* Shows min-max in the line's `bytes`, for a workload whose sizes follow another rule. */
void perf_show_bytes(uint64_t min, uint64_t max);

static inline size_t perf_size(const struct perf_sizes *sizes, uint64_t i)
{
    return sizes->at[i & (PERF_SIZE_COUNT - 1)];
}

/* Writes a new block's first byte, as its user would. */
static inline void perf_touch(void *block)
{
    *(volatile char *)block = 1;
}

#define PERF_PAGE 4096u

/* Writes the first byte of each page from `from` up to `bytes`. */
static inline void perf_touch_pages(void *block, size_t from, size_t bytes)
{
    for (size_t at = from; at < bytes; at += PERF_PAGE)
        *((volatile char *)block + at) = 1;
}

/* One turn of waiting for another lane: pauses at first, then lets others run. */
void perf_wait_turn(unsigned *turns);
