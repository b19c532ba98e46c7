/* SPDX-License-Identifier: MIT */
/*
 * Operations of fast_path_step that go beyond one slab: refills, heaps that are new to
 * the victim, and heaps as such. What may run to the system for new memory is prepared to
 * find some.
 */
#pragma once

#include "fast_path_blocks.h"

/* --- refills without the arena ------------------------------------------------------ */

enum { REFILL_BYTES = 1024, REFILL_MOST = 256 };

static HANDLE refilled; /* the victim's: the worker only frees there */
static void *refill_blocks[REFILL_MOST];
static size_t refill_count;
static void *returned; /* by the worker, or by its owner */

static struct mole_span *refill_current(void)
{
    return mole_thread_cache(mole_heap_find(refilled))
        ->current[mole_size_class_of(REFILL_BYTES)];
}

static void refill_take_one(void)
{
    race_require(refill_count < REFILL_MOST, "too many blocks");
    refill_blocks[refill_count++] = HeapAlloc(refilled, 0, REFILL_BYTES);
}

/*
 * Until the current slab has no free block, and `used_up`: none that was never used
 * either.
 */
static void refill_exhaust(bool used_up)
{
    refilled = HeapCreate(0, 0, 0);
    refill_count = 0;
    do
        refill_take_one();
    while (refill_count < REFILL_MOST &&
           (mole_span_map_find(refill_blocks[0]) == refill_current() ||
            refill_current()->free != MOLE_END ||
            (refill_current()->fresh == refill_current()->capacity) != used_up));
}

static void refill_return(void)
{
    race_require(HeapFree(refilled, 0, returned), "HeapFree refused a live block");
}

static void refill_prepare_inbox(void)
{
    refill_exhaust(true);
    returned = refill_blocks[refill_count - 1];
    step_have_done(refill_return);
}

static void refill_prepare_woken(void)
{
    refill_exhaust(true);
    returned = refill_blocks[0];
    step_have_done(refill_return);
}

/* So many blocks of a full slab that it is looked at; the last of them comes first. */
static void refill_prepare_partial(void)
{
    refill_exhaust(true);
    struct mole_span *span = mole_span_map_find(refill_blocks[0]);
    for (size_t i = 0; load_rlx(&span->state_a) == MOLE_SPAN_FULL; i++) {
        returned = refill_blocks[i];
        refill_return();
    }
}

static void refill_prepare_unused(void)
{
    refill_exhaust(false);
    returned = NULL;
}

static void refill_alloc(void)
{
    subject = HeapAlloc(refilled, 0, REFILL_BYTES);
}

static bool refill_is_returned(void)
{
    return subject == returned && HeapDestroy(refilled);
}

static bool refill_is_unused(void)
{
    bool is_new = subject && mole_span_map_find(subject) == refill_current();
    for (size_t i = 0; i < refill_count; i++)
        is_new = is_new && subject != refill_blocks[i];
    return is_new && HeapDestroy(refilled);
}

/* --- a heap that is new to the victim ----------------------------------------------- */

static HANDLE visited; /* the worker's */
static uint64_t adoptions;
static struct mole_use use;

static void visit_create(void)
{
    visited = HeapCreate(0, 0, 0);
    subject = HeapAlloc(visited, 0, SMALL);
    race_require(subject != NULL, "no block");
}

static void visit_prepare(void)
{
    step_have_done(visit_create);
}

/* So that there is a cache to borrow, with a block. */
static void visit_prepare_orphan(void)
{
    visit_prepare();
    void *block = HeapAlloc(visited, 0, SMALL);
    race_require(HeapFree(visited, 0, block), "no block");
    adoptions = mole_heap_adoptions();
}

/* So that there is none, but a free record. */
static void visit_prepare_none(void)
{
    visit_prepare_orphan();
    race_require(HeapDestroy(visited), "HeapDestroy failed");
    visit_prepare();
    adoptions = mole_heap_adoptions();
}

static void visit_alloc(void)
{
    subject = HeapAlloc(visited, 0, SMALL);
}

static bool visit_has_borrowed(void)
{
    return subject && mole_heap_adoptions() == adoptions + 1 && HeapDestroy(visited);
}

static void visit_make_cache(void)
{
    use = mole_thread_begin(mole_heap_find(visited), false);
    mole_thread_end(&use);
}

static bool visit_has_made_cache(void)
{
    return use.cache && use.is_borrowed && mole_heap_adoptions() == adoptions &&
           load_rlx(&use.cache->owner.thread_a) == MOLE_ORPHAN && HeapDestroy(visited);
}

static void visit_free(void)
{
    is_true = HeapFree(visited, 0, subject);
}

static bool visit_has_freed(void)
{
    return is_true && race_allocated(visited) == 0 && HeapDestroy(visited);
}

/* --- heaps -------------------------------------------------------------------------- */

static HANDLE created;
enum { LISTED = 16 };
static HANDLE listed[LISTED];

/* Runs and records to make a heap of. */
static void create_prepare(void)
{
    HANDLE heaps[MOLE_POOL_SLOTS];
    for (size_t i = 0; i < MOLE_POOL_SLOTS; i++)
        heaps[i] = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < MOLE_POOL_SLOTS; i++)
        race_require(HeapDestroy(heaps[i]), "HeapDestroy failed");
}

static void create_run(void)
{
    created = HeapCreate(0, 0, 0);
}

static bool create_is_done(void)
{
    return created && HeapFree(created, 0, HeapAlloc(created, 0, SMALL)) &&
           HeapDestroy(created);
}

/* Settle in the process heap, and have a slab there for the scratch block that stays. */
static void list_prepare(void)
{
    size_t bytes = GetProcessHeaps(0, NULL) * (sizeof(HANDLE) + sizeof(uint64_t));
    subject = HeapAlloc(GetProcessHeap(), 0, bytes);
    for (size_t i = 0; i < MOLE_KEEP_AFTER; i++) {
        void *block = HeapAlloc(GetProcessHeap(), 0, bytes);
        race_require(HeapFree(GetProcessHeap(), 0, block), "no block");
    }
}

static void list_run(void)
{
    number = GetProcessHeaps(LISTED, listed);
}

static bool list_is_done(void)
{
    bool has_all = number >= 3 && number <= LISTED && listed[0] == GetProcessHeap();
    bool has_heap = false;
    for (size_t i = 0; i < number && i < LISTED; i++)
        has_heap |= listed[i] == heap;
    return has_all && has_heap && HeapFree(GetProcessHeap(), 0, subject);
}

static void summary_run(void)
{
    number = race_allocated(heap);
}

static bool summary_is_done(void)
{
    return number > 0;
}
