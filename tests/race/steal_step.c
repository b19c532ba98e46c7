/* SPDX-License-Identifier: MIT */
/*
 * Theft of slabs that came back whole, one instruction at a time, in a real heap: the
 * thief is stopped, and the owner allocates from the slab or gets it back.
 */
#include "arena/inbox.h"
#include "arena/span_map.h"
#include "scenario.h"
#include "tcache/block.h"
#include "tcache/steal.h"

enum { ROOM = 8, BYTES = 8192, HELD = ROOM + 1, SPARE = 2 };

static HANDLE heap;
static struct mole_heap *record;
static void *of_full[ROOM], *of_current[ROOM], *of_spare[SPARE * ROOM], *held[HELD];
static bool has_acted;
static bool is_spare_empty; /* of the heap to build */

static void alloc_all(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blocks[i] = HeapAlloc(heap, 0, BYTES);
}

/* Of a slab made for them, as small as a class's first one. */
static void alloc_slab(void **blocks, size_t count)
{
    mole_growth_set(&mole_thread_cache(record)->growth, mole_size_class_of(BYTES), 0);
    alloc_all(blocks, count);
}

static void free_all(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(HeapFree(heap, 0, blocks[i]), "HeapFree failed");
    memset(blocks, 0, count * sizeof *blocks);
}

/*
 * The other thread's heap: a slab set aside and one that is current, both without a free
 * block; and two with enough free ones for use_up, which must not need the arena's lock:
 * the thief may be stopped while it holds that. Those are partial, and come before what
 * the current one got back; or empty, and come after.
 */
static void build_heap(void)
{
    heap = HeapCreate(0, 0, 0);
    record = mole_heap_find(heap);
    for (size_t i = 0; i < SPARE; i++)
        alloc_slab(of_spare + i * ROOM, ROOM);
    alloc_slab(of_full, ROOM);
    alloc_slab(of_current, ROOM - 1); /* with a block: it stays current below */
    expect(mole_span_map_find(of_full[0]) == mole_span_map_find(of_full[ROOM - 1]) &&
               mole_span_map_find(of_current[0]) != mole_span_map_find(of_full[0]),
           "the slabs are not of %d blocks", ROOM);
    size_t spare = is_spare_empty ? ROOM : ROOM - 1;
    free_all(of_spare, spare);
    free_all(of_spare + ROOM, spare);
    alloc_all(of_current + ROOM - 1, 1);
    expect(mole_thread_cache(record)->current[mole_size_class_of(BYTES)] ==
               mole_span_map_find(of_current[ROOM - 1]),
           "another slab is current");
    memset(held, 0, sizeof held);
    has_acted = false;
}

/* The current slab came back whole. */
static void return_current(void)
{
    step_have_done(build_heap);
    free_all(of_current, ROOM);
}

static void return_current_alone(void)
{
    is_spare_empty = true;
    return_current();
    is_spare_empty = false;
}

/* The full slab did: it may be stolen. */
static void return_full(void)
{
    step_have_done(build_heap);
    free_all(of_full, ROOM);
}

static void steal(void)
{
    (void)mole_steal(record, NULL);
}

/* The owner allocates all of a slab and one block more, so that it is set aside. */
static void use_up(void)
{
    if (has_acted)
        return;
    has_acted = true;
    alloc_all(held, HELD);
    for (size_t i = 0; i < HELD; i++)
        if (held[i])
            race_stamp(held[i], BYTES, i);
}

/*
 * The same where the owner may give a slab back: only if it need not wait for the thief.
 */
static void refill(void)
{
    if (pthread_mutex_trylock(&record->arena.lock.mutex) != 0)
        return;
    pthread_mutex_unlock(&record->arena.lock.mutex);
    use_up();
}

static void destroy_heap(void)
{
    expect(HeapDestroy(heap), "HeapDestroy failed");
}

static void look_at_held(void)
{
    for (size_t i = 0; i < HELD; i++) {
        if (!has_acted)
            continue;
        expect(held[i] && HeapSize(heap, 0, held[i]) == BYTES,
               "acted at stop %zu: a live block of the owner's is gone", chosen);
        expect(held[i] && race_is_stamped(held[i], BYTES, i),
               "acted at stop %zu: a live block of the owner's changed", chosen);
        for (size_t j = 0; j < i; j++)
            expect(held[i] != held[j], "acted at stop %zu: a block was given twice",
                   chosen);
    }
}

/* The owner's: what it allocates from must be there. */
static void look_at_current(void)
{
    const struct mole_tcache *cache = mole_thread_cache(record);
    const struct mole_span *span = cache->current[mole_size_class_of(BYTES)];
    expect(mole_span_map_find(span->base) == span,
           "acted at stop %zu: the owner's current slab was stolen", chosen);
}

/* Every block is somewhere: as many bytes as are held are live, and the heap works on. */
static void settle_theft(void)
{
    size_t live = 0;
    look_at_held();
    step_have_done(look_at_current);
    for (size_t i = 0; i < ROOM; i++)
        live += (of_full[i] != NULL) + (of_current[i] != NULL);
    for (size_t i = 0; i < SPARE * ROOM; i++)
        live += of_spare[i] != NULL;
    for (size_t i = 0; i < HELD; i++)
        live += held[i] != NULL;
    expect(race_allocated(heap) == live * BYTES,
           "acted at stop %zu: %zu bytes live, not %zu", chosen, race_allocated(heap),
           live * BYTES);
    if (report->failures == 0) {
        has_acted = false;
        step_have_done(use_up);
        look_at_held();
    }
    step_have_done(destroy_heap);
}

/* --- scenarios ---------------------------------------------------------------------- */

static const struct scene theft = {NULL, NULL, settle_theft};

static const struct scenario theft_scenarios[] = {
    {"theft, the slab is current and used up", return_current, steal, use_up, &theft,
     SCENARIO_ONCE},
    {"theft, the owner uses what came back", return_current_alone, steal, use_up, &theft,
     SCENARIO_ONCE},
    {"theft, the owner refills", return_full, steal, refill, &theft,
     SCENARIO_ONCE | SCENARIO_COARSE},
};

/* The only thief is the one stepped, and it makes no passes over the pool. */
static void set_up(void)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("steal_step", theft_scenarios,
                         sizeof theft_scenarios / sizeof theft_scenarios[0], set_up);
}
