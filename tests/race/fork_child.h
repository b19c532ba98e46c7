/* SPDX-License-Identifier: MIT */
/*
 * What fork_step's threads have when the fork comes, and what the child does with it: it
 * checks the heaps and all blocks, has a thread of its own allocate, and frees
 * everything.
 */
#pragma once

#include "fork_check.h"
#include "step.h"
#include "tcache/block.h"
#include "tcache/process.h"

enum {
    KNOWN = 48,
    CHILD_BLOCKS = 64,
    CHILD_LIMIT_MS = 15000,
    SMALL = 64,
    SLAB_BLOCK = 1024,
    RUN_BLOCK = 8192, /* eight of them are a slab that fills a run */
    HUGE = 300000,
    ROOM = 1024,
};

/* A live block and where it is from. */
struct known {
    char *at;
    size_t bytes;
    HANDLE heap; /* NULL: malloc's */
};

static HANDLE heap;
static struct known mine[KNOWN], theirs[KNOWN]; /* the first thread's, and the other's */
static struct known subject; /* the block that the operation is about */

/*
 * Of the operation: its heap, NULL if malloc's, its block's size, and what is live
 * meanwhile.
 */
static HANDLE place;
static size_t bytes;
static void *held[ROOM];
static size_t held_count;
static HANDLE extra; /* another heap */

static char *allocate(HANDLE from, size_t size)
{
    return from ? HeapAlloc(from, 0, size) : mh_malloc(size);
}

static bool release(HANDLE from, void *block)
{
    if (from)
        return HeapFree(from, 0, block);
    mh_free(block);
    return true;
}

static bool is_live(const struct known *known)
{
    if (known->heap)
        return HeapValidate(known->heap, 0, known->at);
    return mole_block_find(mole_process_malloc_heap(), known->at) != NULL;
}

static struct known make(HANDLE from, size_t size)
{
    struct known known = {.at = allocate(from, size), .bytes = size, .heap = from};
    race_require(known.at != NULL, "no block of %zu bytes", size);
    if (known.at)
        race_stamp(known.at, size, (uintptr_t)known.at);
    return known;
}

static void fill(struct known *known)
{
    static const size_t sizes[] = {SMALL, SLAB_BLOCK, 3000, RUN_BLOCK, 100, 20000};
    for (size_t i = 0; i < KNOWN; i++)
        known[i] = make(i % 2 ? heap : NULL, sizes[i / 2 % 6]);
}

static void drop(struct known *known)
{
    for (size_t i = 0; i < KNOWN; i++)
        race_require(release(known[i].heap, known[i].at), "a live block was refused");
}

static void free_held(void)
{
    while (held_count > 0)
        (void)release(place, held[--held_count]);
}

/* --- the child ---------------------------------------------------------------------- */

static void look_at(const struct known *known)
{
    for (size_t i = 0; i < KNOWN; i++) {
        fork_expect(is_live(&known[i]), "a live block of %zu bytes is gone",
                    known[i].bytes);
        fork_expect(race_is_stamped(known[i].at, known[i].bytes, (uintptr_t)known[i].at),
                    "a live block of %zu bytes was disturbed", known[i].bytes);
    }
}

static void let_go(struct known *known, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fork_expect(race_is_stamped(known[i].at, known[i].bytes, (uintptr_t)known[i].at),
                    "a block of %zu bytes was given twice", known[i].bytes);
        fork_expect(release(known[i].heap, known[i].at), "a live block was refused");
    }
}

/* A thread that finds the vanished ones' caches to adopt. */
static void *live(void *argument)
{
    static const size_t sizes[] = {SMALL, SLAB_BLOCK, RUN_BLOCK, 3000, 40, 50000};
    struct known *blocks = argument;
    for (size_t i = 0; i < CHILD_BLOCKS; i++)
        blocks[i] = make(i % 2 ? heap : NULL, sizes[i / 2 % 6]);
    let_go(blocks, CHILD_BLOCKS / 2);
    for (size_t i = 0; i < CHILD_BLOCKS / 2; i++)
        blocks[i] = make(i % 2 ? heap : NULL, sizes[i / 2 % 6]);
    return NULL;
}

/* The operation may have been done, or not. */
static void free_subject(void)
{
    if (!subject.at || !is_live(&subject))
        return;
    fork_expect(release(subject.heap, subject.at), "the block in question was refused");
    fork_expect(!is_live(&subject), "the block in question is live though it was freed");
}

/* Of what the operation was about to return, the child knows nothing. */
static void count_what_is_left(void)
{
    size_t left = race_allocated(heap), of_malloc = mole_process_malloc_bytes();
    fork_expect(left == 0 || left == bytes, "%zu bytes of the heap are left", left);
    fork_expect(of_malloc == 0 ||
                    (of_malloc >= bytes && of_malloc <= bytes + bytes / 8 + 16),
                "%zu bytes of malloc are left", of_malloc);
}

static int live_as_child(void)
{
    static struct known blocks[CHILD_BLOCKS];
    HANDLE list[ROOM];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(CHILD_LIMIT_MS / 1000);
    uint64_t adoptions = mole_heap_adoptions();
    fork_check_heaps(true);
    look_at(mine);
    look_at(theirs);
    if (fork_told->failures)
        return 1; /* what is broken already may not end */
    race_join(race_thread(live, blocks));
    fork_expect(mole_heap_adoptions() >= adoptions + 2, "nothing was adopted");
    look_at(mine);
    look_at(theirs);
    let_go(blocks, CHILD_BLOCKS);
    let_go(mine, KNOWN);
    let_go(theirs, KNOWN);
    free_subject();
    free_held();
    fork_check_heaps(false);
    count_what_is_left();
    fork_expect(GetProcessHeaps(ROOM, list) >= 2, "heaps are gone");
    fork_expect(HeapDestroy(heap), "HeapDestroy failed");
    heap = HeapCreate(0, 0, 0);
    race_join(race_thread(live, blocks));
    let_go(blocks, CHILD_BLOCKS);
    return fork_told->failures != 0 || atomic_load(&race_failed) != 0;
}
