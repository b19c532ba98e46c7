/* SPDX-License-Identifier: MIT */
/*
 * top-sites: from where a program allocates its bytes, estimated from a sample.
 *
 *   molehill attach PROCESS top-sites.so [sample:BYTES] [top:N] [depth:N] [by:live]
 *                                        [on:all]
 *   molehill detach PROCESS top-sites
 *
 * A block of n bytes is in the sample with the chance p = 1 - exp(-n / BYTES), and stands
 * for 1 / p blocks like it. Callbacks take no lock, allocate nothing and wait for nobody.
 */
#include <math.h>
#include <molehill/spy_module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observers/blocks.h"
#include "observers/report.h"
#include "observers/sites.h"
#include "observers/stack.h"

/* What was asked for; const while attached. */
static struct report_options options;
static size_t depth;
static struct timespec began;

/*
 * untracked_a: sampled blocks that found no room: their frees go unseen.
 *   writers  callbacks
 *   readers  the report
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) untracked_a;

static void count_live(const struct sample *sample, bool is_gone)
{
    struct site *site = &sites[sample->site];
    if (is_gone)
        sub_rlx(&site->live_a, sample->bytes);
    else
        add_rlx(&site->live_a, sample->bytes);
}

/* Count it as live before it can be found, so that live_a never is below 0. */
static void track(const void *block, const struct sample *sample)
{
    count_live(sample, false);
    if (blocks_add(block, sample))
        return;
    count_live(sample, true);
    add_rlx(&untracked_a, 1);
}

/* Count a block that stands for so many at the call stack we are in. */
static void enter(void *heap, const void *block, size_t bytes, float blocks)
{
    struct stack stack;
    stack_take(&stack, depth);
    struct sample sample = {.heap = heap,
                            .bytes = (uint64_t)((double)blocks * (double)bytes),
                            .blocks = blocks,
                            .site = sites_find(&stack)};
    struct site *site = &sites[sample.site];
    add_rlx(&site->total_a, sample.bytes);
    add_rlx(&site->blocks_a, (uint64_t)(blocks * SITES_BLOCK));
    add_rlx(&site->samples_a, 1);
    track(block, &sample);
}

static float stands_for(size_t bytes)
{
    double mean = (double)options.sample_bytes;
    return options.sample_bytes <= 1 || !bytes
               ? 1
               : (float)(-1 / expm1(-(double)bytes / mean));
}

static void on_allocated(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    enter(heap, block, bytes, stands_for(bytes));
}

static void on_freed(void *context, void *heap, void *block, size_t bytes)
{
    struct sample sample;
    (void)context;
    (void)heap;
    (void)bytes;
    if (blocks_take(block, &sample))
        count_live(&sample, true);
}

/* The block has less now, and stays with the call stack that asked for more. */
static void shrink(const void *block, struct sample *sample, size_t bytes)
{
    sample->bytes = (uint64_t)((double)sample->blocks * (double)bytes);
    track(block, sample);
}

/*
 * A block that grows is the call stack's that lets it. The bytes that came to it could
 * have been what brought it into the sample: it stands for as many as if it had been
 * allocated with them, or with more before.
 */
static void on_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                           void *block, size_t bytes)
{
    struct sample sample;
    float blocks = stands_for(bytes);
    bool is_known = blocks_take(old_block, &sample);
    (void)context;
    if (is_known) {
        count_live(&sample, true);
        if (sample.blocks < blocks)
            blocks = sample.blocks;
    }
    if (is_known && bytes <= old_bytes)
        shrink(block, &sample, bytes);
    else
        enter(heap, block, bytes, blocks);
}

/* Its blocks go with it. */
static void on_heap_destroyed(void *context, void *heap)
{
    struct sample sample;
    size_t at = 0;
    (void)context;
    while (blocks_take_of(heap, &at, &sample))
        count_live(&sample, true);
}

static struct mh_spy spy = {
    .size = sizeof spy,
    .name = "top-sites",
    .allocated = on_allocated,
    .freed = on_freed,
    .reallocated = on_reallocated,
    .heap_destroyed = on_heap_destroyed,
};

const unsigned mh_spy_module_version = MH_SPY_MODULE_VERSION;

/* The number behind `key`, if that is what the word begins with, and within bounds. */
static bool take_number(const char *word, const char *key, size_t least, size_t most,
                        size_t *number)
{
    size_t length = strlen(key);
    char *end;
    if (strncmp(word, key, length) != 0 || word[length] < '0' || word[length] > '9')
        return false;
    unsigned long long value = strtoull(word + length, &end, 10);
    if (*end || value < least || value > most)
        return false;
    *number = (size_t)value;
    return true;
}

static bool take_word(const char *word, void **heap)
{
    bool is_of_all = strcmp(word, "on:all") == 0;
    if (is_of_all)
        *heap = MH_SPY_ALL;
    if (is_of_all || strcmp(word, "on:malloc") == 0)
        return true;
    options.is_by_live = strcmp(word, "by:live") == 0;
    if (options.is_by_live || strcmp(word, "by:total") == 0)
        return true;
    return take_number(word, "sample:", 1, (size_t)1 << 40, &options.sample_bytes) ||
           take_number(word, "top:", 1, 1000, &options.top) ||
           take_number(word, "depth:", 1, STACK_MOST, &depth);
}

/* Usually the object was just loaded, and its pages were never touched. */
static void clear(void)
{
    static bool is_used;
    if (is_used) {
        sites_clear();
        blocks_clear();
        store_rlx(&untracked_a, 0);
    }
    is_used = true;
}

const struct mh_spy *mh_spy_module_start(const char *args, void **heap, char *error,
                                         size_t error_bytes)
{
    char text[512];
    char *rest = NULL;
    options = (struct report_options){.sample_bytes = (size_t)512 << 10, .top = 10};
    depth = 12;
    if (strlen(args) >= sizeof text) {
        snprintf(error, error_bytes, "too many arguments");
        return NULL;
    }
    memcpy(text, args, strlen(args) + 1);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!take_word(word, heap)) {
            snprintf(error, error_bytes,
                     "%.40s: it takes sample:BYTES top:N depth:N by:total|live "
                     "on:malloc|all",
                     word);
            return NULL;
        }
    clear();
    stack_prepare();
    spy.sample_bytes = options.sample_bytes <= 1 ? 0 : options.sample_bytes;
    clock_gettime(CLOCK_MONOTONIC, &began);
    return &spy;
}

void mh_spy_module_stop(void (*write)(void *to, const char *text, size_t bytes), void *to)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    options.seconds =
        (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9;
    options.untracked = load_rlx(&untracked_a);
    report(&options, write, to);
}
