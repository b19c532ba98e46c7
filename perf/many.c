/* SPDX-License-Identifier: MIT */
/*
 * Many heaps used by many threads. Before the clock starts the lanes create `heaps`
 * heaps, an equal share each, and then allocate `blocks` blocks in each heap: its creator
 * all of them, or with visitors=N so many by each of N lanes, the creator and those after
 * it. Then an op is one block's allocation and free in a heap picked at random among all
 * of them, or with own=1 among the lane's own. Prints besides
 *
 *   name:memory target threads heaps blocks live_bytes rss_bytes after_bytes
 *
 * where rss is what has become resident since before the first heap was created, with the
 * threads running already, and `after` the same once the pairs are done. malloc knows one
 * heap only, which stands for all of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "target.h"

enum { START, CREATE, FILL, WARM, TURNS };

struct lane {
    unsigned turn;
    uint64_t live_bytes;
    struct perf_random random;
};

static struct perf_sizes sizes;
static uint64_t heap_count, blocks, visitors, own;
static void **heaps;
static struct lane *lanes;
static uint64_t rss_before, rss_filled;

/* Exact, unlike statm: that one lags behind by some pages of each thread's. */
static uint64_t rss_bytes(void)
{
    char text[512];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, "\nRss:");
    if (line == NULL)
        perf_die("many: /proc/self/smaps_rollup does not tell");
    return strtoull(line + 5, NULL, 10) * 1024;
}

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    heap_count = perf_option("heaps", 100);
    blocks = perf_option("blocks", 10);
    visitors = perf_option("visitors", 1);
    own = perf_option("own", 0);
    if (heap_count == 0 || heap_count > 10u << 20)
        perf_die("many: heaps must be 1 to 10m");
    if (visitors == 0 || visitors > perf_lanes())
        perf_die("many: visitors must be 1 to the number of threads");
    heaps = perf_pages(heap_count * sizeof *heaps);
    lanes = perf_pages(perf_lanes() * sizeof *lanes);
    for (unsigned i = 0; i < perf_lanes(); i++)
        perf_random_seed(&lanes[i].random, i);
}

static void create_heaps(unsigned index)
{
    for (uint64_t i = index; i < heap_count; i += perf_lanes()) {
        heaps[i] = PERF_SCOPE_CREATE();
#if defined TARGET_HEAP
        if (heaps[i] == NULL)
            perf_die("many: no heap to be had");
#endif
    }
}

static void *alloc(uint64_t heap, size_t bytes)
{
    void *block = PERF_SCOPE_ALLOC(heaps[heap], bytes);
    if (block == NULL)
        perf_die("many: no memory");
    perf_touch(block);
    return block;
}

/* The lane's part: in the heaps it created, and in those of the lanes before it. */
static void fill_heaps(unsigned index)
{
    struct lane *lane = &lanes[index];
    for (uint64_t heap = 0; heap < heap_count; heap++) {
        uint64_t creator = heap % perf_lanes();
        uint64_t place = (index + perf_lanes() - creator) % perf_lanes();
        for (uint64_t i = 0; place < visitors && i < blocks; i++) {
            size_t bytes = perf_size(&sizes, perf_random_next(&lane->random));
            (void)alloc(heap, bytes);
            lane->live_bytes += bytes;
        }
    }
}

static uint64_t pick(unsigned index)
{
    struct perf_random *random = &lanes[index].random;
    if (!own || index >= heap_count)
        return perf_random_below(random, heap_count);
    uint64_t share = (heap_count - index - 1) / perf_lanes() + 1;
    return index + perf_lanes() * perf_random_below(random, share);
}

static uint64_t run(unsigned index, uint64_t ops)
{
    unsigned turn = lanes[index].turn++;
    if (turn == START)
        return 1;
    if (turn == CREATE)
        create_heaps(index);
    if (turn == FILL)
        fill_heaps(index);
    if (turn == CREATE || turn == FILL)
        return 1;
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t heap = pick(index);
        PERF_SCOPE_RELEASE(heaps[heap], alloc(heap, perf_size(&sizes, i)));
    }
    return ops;
}

static void warmed(unsigned turn)
{
    if (turn == START)
        rss_before = rss_bytes();
    if (turn == FILL)
        rss_filled = rss_bytes();
}

static void report(const char *name, const char *target)
{
    uint64_t live_bytes = 0;
    for (unsigned i = 0; i < perf_lanes(); i++)
        live_bytes += lanes[i].live_bytes;
    printf("%s:memory %s %u %llu %llu %llu %llu %llu\n", name, target, perf_lanes(),
           (unsigned long long)heap_count,
           (unsigned long long)(heap_count * blocks * visitors),
           (unsigned long long)live_bytes, (unsigned long long)(rss_filled - rss_before),
           (unsigned long long)(rss_bytes() - rss_before));
}

const struct perf_workload perf_workload = {
    .setup = setup,
    .run = run,
    .warm_ups = TURNS,
    .warmed = warmed,
    .report = report,
};
