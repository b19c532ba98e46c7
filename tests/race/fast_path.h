/* SPDX-License-Identifier: MIT */
/*
 * What fast_path_step's two threads do besides the operation that is stepped: the victim,
 * which is stopped, and the worker, which runs on and at each stop does a round of
 * everything. Blocks that one of them allocates and the other frees pass through
 * supplies.
 */
#pragma once

#include "arena/span_map.h"
#include "step.h"
#include "tcache/block.h"
#include "tcache/process.h"

enum {
    SMALL = 64,
    MEDIUM = 3000,       /* in a slab, but beyond the direct sizes */
    HALF_BATCH = 8192,   /* two fill a batch */
    WHOLE_BATCH = 20000, /* one does */
    LARGE = 100000,      /* a run of its own, kept when it is free */
    HUGE = 2 << 20,      /* one that is not: takes the arena's lock */
    ROUND_OPERATIONS = 20,
};

static HANDLE heap;  /* everybody's */
static HANDLE alone; /* HEAP_NO_SERIALIZE, the victim's */

/* --- blocks that one thread allocates and the other frees --------------------------- */

enum { SUPPLY_ROOM = 8192, SUPPLY_LOW = 64 };

struct supply {
    size_t bytes;
    bool is_malloc;
    size_t wanted;
    atomic_size_t put; /* writer: who allocates */
    atomic_size_t got; /* writer: who frees */
    void *blocks[SUPPLY_ROOM];
};

enum { HEAP_SMALL, HEAP_BATCH, MALLOC_SMALL, MALLOC_BATCH, SUPPLIES };

static struct supply to_worker[SUPPLIES] = {
    {.bytes = SMALL, .wanted = STEP_MOST + SUPPLY_LOW},
    {.bytes = HALF_BATCH, .wanted = STEP_MOST + SUPPLY_LOW},
    {.bytes = SMALL, .wanted = STEP_MOST + SUPPLY_LOW, .is_malloc = true},
    {.bytes = HALF_BATCH, .wanted = STEP_MOST + SUPPLY_LOW, .is_malloc = true},
};
static struct supply to_victim[SUPPLIES] = {
    {.bytes = SMALL, .wanted = SUPPLY_LOW},
    {.bytes = WHOLE_BATCH, .wanted = SUPPLY_LOW},
    {.bytes = SMALL, .wanted = SUPPLY_LOW, .is_malloc = true},
    {.bytes = WHOLE_BATCH, .wanted = SUPPLY_LOW, .is_malloc = true},
};

static void supply_fill(struct supply *supplies)
{
    for (struct supply *supply = supplies; supply < supplies + SUPPLIES; supply++)
        while (atomic_load(&supply->put) - atomic_load(&supply->got) < supply->wanted) {
            void *block = supply->is_malloc ? mh_malloc(supply->bytes)
                                            : HeapAlloc(heap, 0, supply->bytes);
            race_require(block != NULL, "no block of %zu bytes", supply->bytes);
            supply->blocks[atomic_load(&supply->put) % SUPPLY_ROOM] = block;
            atomic_fetch_add(&supply->put, 1);
        }
}

/* NULL: it is empty. */
static void *supply_try_get(struct supply *supply)
{
    size_t got = atomic_load(&supply->got);
    if (got == atomic_load(&supply->put))
        return NULL;
    void *block = supply->blocks[got % SUPPLY_ROOM];
    atomic_fetch_add(&supply->got, 1);
    return block;
}

static void *supply_get(struct supply *supply)
{
    void *block;
    while (!(block = supply_try_get(supply)))
        sched_yield();
    return block;
}

static void supply_empty(struct supply *supplies)
{
    for (struct supply *supply = supplies; supply < supplies + SUPPLIES; supply++)
        for (void *block; (block = supply_try_get(supply));)
            if (supply->is_malloc)
                mh_free(block);
            else
                race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
}

/* --- the worker --------------------------------------------------------------------- */

static void heap_pair(size_t bytes)
{
    void *block = HeapAlloc(heap, 0, bytes);
    race_require(block != NULL && HeapSize(heap, 0, block) == bytes,
                 "the running thread got no block of %zu bytes", bytes);
    race_require(HeapFree(heap, 0, block), "the running thread's HeapFree failed");
}

static void malloc_pair(size_t bytes)
{
    void *block = mh_malloc(bytes);
    race_require(block != NULL, "the running thread got no malloc of %zu bytes", bytes);
    mh_free(block);
}

static void heap_free_other(struct supply *supply)
{
    void *block = supply_try_get(supply);
    race_require(block && HeapFree(heap, 0, block),
                 "the running thread could not free a block of %zu bytes", supply->bytes);
}

static void malloc_free_other(struct supply *supply)
{
    void *block = supply_try_get(supply);
    race_require(block != NULL, "no more blocks for the running thread to free");
    mh_free(block);
}

/* ROUND_OPERATIONS of them: fast, slow, under the arena's lock, and remote. */
static void do_round(void)
{
    heap_pair(SMALL);
    heap_pair(MEDIUM);
    heap_pair(LARGE);
    heap_pair(HUGE);
    malloc_pair(SMALL);
    malloc_pair(MEDIUM);
    malloc_pair(LARGE);
    malloc_pair(HUGE);
    heap_free_other(&to_worker[HEAP_SMALL]);
    heap_free_other(&to_worker[HEAP_BATCH]);
    malloc_free_other(&to_worker[MALLOC_SMALL]);
    malloc_free_other(&to_worker[MALLOC_BATCH]);
}

static void serve(void)
{
    supply_fill(to_victim);
    do_round();
}

static void *run_on(void *argument)
{
    supply_fill(to_victim);
    step_serve(argument, serve);
    return NULL;
}
