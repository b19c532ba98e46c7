/* SPDX-License-Identifier: MIT */
/*
 * The operations that fork_step forks in: the first thread's, each prepared so that it
 * takes the path it is named after. The other thread does some errands for that.
 */
#pragma once

#include "fork_child.h"
#include "tcache/compact.h"

static void in_heap(size_t size)
{
    place = heap;
    bytes = size;
}

static void in_malloc(size_t size)
{
    place = NULL;
    bytes = size;
}

static void hold(void)
{
    race_require(held_count < ROOM, "too many blocks");
    held[held_count++] = allocate(place, bytes);
}

static void others_make(void)
{
    subject = make(place, bytes);
}

static struct mole_tcache *own_cache(void)
{
    return mole_thread_cache(place ? mole_heap_find(place) : mole_process_malloc_heap());
}

/* Whether the next block comes of the cache's mixed slab. */
static bool is_young(void)
{
    return place && bytes <= MOLE_MIXED_BYTES &&
           mole_mixed_serves(own_cache(), mole_size_class_of(bytes));
}

/* A free block in the current slab. */
static void with_hit(void)
{
    do
        (void)release(place, allocate(place, bytes));
    while (is_young());
}

/* A free block in the mixed slab. */
static void with_mixed(void)
{
    own_cache()->used[mole_size_class_of(bytes)] = 0;
    (void)release(place, allocate(place, bytes));
    race_require(is_young() && own_cache()->current[MOLE_CLASS_MIXED]->free != MOLE_END,
                 "nothing is free in the mixed slab");
}

static void with_block(void)
{
    subject = make(place, bytes);
}

/* The same while no free run is warm: into one of those it would be copied. */
static void with_cold(void)
{
    with_block();
    mole_pool_drain(mole_thread_slots());
    (void)mole_pool_purge();
}

/* A block of the thread that forks. */
static void with_theirs(void)
{
    step_have_done(others_make);
}

static bool has_nothing(void)
{
    const struct mole_tcache *cache = own_cache();
    unsigned class = mole_size_class_of(bytes);
    const struct mole_span *span = cache->current[class];
    return span->free == MOLE_END && span->fresh == span->capacity &&
           !cache->partial[class];
}

/* No free block anywhere, nor one that was never used: the next one is of a new slab. */
static void with_nothing(void)
{
    do
        hold();
    while (!has_nothing());
}

/* The same in the middle of a slab: the next block is of a page not carved yet. */
static void with_uncarved(void)
{
    with_nothing();
    do
        hold();
    while (own_cache()->current[mole_size_class_of(bytes)]->free != MOLE_END);
}

static void others_free_half(void)
{
    for (size_t keep = held_count / 2; held_count > keep;)
        (void)release(place, held[--held_count]);
    mole_tcache_flush(own_cache());
}

/* Blocks in the woken list, freed by the thread that forks. */
static void with_woken(void)
{
    while (held_count < ROOM / 5)
        hold();
    with_nothing();
    step_have_done(others_free_half);
}

/* The only block of a slab: freeing it empties the slab. */
static void with_last(void)
{
    with_nothing();
    hold();
    const struct mole_span *span = mole_span_map_find(held[held_count - 1]);
    with_nothing();
    hold();
    for (size_t i = 0; i < held_count;) {
        if (mole_span_map_find(held[i]) != span) {
            i++;
            continue;
        }
        if (subject.at)
            (void)release(place, subject.at);
        subject = (struct known){held[i], bytes, place};
        held[i] = held[--held_count];
    }
}

enum { LOOT = 24 };
static void *loot[LOOT];

static void others_make_loot(void)
{
    for (size_t i = 0; i < LOOT; i++)
        loot[i] = allocate(place, bytes);
}

/* Slabs of the thread that forks came back whole, and a new run is wanted here. */
static void with_loot(void)
{
    with_nothing();
    step_have_done(others_make_loot);
    for (size_t i = 0; i < LOOT; i++)
        (void)release(place, loot[i]);
}

static void free_it(void)
{
    (void)release(subject.heap, subject.at);
}

static void *leave_cache(void *argument)
{
    for (size_t i = 0; i < LOOT; i++)
        loot[i] = allocate(place, bytes);
    for (size_t i = 0; i < LOOT; i++)
        (void)release(place, loot[i]);
    return argument;
}

/*
 * There is some in the thread's cache and batches, in large blocks that it keeps, in a
 * cache without a thread, and in slabs of the thread that forks.
 */
static void with_room(void)
{
    race_join(race_thread(leave_cache, NULL));
    with_loot();
    while (held_count > 0)
        (void)release(place, held[--held_count]);
    (void)release(place, allocate(place, HUGE));
    with_theirs();
    free_it();
}

static void make_room(void)
{
    struct mole_use use = mole_thread_begin(mole_heap_find(place), false);
    race_require(mole_compact_in_need(&use, HUGE), "there is never so much");
    mole_thread_end(&use);
}

static void alloc(void)
{
    void *block = allocate(place, bytes);
    subject = (struct known){block, bytes, place};
}

static void resize(void)
{
    bytes = 2 * subject.bytes;
    void *block =
        place ? HeapReAlloc(place, 0, subject.at, bytes) : mh_realloc(subject.at, bytes);
    subject = (struct known){block, bytes, place};
}

static void create(void)
{
    extra = HeapCreate(0, 0, 0);
}

static void with_extra(void)
{
    create();
    for (size_t i = 0; i < 20; i++)
        (void)HeapAlloc(extra, 0, i * 500);
}

static void destroy(void)
{
    HANDLE ended = extra;
    extra = NULL;
    (void)HeapDestroy(ended);
}

static void others_create(void)
{
    create();
}

/*
 * Another thread's, so that it does not become a spare one. This thread's cache keeps
 * more empty slabs than each may.
 */
static void with_roomy_extra(void)
{
    step_have_done(others_create);
    for (size_t i = 0; i < ROOM / 4; i++)
        held[i] = HeapAlloc(extra, 0, RUN_BLOCK);
    for (size_t i = 0; i < ROOM / 4; i++)
        (void)HeapFree(extra, 0, held[i]);
    race_require(mole_empties_room() > 0, "the heap has none of the room");
}

/* A heap that is new to the first thread. */
static void with_new_heap(void)
{
    step_have_done(others_create);
}

static void visit(void)
{
    (void)HeapFree(extra, 0, HeapAlloc(extra, 0, bytes));
}

/* The list of a heap's runs. */
enum { RUNS = 3 };
static struct mole_run *runs[RUNS];
static size_t run_count;

static struct mole_arena *arena(void)
{
    return &mole_heap_find(heap)->arena;
}

static void link_run(void)
{
    runs[run_count] = mole_arena_take(arena(), NULL, 1, false);
    run_count++;
}

static void with_runs(void)
{
    while (run_count < RUNS)
        link_run();
}

/* The one between the others. */
static void unlink_run(void)
{
    struct mole_run *run = runs[1];
    runs[1] = runs[--run_count];
    mole_arena_give(arena(), NULL, run);
}

static void drop_runs(void)
{
    while (run_count > 0)
        mole_arena_give(arena(), NULL, runs[--run_count]);
}

static const struct operation {
    const char *name;
    void (*where)(size_t bytes);
    size_t bytes;
    void (*prepare)(void);
    void (*run)(void);
    bool is_dense; /* one instruction decides: fork at every one */
} operations[] = {
    {"malloc", in_malloc, SMALL, with_hit, alloc, true},
    {"malloc beyond the direct sizes", in_malloc, 3000, with_hit, alloc, false},
    {"malloc of a page not carved", in_malloc, SLAB_BLOCK, with_uncarved, alloc, false},
    {"malloc of a new slab", in_malloc, SLAB_BLOCK, with_nothing, alloc, false},
    {"malloc of a slab with a run of its own", in_malloc, 20000, with_nothing, alloc,
     false},
    {"malloc from the woken list", in_malloc, SMALL, with_woken, alloc, false},
    {"free by the owner", in_malloc, SMALL, with_block, free_it, true},
    {"free of a slab's last block", in_malloc, SLAB_BLOCK, with_last, free_it, false},
    {"free into a batch", in_malloc, SMALL, with_theirs, free_it, true},
    {"free that hands a batch over", in_malloc, 20000, with_theirs, free_it, false},
    {"HeapAlloc", in_heap, SMALL, with_hit, alloc, true},
    {"HeapAlloc of a mixed slab", in_heap, 200, with_mixed, alloc, true},
    {"HeapAlloc of 8192 bytes", in_heap, RUN_BLOCK, with_hit, alloc, false},
    {"HeapAlloc of a new slab", in_heap, SLAB_BLOCK, with_nothing, alloc, false},
    {"HeapAlloc that steals", in_heap, RUN_BLOCK, with_loot, alloc, false},
    {"HeapAlloc from the woken list", in_heap, SLAB_BLOCK, with_woken, alloc, false},
    {"HeapFree by the owner", in_heap, SMALL, with_block, free_it, true},
    {"HeapFree of a slab's last block", in_heap, SLAB_BLOCK, with_last, free_it, false},
    {"HeapFree of a run's last block", in_heap, RUN_BLOCK, with_last, free_it, false},
    {"HeapFree into a batch", in_heap, SMALL, with_theirs, free_it, true},
    {"HeapFree that hands a batch over", in_heap, 20000, with_theirs, free_it, false},
    {"HeapAlloc of a large block", in_heap, HUGE, with_hit, alloc, false},
    {"HeapFree of a large block", in_heap, HUGE, with_block, free_it, false},
    {"room made in need", in_heap, RUN_BLOCK, with_room, make_room, false},
    {"HeapReAlloc that moves pages", in_heap, HUGE, with_cold, resize, false},
    {"HeapReAlloc that copies", in_heap, SLAB_BLOCK, with_block, resize, false},
    {"linking a run", in_heap, SMALL, with_hit, link_run, true},
    {"unlinking a run", in_heap, SMALL, with_runs, unlink_run, true},
    {"HeapCreate", in_heap, SMALL, with_hit, create, false},
    {"HeapDestroy", in_heap, SMALL, with_extra, destroy, false},
    {"HeapDestroy of a heap with room", in_heap, SMALL, with_roomy_extra, destroy, false},
    {"a first block of a heap", in_heap, SMALL, with_new_heap, visit, false},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };
