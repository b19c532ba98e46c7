/* SPDX-License-Identifier: MIT */
/*
 * A call that names a block which another thread frees meanwhile, one instruction at a
 * time: at one of them the other frees it, the block's slab goes, and the slab's record
 * is purged. The call is wrong, as it may come too late at any time; it must be refused,
 * or have been faster, and nothing else may come of it.
 */
#include <molehill/spy.h>

#include "arena/group.h"
#include "arena/span_map.h"
#include "scenario.h"
#include "tcache/slab.h"
#include "tcache/thread.h"

enum { BYTES = 3000, LARGER = 5000 };

static HANDLE heap;
static struct mole_heap *record;
static void *block; /* the other's, alone in its slab */
static bool was_freed, others_freed, has_gone;

/* --- the other thread --------------------------------------------------------------- */

static void build_with(DWORD flags)
{
    heap = HeapCreate(flags, 0, 0);
    record = mole_heap_find(heap);
    for (size_t i = 0; i < MOLE_KEEP_AFTER; i++)
        expect(HeapFree(heap, 0, HeapAlloc(heap, 0, 64)), "HeapFree failed");
    block = HeapAlloc(heap, 0, BYTES);
    expect(block, "there is no block");
    was_freed = others_freed = has_gone = false;
}

static void build(void)
{
    build_with(0);
}

static void build_checked(void)
{
    build_with(HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED);
}

static void destroy(void)
{
    expect(HeapDestroy(heap), "HeapDestroy failed");
}

/* Not while the thread that is stopped has the arena's lock. */
static bool may_enter(void)
{
    if (pthread_mutex_trylock(&record->arena.lock.mutex) != 0)
        return false;
    pthread_mutex_unlock(&record->arena.lock.mutex);
    return true;
}

/* What a purge leaves: the record is free. */
static void forget(struct mole_span *span)
{
    uint32_t group = span->group;
    memset((void *)span, 0, mole_group_record_bytes(group));
    has_gone = true;
}

static void free_and_forget(void)
{
    struct mole_span *span = mole_span_map_find(block);
    if (has_gone || others_freed || !may_enter())
        return;
    others_freed = HeapFree(heap, 0, block);
    struct mole_use use = mole_thread_begin(record, false);
    mole_slab_retire_current(use.cache, use.slots);
    mole_thread_end(&use);
    if (mole_span_map_find(block) != span)
        forget(span);
}

/* --- the thread that is stopped ----------------------------------------------------- */

static void as_stranger(void)
{
    step_have_done(build);
}

static void as_stranger_of_checked(void)
{
    step_have_done(build_checked);
}

static void with_cache(void)
{
    step_have_done(build);
    for (size_t i = 0; i < MOLE_KEEP_AFTER; i++)
        expect(HeapFree(heap, 0, HeapAlloc(heap, 0, 64)), "HeapFree failed");
}

static void free_it(void)
{
    was_freed = HeapFree(heap, 0, block);
}

static void ask_size(void)
{
    SIZE_T bytes = HeapSize(heap, 0, block);
    expect(bytes == BYTES || bytes == (SIZE_T)-1, "acted at %zu: it has %zu bytes",
           chosen, bytes);
}

static void validate(void)
{
    (void)HeapValidate(heap, 0, block);
}

static void resize_to(size_t bytes)
{
    void *at = HeapReAlloc(heap, 0, block, bytes);
    if (at && at != block)
        expect(HeapFree(heap, 0, at), "acted at %zu: it cannot be freed", chosen);
    was_freed = at && at != block;
}

static void grow(void)
{
    resize_to(LARGER);
}

static void shrink(void)
{
    resize_to(BYTES - 100);
}

static void settle(void)
{
    if (others_freed + was_freed == 0)
        expect(HeapFree(heap, 0, block), "acted at %zu: it is not live", chosen);
    step_have_done(destroy);
}

/* One of the two frees it; both may say so, when they meet in the long way. */
static void settle_free(void)
{
    expect(others_freed || was_freed, "acted at %zu: nobody freed it", chosen);
    step_have_done(destroy);
}

static const struct scene scene = {NULL, NULL, settle};
static const struct scene freeing = {NULL, NULL, settle_free};

/* --- with a spy --------------------------------------------------------------------- */

static atomic_size_t heard;

static void hear(void *context, void *of, void *at, size_t bytes)
{
    (void)context;
    (void)of;
    (void)at;
    (void)bytes;
    atomic_fetch_add(&heard, 1);
}

static const struct mh_spy spy = {.size = sizeof spy, .name = "late", .freed = hear};

static void with_spy(void)
{
    with_cache();
    expect(mh_spy_attach(&spy, heap) == 0, "mh_spy_attach failed");
}

static void settle_spied(void)
{
    expect(mh_spy_detach(&spy) == 0, "mh_spy_detach failed");
    settle_free();
}

static const struct scene spied = {NULL, NULL, settle_spied};

/* --- scenarios ---------------------------------------------------------------------- */

#define ONCE SCENARIO_ONCE

static const struct scenario late_scenarios[] = {
    {"HeapFree", with_cache, free_it, free_and_forget, &freeing, ONCE},
    {"HeapFree, no cache", as_stranger, free_it, free_and_forget, &freeing, ONCE},
    {"HeapFree, checked", as_stranger_of_checked, free_it, free_and_forget, &freeing,
     ONCE},
    {"HeapValidate, checked", as_stranger_of_checked, validate, free_and_forget, &scene,
     ONCE},
    {"HeapFree, spied", with_spy, free_it, free_and_forget, &spied, ONCE},
    {"HeapSize", with_cache, ask_size, free_and_forget, &scene, ONCE},
    {"HeapValidate", with_cache, validate, free_and_forget, &scene, ONCE},
    {"HeapReAlloc, larger", with_cache, grow, free_and_forget, &scene,
     ONCE | SCENARIO_COARSE},
    {"HeapReAlloc, smaller", with_cache, shrink, free_and_forget, &scene, ONCE},
};

/* Passes are those of the test. */
static void set_up(void)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("late_step", late_scenarios,
                         sizeof late_scenarios / sizeof late_scenarios[0], set_up);
}
