/* SPDX-License-Identifier: MIT */
/*
 * Histograms of times with a fixed relative error, and the clock they are measured with.
 * A value is counted in one of 32 equal parts of its power of two, so what is read back,
 * the middle of that part, is off by 1/64 at most; the largest value is kept as it is.
 * One thread writes one histogram; its memory is the caller's, zeroed.
 *
 * A tick is one of the processor's time stamp counter where there is one, else a
 * nanosecond. The fences keep what is measured between the two readings.
 */
#pragma once

#include <stdint.h>
#include <time.h>

enum { PERF_PART_BITS = 5, PERF_PARTS = 1 << PERF_PART_BITS };

struct perf_histogram {
    uint64_t counts[(64 - PERF_PART_BITS + 1) * PERF_PARTS];
    uint64_t total;
    uint64_t most;
};

#if defined __x86_64__

static inline uint64_t perf_ticks_begin(void)
{
    uint32_t low, high;
    __asm__ volatile("mfence\n\tlfence\n\trdtsc\n\tlfence"
                     : "=a"(low), "=d"(high)
                     :
                     : "memory");
    return (uint64_t)high << 32 | low;
}

static inline uint64_t perf_ticks_end(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtscp\n\tlfence" : "=a"(low), "=d"(high) : : "rcx", "memory");
    return (uint64_t)high << 32 | low;
}

#else

static inline uint64_t perf_ticks_begin(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t perf_ticks_end(void)
{
    return perf_ticks_begin();
}

#endif

/* The place of a value: itself below PERF_PARTS, then PERF_PARTS to a power of two. */
static inline unsigned perf_histogram_place(uint64_t value)
{
    if (value < PERF_PARTS)
        return (unsigned)value;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value) - PERF_PART_BITS;
    return (octave << PERF_PART_BITS) + (unsigned)(value >> octave);
}

/* The middle of the values that are counted there. */
static inline uint64_t perf_histogram_value(unsigned place)
{
    if (place < 2 * PERF_PARTS)
        return place;
    unsigned octave = (place >> PERF_PART_BITS) - 1;
    uint64_t low = (uint64_t)(place - (octave << PERF_PART_BITS)) << octave;
    return low + ((uint64_t)1 << octave) / 2;
}

static inline void perf_histogram_add(struct perf_histogram *histogram, uint64_t value)
{
    histogram->counts[perf_histogram_place(value)]++;
    histogram->total++;
    if (value > histogram->most)
        histogram->most = value;
}

/* Add all of `from` to `to`. */
void perf_histogram_join(struct perf_histogram *to, const struct perf_histogram *from);

/* The least value that `share` (0 to 1) of all values are no greater than. */
uint64_t perf_histogram_quantile(const struct perf_histogram *histogram, double share);

/* Ticks per nanosecond, measured against CLOCK_MONOTONIC for 20 ms. */
double perf_ticks_per_ns(void);
