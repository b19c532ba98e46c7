/* SPDX-License-Identifier: MIT */
/*
 * Out of memory while heaps and blocks are made (inject.h), and over and over again.
 */
#include "inject.h"

static size_t grown;

static bool make_heap(size_t index)
{
    things[index] = HeapCreate(index % 2 ? HEAP_NO_SERIALIZE : 0, 0, 0);
    return things[index] != NULL;
}

static bool is_heap(size_t index)
{
    void *block = HeapAlloc(things[index], 0, 100);
    return block ? HeapFree(things[index], 0, block) : errno == ENOMEM;
}

static void destroy_heap(size_t index)
{
    (void)HeapAlloc(things[index], 0, 10);
    race_require(HeapDestroy(things[index]), "HeapDestroy failed");
}

static size_t small_bytes(size_t index)
{
    return index * 37 % 3000;
}

static bool make_small(size_t index)
{
    things[index] = HeapAlloc(heap, 0, small_bytes(index));
    return stamp(index, small_bytes(index));
}

static bool is_small(size_t index)
{
    return race_is_stamped(things[index], small_bytes(index), index) &&
           HeapSize(heap, 0, things[index]) == small_bytes(index);
}

static void free_block(size_t index)
{
    race_require(HeapFree(heap, 0, things[index]), "HeapFree failed");
}

static bool make_malloc(size_t index)
{
    things[index] = mh_malloc(small_bytes(index));
    return stamp(index, small_bytes(index));
}

static bool is_malloc(size_t index)
{
    return race_is_stamped(things[index], small_bytes(index), index);
}

static void free_malloc(size_t index)
{
    mh_free(things[index]);
}

enum { LARGE = 900 * 1024, ALIGNED = 70000 };

static bool make_large(size_t index)
{
    things[index] = HeapAlloc(heap, HEAP_ZERO_MEMORY, LARGE);
    race_require(!things[index] || race_is_zero(things[index], LARGE), "not zeroed");
    return stamp(index, LARGE);
}

static bool is_large(size_t index)
{
    return race_is_stamped(things[index], LARGE, index) &&
           HeapSize(heap, 0, things[index]) == LARGE;
}

static bool make_aligned(size_t index)
{
    things[index] = NULL;
    size_t align = (size_t)8192 << index % 8;
    int error = mh_posix_memalign(&things[index], align, ALIGNED);
    race_require((uintptr_t)things[index] % align == 0, "not aligned to %zu", align);
    errno = error ? error : errno;
    return stamp(index, ALIGNED);
}

static bool is_aligned(size_t index)
{
    return race_is_stamped(things[index], ALIGNED, index);
}

/* One block that grows; the index is how often it did. */
static size_t grown_bytes(size_t index)
{
    return 20000 + index * 150000;
}

static bool make_growth(size_t index)
{
    void *block = index
                      ? HeapReAlloc(heap, HEAP_ZERO_MEMORY, things[0], grown_bytes(index))
                      : HeapAlloc(heap, 0, grown_bytes(0));
    if (!block)
        return false;
    things[0] = block;
    grown = index;
    race_stamp(block, grown_bytes(index), 1);
    return true;
}

static bool is_growth(size_t index)
{
    (void)index;
    return race_is_stamped(things[0], grown_bytes(grown), 1) &&
           HeapSize(heap, 0, things[0]) == grown_bytes(grown);
}

static void free_growth(size_t index)
{
    if (index == 0)
        free_block(0);
}

static const struct scenario scenarios[] = {
    {"first use: malloc", 50, 50, true, false, make_malloc, is_malloc, free_malloc},
    {"first use: HeapCreate", 20, 20, true, false, make_heap, is_heap, destroy_heap},
    {"HeapCreate", 300, 60, false, false, make_heap, is_heap, destroy_heap},
    {"small blocks", 3000, 3000, false, false, make_small, is_small, free_block},
    {"malloc", 3000, 3000, false, false, make_malloc, is_malloc, free_malloc},
    {"large blocks", 24, 24, false, false, make_large, is_large, free_block},
    {"aligned blocks", 60, 60, false, false, make_aligned, is_aligned, free_malloc},
    {"growth of a large block", 24, 24, false, false, make_growth, is_growth,
     free_growth},
};

/* How many of the scenario's things can be made without a system call. */
static size_t room_for(const struct scenario *scenario)
{
    size_t count = 0;
    mole_pages_inject(1, true);
    while (count < MOST_THINGS && scenario->make(count))
        count++;
    mole_pages_inject(0, false);
    for (size_t i = count; i-- > 0;)
        scenario->unmake(i);
    return count;
}

/* The room varies a little with the sizes of slabs, which follow what was live before. */
static bool is_about(size_t room, size_t first)
{
    return room * 5 >= first * 4;
}

/* A thousand failures in a row must not cost anything. */
static int fail_often(const void *argument)
{
    const struct scenario *scenario = argument;
    heap = HeapCreate(0, 0, 0);
    (void)room_for(scenario);
    size_t first = room_for(scenario), last = first;
    for (size_t i = 0; i < race_size(300, 100, 5); i++)
        last = room_for(scenario);
    race_require(is_about(last, first),
                 "%s: room for %zu at first, for %zu after many failures", scenario->name,
                 first, last);
    for (size_t i = 0; i < 1000; i++) {
        mole_pages_inject(1, true);
        race_require(!mh_malloc((size_t)1 << 35), "half of the region was there");
        mole_pages_inject(0, false);
    }
    race_require(is_about(room_for(scenario), first), "%s: large failures cost room",
                 scenario->name);
    return atomic_load(&race_failed) ? RUN_FAILED : 0;
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && is_injected_at_start)
        return run_at_start(scenarios, argv);
    race_begin("inject");
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        try_scenario(scenarios, i, false);
        try_scenario(scenarios, i, true);
    }
    race_case(lost_ever > 0, "no move lost its target");
    for (size_t i = 2; i <= 5; i++)
        race_case(in_child(fail_often, &scenarios[i]) == 0, "%s: often",
                  scenarios[i].name);
    return race_end();
}
