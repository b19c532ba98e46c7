/* SPDX-License-Identifier: MIT */
/*
 * How long single operations take in mixed load. Each lane has `live` places; an op looks
 * at one at random. An empty one gets a block, one in seven by calloc. A block there is
 * resized, one in ten, or freed, one in four of those by the next lane, which gets it
 * through a ring; blocks live as long as chance has it. Sizes: of 1000 blocks 900 have 16
 * B to 1 KiB, 90 up to 32 KiB, 10 up to 1 MiB, in each range as many in each power of
 * two.
 *
 * Each call is timed alone (histogram.h) and new pages are touched in the open: `touch`.
 * `nothing` is the clock read twice with nothing between, once for each op: its median is
 * what the clock costs, and is taken off all figures; its tail is the machine's own.
 * Prints for each operation, and for the four together:
 *
 *   name:operation target threads calls p50 p99 p99.99 max ns
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "histogram.h"
#include "target.h"

enum kind { MALLOC, CALLOC, REALLOC, FREE, REMOTE, TOUCH, NOTHING, KINDS };

static const char *const kind_names[KINDS] = {
    "malloc", "calloc", "realloc", "free", "free-remote", "touch", "nothing",
};

enum { RING = 256, LEAST_BYTES = 16, MOST_BYTES = 1 << 20, DRAWS = 8192 };

/* Blocks on their way from one lane to the next, which frees them. */
struct ring {
    _Alignas(128) _Atomic(uint64_t) put_a;   /* by the lane before */
    _Alignas(128) _Atomic(uint64_t) taken_a; /* by the lane */
    void *block[RING];
};

struct place {
    void *block;
    size_t bytes;
};

struct lane {
    struct perf_histogram kinds[KINDS];
    struct perf_random random;
    struct ring ring;
};

static struct lane *lanes;
static struct place *places; /* `live` for each lane */
static uint64_t live;
static uint32_t sizes[DRAWS];

static size_t draw_size(struct perf_random *random)
{
    static const struct {
        unsigned until, shift, octaves;
    } ranges[] = {{900, 4, 6}, {990, 10, 5}, {1000, 15, 5}};
    unsigned i = 0;
    uint64_t drawn = perf_random_below(random, 1000);
    while (drawn >= ranges[i].until)
        i++;
    uint64_t low =
        (uint64_t)1 << (ranges[i].shift + perf_random_below(random, ranges[i].octaves));
    return low + perf_random_below(random, low);
}

static void setup(void)
{
    live = perf_option("live", 4096);
    if (live == 0 || live > 1u << 24)
        perf_die("latency: live must be 1 to 16m");
    lanes = perf_pages(perf_lanes() * sizeof *lanes);
    places = perf_pages(perf_lanes() * live * sizeof *places);
    struct perf_random random;
    perf_random_seed(&random, 4711);
    for (unsigned i = 0; i < DRAWS; i++)
        sizes[i] = (uint32_t)draw_size(&random);
    for (unsigned i = 0; i < perf_lanes(); i++)
        perf_random_seed(&lanes[i].random, i);
    perf_show_bytes(LEAST_BYTES, MOST_BYTES);
}

static size_t next_size(struct lane *lane)
{
    return sizes[perf_random_below(&lane->random, DRAWS)];
}

static void note(struct lane *lane, enum kind kind, uint64_t begin)
{
    perf_histogram_add(&lane->kinds[kind], perf_ticks_end() - begin);
}

static void touch(struct lane *lane, void *block, size_t from, size_t bytes)
{
    uint64_t begin = perf_ticks_begin();
    perf_touch_pages(block, from, bytes);
    note(lane, TOUCH, begin);
}

static void fill(struct lane *lane, struct place *place)
{
    size_t bytes = next_size(lane);
    bool is_zeroed = perf_random_below(&lane->random, 7) == 0;
    void *block;
    uint64_t begin = perf_ticks_begin();
    if (is_zeroed) {
        block = PERF_CALLOC(bytes);
        note(lane, CALLOC, begin);
    } else {
        block = PERF_ALLOC(bytes);
        note(lane, MALLOC, begin);
    }
    if (block == NULL)
        perf_die("latency: no memory");
    touch(lane, block, 0, bytes);
    *place = (struct place){.block = block, .bytes = bytes};
}

/* Half of them double, the others get a new size of any kind. */
static void resize(struct lane *lane, struct place *place)
{
    size_t bytes = next_size(lane);
    if (perf_random_below(&lane->random, 2) == 0 && place->bytes <= MOST_BYTES / 2)
        bytes = 2 * place->bytes;
    uint64_t begin = perf_ticks_begin();
    void *block = PERF_REALLOC(place->block, bytes);
    note(lane, REALLOC, begin);
    if (block == NULL)
        perf_die("latency: no memory");
    touch(lane, block, bytes > place->bytes ? place->bytes : bytes - 1, bytes);
    *place = (struct place){.block = block, .bytes = bytes};
}

static void release(struct lane *lane, enum kind kind, void *block)
{
    uint64_t begin = perf_ticks_begin();
    PERF_FREE(block);
    note(lane, kind, begin);
}

/* Whether the ring had room. */
static bool hand_on(struct ring *ring, void *block)
{
    uint64_t put = atomic_load_explicit(&ring->put_a, memory_order_relaxed);
    if (put - atomic_load_explicit(&ring->taken_a, memory_order_acquire) == RING)
        return false;
    ring->block[put % RING] = block;
    atomic_store_explicit(&ring->put_a, put + 1, memory_order_release);
    return true;
}

static void free_what_came(struct lane *lane)
{
    struct ring *ring = &lane->ring;
    uint64_t taken = atomic_load_explicit(&ring->taken_a, memory_order_relaxed);
    if (taken == atomic_load_explicit(&ring->put_a, memory_order_acquire))
        return;
    release(lane, REMOTE, ring->block[taken % RING]);
    atomic_store_explicit(&ring->taken_a, taken + 1, memory_order_release);
}

static void drop(unsigned index, struct place *place)
{
    struct lane *lane = &lanes[index];
    unsigned next = index + 1 < perf_lanes() ? index + 1 : 0;
    bool is_remote = next != index && perf_random_below(&lane->random, 4) == 0;
    if (!is_remote || !hand_on(&lanes[next].ring, place->block))
        release(lane, FREE, place->block);
    place->block = NULL;
}

static void step(unsigned index)
{
    struct lane *lane = &lanes[index];
    struct place *place = &places[index * live + perf_random_below(&lane->random, live)];
    note(lane, NOTHING, perf_ticks_begin());
    if (place->block == NULL)
        fill(lane, place);
    else if (perf_random_below(&lane->random, 10) == 0)
        resize(lane, place);
    else
        drop(index, place);
    free_what_came(lane);
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    for (uint64_t done = 0; done < ops; done++)
        step(lane);
    return ops;
}

static void warmed(unsigned turn)
{
    (void)turn;
    for (unsigned i = 0; i < perf_lanes(); i++)
        memset(lanes[i].kinds, 0, sizeof lanes[i].kinds);
}

static void print(const char *name, const char *operation, const char *target,
                  const struct perf_histogram *histogram, uint64_t clock, double per_ns)
{
    double shares[] = {0.5, 0.99, 0.9999, 1};
    printf("%s:%s %s %u %llu", name, operation, target, perf_lanes(),
           (unsigned long long)histogram->total);
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t ticks =
            i < 3 ? perf_histogram_quantile(histogram, shares[i]) : histogram->most;
        printf(" %.1f", ticks > clock ? (double)(ticks - clock) / per_ns : 0.0);
    }
    printf(" ns\n");
}

static void report(const char *name, const char *target)
{
    static struct perf_histogram kinds[KINDS], all;
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < perf_lanes(); i++)
            perf_histogram_join(&kinds[kind], &lanes[i].kinds[kind]);
    for (unsigned kind = MALLOC; kind <= REMOTE; kind++)
        perf_histogram_join(&all, &kinds[kind]);
    double per_ns = perf_ticks_per_ns();
    uint64_t clock = perf_histogram_quantile(&kinds[NOTHING], 0.5);
    for (unsigned kind = 0; kind < KINDS; kind++)
        print(name, kind_names[kind], target, &kinds[kind], kind == NOTHING ? 0 : clock,
              per_ns);
    print(name, "all", target, &all, clock, per_ns);
}

const struct perf_workload perf_workload = {
    .setup = setup, .run = run, .warmed = warmed, .report = report};
