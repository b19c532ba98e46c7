/* SPDX-License-Identifier: MIT */
/*
 * Large spans that a cache keeps, one instruction at a time: their owner takes, frees or
 * destroys the heap while another thread makes passes or reclaims them, and the other way
 * round. In the end each run is in one place, and what is live is as it was.
 */
#include "arena/bins.h"
#include "arena/hands.h"
#include "arena/span_map.h"
#include "scenario.h"
#include "tcache/thread.h"

enum { BYTES = 100000, CHUNKS = 2, HELD = 4, STAMP = 64 };

static HANDLE heap;
static struct mole_heap *record;
static struct mole_run *run; /* of the span that is kept at first */
static void *held[HELD];
static size_t held_count;
static bool is_destroyed, has_acted;

static void hold(void *block)
{
    expect(block && held_count < HELD, "acted at stop %zu: no block", chosen);
    if (!block || held_count == HELD)
        return;
    race_stamp(block, STAMP, held_count);
    held[held_count++] = block;
}

static void take(void)
{
    hold(HeapAlloc(heap, 0, BYTES));
}

static void free_one(void)
{
    expect(held_count && HeapFree(heap, 0, held[--held_count]),
           "acted at stop %zu: HeapFree failed", chosen);
}

static void build(DWORD flags)
{
    heap = HeapCreate(flags, 0, 0);
    record = mole_heap_find(heap);
    held_count = 0;
    is_destroyed = has_acted = false;
    for (size_t i = 0; i < MOLE_KEEP_AFTER; i++)
        expect(HeapFree(heap, 0, HeapAlloc(heap, 0, 64)), "HeapFree failed");
    take();
    run = mole_span_run(mole_span_map_find(held[0]));
}

/* One span is kept: new, or old, so that the next pass gives its pages back. */
static void build_new(void)
{
    build(0);
    free_one();
}

static void build_old(void)
{
    build_new();
    (void)mole_large_cache_pass(false);
}

static void build_unserialized(void)
{
    build(HEAP_NO_SERIALIZE);
    free_one();
    (void)mole_large_cache_pass(false);
}

/* None is kept, but its slot is open: the owner has the block. */
static void build_held(void)
{
    build_new();
    take();
}

static void have_new(void)
{
    step_have_done(build_new);
}

static void have_old(void)
{
    step_have_done(build_old);
}

static void have_unserialized(void)
{
    step_have_done(build_unserialized);
}

/* --- what is stopped, and what the other thread does -------------------------------- */

static void pass(void)
{
    (void)mole_large_cache_pass(false);
}

/* Not while the thread that is stopped has the arena's lock. */
static bool may_enter(void)
{
    if (!record->arena.is_locked)
        return true;
    if (pthread_mutex_trylock(&record->arena.lock.mutex) != 0)
        return false;
    pthread_mutex_unlock(&record->arena.lock.mutex);
    return true;
}

static void reclaim(void)
{
    if (may_enter())
        (void)mole_large_cache_reclaim(record, NULL);
}

static void take_once(void)
{
    if (!has_acted && may_enter())
        take();
    has_acted = true;
}

static void take_and_free(void)
{
    if (!may_enter())
        return;
    take();
    free_one();
}

static void destroy(void)
{
    if (is_destroyed || !may_enter())
        return;
    is_destroyed = true;
    expect(HeapDestroy(heap), "HeapDestroy failed");
}

/* What ends with the heap, in a heap that lives on: other threads go on with it. */
static void drop(void)
{
    mole_large_cache_drop(mole_thread_cache_at_hand(record), NULL);
}

static void free_held(void)
{
    free_one();
}

/* --- accounts ----------------------------------------------------------------------- */

static void look_at_held(void)
{
    for (size_t i = 0; i < held_count && !is_destroyed; i++) {
        expect(HeapSize(heap, 0, held[i]) == BYTES && race_is_stamped(held[i], STAMP, i),
               "acted at stop %zu: a live block is gone", chosen);
        for (size_t j = 0; j < i; j++)
            expect(held[i] != held[j], "acted at stop %zu: a block was given twice",
                   chosen);
    }
}

/* How often the run is in the pool, whose other runs stay there. */
static size_t times_in_pool(void)
{
    struct mole_run *taken = NULL, *each;
    size_t times = 0;
    mole_hands_enter();
    unsigned bin = mole_bins_of(CHUNKS);
    while ((each = mole_bins_pop_warm(bin)) || (each = mole_bins_pop_cold(bin))) {
        times += each == run;
        each->next = taken;
        taken = each;
    }
    while ((each = taken)) {
        taken = each->next;
        mole_bins_push(each);
    }
    mole_hands_leave();
    return times;
}

static size_t times_in_heap(void)
{
    size_t times = 0;
    for (const struct mole_run *each = record->arena.runs; each; each = each->next)
        times += each == run;
    return times;
}

static void destroy_last(void)
{
    if (!is_destroyed)
        expect(HeapDestroy(heap), "HeapDestroy failed");
}

static void settle_of(void (*ask)(void (*)(void)))
{
    look_at_held();
    size_t in_heap = is_destroyed ? 0 : times_in_heap();
    size_t in_pool = times_in_pool();
    expect(in_heap + in_pool == 1, "acted at stop %zu: the run is in %zu + %zu places",
           chosen, in_heap, in_pool);
    if (!is_destroyed)
        expect(race_allocated(heap) == held_count * BYTES,
               "acted at stop %zu: %zu bytes live, not %zu blocks", chosen,
               race_allocated(heap), held_count);
    if (report->failures)
        return;
    if (!is_destroyed) {
        ask(take_and_free);
        look_at_held();
    }
    ask(destroy_last);
    (void)mole_spare_release(true);
    in_pool = times_in_pool();
    expect(in_pool == 1, "acted at stop %zu: in the end the run is in %zu places", chosen,
           in_pool);
}

static void call(void (*what)(void))
{
    what();
}

static void settle_own(void)
{
    settle_of(call);
}

static void settle_other(void)
{
    settle_of(step_have_done);
}

/* --- scenarios ---------------------------------------------------------------------- */

/* The heap is the stepped thread's own, or the other thread's. */
static const struct scene own = {NULL, look_at_held, settle_own};
static const struct scene others = {NULL, NULL, settle_other};

enum { COARSE = SCENARIO_ONCE | SCENARIO_COARSE };

static const struct scenario large_scenarios[] = {
    {"take, another makes a pass", build_new, take, pass, &own, SCENARIO_ONCE},
    {"take, another reclaims", build_new, take, reclaim, &own, COARSE},
    {"reuse, another makes a pass", build_old, take, pass, &own, COARSE},
    {"free, another makes a pass", build_held, free_held, pass, &own, SCENARIO_ONCE},
    {"free, another reclaims", build_held, free_held, reclaim, &own, 0},
    {"pass, the owner takes", have_old, pass, take_once, &others, COARSE},
    {"pass over new ones, the owner takes", have_new, pass, take_once, &others, COARSE},
    {"pass, another reclaims", have_old, pass, reclaim, &others, COARSE},
    {"pass, the heap is destroyed", have_old, pass, destroy, &others, COARSE},
    {"pass, a heap without a lock is destroyed", have_unserialized, pass, destroy,
     &others, COARSE},
    {"pass, the owner of one takes and frees", have_unserialized, pass, take_and_free,
     &others, COARSE},
    {"drop, another makes a pass", build_unserialized, drop, pass, &own, SCENARIO_ONCE},
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
    return scenario_main("large_step", large_scenarios,
                         sizeof large_scenarios / sizeof large_scenarios[0], set_up);
}
