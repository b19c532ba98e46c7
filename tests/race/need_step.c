/* SPDX-License-Identifier: MIT */
/*
 * Room made in need, one instruction at a time, in a real heap: a thread gives back what
 * is free in its cache, in one without a thread, and what it keeps of large ones.
 * Meanwhile the heap is stopped, a thread ends, or another allocates from the cache
 * without a thread. Whoever has stopped the heap has the caches of all who are in no
 * operation; and no block is lost, or given twice.
 */
#include "scenario.h"
#include "tcache/compact.h"

enum { ROOM = 8, BYTES = 8192, LARGE = 100000, LIVE = 3, MOST_CACHES = 4 };

static HANDLE heap;
static struct mole_heap *record;
static struct mole_use use;
static void *mine[LIVE], *others[LIVE], *ended[LIVE]; /* live blocks, by who took them */
static void *late[ROOM + 1]; /* those that the other thread takes meanwhile */
static bool has_acted;

static void *take(uint64_t key)
{
    void *block = HeapAlloc(heap, 0, BYTES);
    expect(block, "acted at stop %zu: no block", chosen);
    if (block)
        race_stamp(block, BYTES, key);
    return block;
}

static void give(void *block)
{
    expect(HeapFree(heap, 0, block), "acted at stop %zu: HeapFree failed", chosen);
}

/* Live blocks and slabs that are empty, in whatever cache the thread has or borrows. */
static void fill(void **live, uint64_t key)
{
    void *blocks[ROOM];
    for (size_t i = 0; i < LIVE; i++)
        live[i] = take(key + i);
    for (size_t i = 0; i < ROOM; i++)
        blocks[i] = take(key);
    for (size_t i = 0; i < ROOM; i++)
        give(blocks[i]);
}

/* It is new to the heap: the cache that it borrows is left without a thread. */
static void fill_others(void)
{
    fill(others, 100);
}

static void give_others(size_t i)
{
    give(others[i]);
    others[i] = NULL;
}

static void build(void)
{
    heap = HeapCreate(0, 0, 0);
    record = mole_heap_find(heap);
    memset(late, 0, sizeof late);
    memset(ended, 0, sizeof ended);
    has_acted = false;
    step_have_done(fill_others);
    give_others(0); /* into a batch */
    fill(mine, 200);
    expect(HeapFree(heap, 0, HeapAlloc(heap, 0, LARGE)), "HeapFree failed");
    expect(load_rlx(&record->orphans_a) == 1, "%d caches have no thread",
           (int)load_rlx(&record->orphans_a));
}

/* An operation that is under way when memory turns out to be short. */
static void begin(void)
{
    build();
    use = mole_thread_begin(record, false);
}

static void make_room(void)
{
    expect(mole_compact_in_need(&use, LARGE), "there is never so much");
}

/* The part of it that begins with taking a cache that has no thread. */
static void make_room_of_orphans(void)
{
    uintptr_t self = mole_thread_self_in(record);
    expect(!mole_tcache_alloc_from_orphans(record, use.slots, self, MOLE_CLASS_COUNT, 0),
           "a block of no class");
}

/* Not while the thread that is stopped has the arena's lock. */
static bool may_enter(void)
{
    if (pthread_mutex_trylock(&record->arena.lock.mutex) != 0)
        return false;
    pthread_mutex_unlock(&record->arena.lock.mutex);
    return true;
}

/* --- the heap is stopped ------------------------------------------------------------ */

/* Caches that are the other thread's until it opens the gate, and what was in them. */
static struct mole_tcache *claimed[MOST_CACHES];
static unsigned char before[MOST_CACHES][sizeof(struct mole_tcache)];
static size_t claims;
static bool is_stopped;

/* What nobody but a cache's user touches; kept large spans go to whoever is fastest. */
enum {
    FROM = offsetof(struct mole_tcache, direct),
    COUNT = offsetof(struct mole_tcache, large) - FROM
};

static const unsigned char *inside_of(const struct mole_tcache *cache)
{
    return (const unsigned char *)cache + FROM;
}

static void claim(struct mole_owner *owner)
{
    struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
    if (!mole_heap_adopt_one(owner, mole_thread_self_in(record)) &&
        !mole_gate_has_quiet(owner))
        return;
    claimed[claims] = cache;
    memcpy(before[claims++], inside_of(cache), COUNT);
}

/* As the purger does; the thread in the operation is not waited for. */
static void stop_heap(void)
{
    if (has_acted || !may_enter())
        return;
    has_acted = true;
    is_stopped = mole_gate_try_pause(record);
    expect(is_stopped, "acted at stop %zu: the heap cannot be stopped", chosen);
    for (struct mole_owner *owner = mole_heap_owners(record); owner && is_stopped;
         owner = owner->next)
        claim(owner);
}

static void let_go(void)
{
    while (claims > 0) {
        struct mole_tcache *cache = claimed[--claims];
        expect(memcmp(before[claims], inside_of(cache), COUNT) == 0,
               "acted at stop %zu: a cache was touched in a stopped heap", chosen);
        if (mole_thread_owns(&cache->owner))
            mole_heap_let_go(&cache->owner);
    }
    if (is_stopped)
        mole_gate_resume(record);
    is_stopped = false;
}

/* --- a thread ends ------------------------------------------------------------------ */

static pthread_t ending;
static atomic_int ending_state; /* 0: begins, 1: waits, 2: goes on */

/* With a cache of its own, and with a batch of another's blocks. */
static void *fill_and_end(void *argument)
{
    for (int i = 0; i <= MOLE_KEEP_AFTER; i++)
        give(take(0));
    fill(ended, 300);
    give_others(1);
    atomic_store(&ending_state, 1);
    while (atomic_load(&ending_state) != 2)
        sched_yield();
    return argument;
}

static void begin_beside_ending(void)
{
    build();
    atomic_store(&ending_state, 0);
    ending = race_thread(fill_and_end, NULL);
    while (atomic_load(&ending_state) != 1)
        sched_yield();
    use = mole_thread_begin(record, false);
}

static void end_thread(void)
{
    if (has_acted || !may_enter())
        return;
    has_acted = true;
    atomic_store(&ending_state, 2);
    race_join(ending);
}

/* --- another allocates -------------------------------------------------------------- */

static void take_late(void)
{
    if (has_acted || !may_enter())
        return;
    has_acted = true;
    for (size_t i = 0; i < ROOM + 1; i++)
        late[i] = take(400 + i);
}

/* --- accounts ----------------------------------------------------------------------- */

static size_t look_at(void *const *blocks, size_t count, uint64_t key)
{
    size_t live = 0;
    for (size_t i = 0; i < count; i++) {
        live += blocks[i] != NULL;
        expect(!blocks[i] || (HeapSize(heap, 0, blocks[i]) == BYTES &&
                              race_is_stamped(blocks[i], BYTES, key + i)),
               "acted at stop %zu: a live block is gone, or was given twice", chosen);
    }
    return live;
}

static size_t look_at_all(void)
{
    return look_at(mine, LIVE, 200) + look_at(others, LIVE, 100) +
           look_at(ended, LIVE, 300) + look_at(late, ROOM + 1, 400);
}

static void settle(void)
{
    mole_thread_end(&use);
    step_have_done(let_go);
    size_t live = look_at_all();
    expect(race_allocated(heap) == live * BYTES,
           "acted at stop %zu: %zu bytes live, not %zu", chosen, race_allocated(heap),
           live * BYTES);
    void *more[LIVE];
    fill(more, 500);
    (void)look_at(more, LIVE, 500);
    (void)look_at_all();
    expect(HeapValidate(heap, 0, NULL), "acted at stop %zu: the heap is damaged", chosen);
    expect(HeapDestroy(heap), "HeapDestroy failed");
}

static void settle_ending(void)
{
    if (!has_acted)
        end_thread();
    settle();
}

/* --- scenarios ---------------------------------------------------------------------- */

static const struct scene alone = {NULL, NULL, settle};
static const struct scene with_ending = {NULL, NULL, settle_ending};

enum {
    COARSE = SCENARIO_ONCE | SCENARIO_COARSE,
    SPARSE = SCENARIO_ONCE | SCENARIO_SPARSE
};

static const struct scenario need_scenarios[] = {
    {"an orphan's room, the heap is stopped", begin, make_room_of_orphans, stop_heap,
     &alone, COARSE},
    {"an orphan's room, another allocates", begin, make_room_of_orphans, take_late,
     &alone, COARSE},
    {"room in need, the heap is stopped", begin, make_room, stop_heap, &alone, SPARSE},
    {"room in need, a thread ends", begin_beside_ending, make_room, end_thread,
     &with_ending, SPARSE},
    {"room in need, another allocates", begin, make_room, take_late, &alone, SPARSE},
};

static void set_up(void)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("need_step", need_scenarios,
                         sizeof need_scenarios / sizeof need_scenarios[0], set_up);
}
