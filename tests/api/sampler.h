/* SPDX-License-Identifier: MIT */
/* A sampling spy that checks what it is told: a table of the blocks that it heard of; and
 * how many there should be. */
#pragma once

#include <math.h>

#include "spies.h"

/* A sampler's own view: the blocks it heard of and that have not gone. */
enum { TABLE = 1 << 16 };

struct sampler {
    struct mh_spy spy;
    size_t live, allocated, freed, reallocated;
    size_t told_bytes;
    const char *wrong;
    struct {
        void *block; /* NULL: never used; the table itself: used before */
        size_t bytes;
    } table[TABLE];
};

static inline size_t place_of(const void *block)
{
    return (size_t)((uintptr_t)block * 0x9E3779B97F4A7C15u >> 48) % TABLE;
}

static inline bool has(const struct sampler *sampler, const void *block, size_t *place)
{
    for (*place = place_of(block); sampler->table[*place].block;
         *place = (*place + 1) % TABLE)
        if (sampler->table[*place].block == block)
            return true;
    return false;
}

static inline bool heard_of(const struct sampler *sampler, const void *block)
{
    size_t place;
    return has(sampler, block, &place);
}

static inline void add(struct sampler *sampler, void *block, size_t bytes)
{
    size_t place;
    if (has(sampler, block, &place) || sampler->live > TABLE / 2) {
        sampler->wrong = "a block came twice";
        return;
    }
    for (place = place_of(block);
         sampler->table[place].block && sampler->table[place].block != sampler->table;
         place = (place + 1) % TABLE) {
    }
    sampler->table[place].block = block;
    sampler->table[place].bytes = bytes;
    sampler->live++;
}

static inline void drop(struct sampler *sampler, void *block, size_t bytes)
{
    size_t place;
    if (!has(sampler, block, &place)) {
        sampler->wrong = "it was told of a block that it had not heard of";
        return;
    }
    if (sampler->table[place].bytes != bytes)
        sampler->wrong = "a block's size changed unheard";
    sampler->table[place].block = sampler->table;
    sampler->live--;
}

static inline void sample_allocated(void *context, void *heap, void *block, size_t bytes)
{
    struct sampler *sampler = context;
    (void)heap;
    sampler->allocated++;
    sampler->told_bytes += bytes;
    add(sampler, block, bytes);
}

static inline void sample_freed(void *context, void *heap, void *block, size_t bytes)
{
    struct sampler *sampler = context;
    (void)heap;
    sampler->freed++;
    drop(sampler, block, bytes);
}

static inline void sample_reallocated(void *context, void *heap, void *old,
                                      size_t old_bytes, void *block, size_t bytes)
{
    struct sampler *sampler = context;
    (void)heap;
    sampler->reallocated++;
    drop(sampler, old, old_bytes);
    add(sampler, block, bytes);
}

static inline void begin_sampler(struct sampler *sampler, size_t sample_bytes, void *heap)
{
    memset(sampler, 0, sizeof *sampler);
    sampler->spy = (struct mh_spy){.size = sizeof sampler->spy,
                                   .context = sampler,
                                   .sample_bytes = sample_bytes,
                                   .allocated = sample_allocated,
                                   .freed = sample_freed,
                                   .reallocated = sample_reallocated};
    attach(&sampler->spy, heap);
}

static inline void expect_right(const struct sampler *sampler)
{
    require(!sampler->wrong, "%s", sampler->wrong);
    require(sampler->live == sampler->allocated - sampler->freed, "%zu of %zu - %zu live",
            sampler->live, sampler->allocated, sampler->freed);
}

/* `hits` of `tries`, each with the chance `share`: within six standard deviations. */
static inline void expect_share(size_t hits, size_t tries, double share, const char *what)
{
    double mean = (double)tries * share;
    double bound = 6 * sqrt(mean * (1 - share)) + 1;
    require(fabs((double)hits - mean) <= bound, "%s: %zu of %zu, not %.1f +- %.1f", what,
            hits, tries, mean, bound);
}

/* The chance that one of so many bytes is picked. */
static inline double share_of(size_t bytes, size_t sample_bytes)
{
    return -expm1(-(double)bytes / (double)sample_bytes);
}
