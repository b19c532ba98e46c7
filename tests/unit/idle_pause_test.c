/* SPDX-License-Identifier: MIT */
#include "arena/group.h"
#include "arena/hold.h"
#include "arena/mode.h"
#include "os/barrier.h"
#include "tcache/empties.h"
#include "tcache/idle.h"
#include "unit.h"

enum { BYTES = 8192, SMALL = 800, BLOCKS = 1000, LARGE = 30000 };

static HANDLE handle;
static struct mole_heap *heap;
static void *blocks[BLOCKS];

static void begin(void)
{
    stop_passes();
    if (!mole_barrier_all()) /* in this system: then it goes without */
        mole_mode_go_fenced();
    handle = create_heap(0);
    heap = inside(handle);
}

static const char *free_all(struct worker *worker)
{
    (void)worker;
    settle_in(handle);
    for (size_t i = 0; i < BLOCKS; i++)
        answer_unless(HeapFree(handle, 0, blocks[i]), "HeapFree failed");
    return NULL;
}

enum { MOST_OF_A_PAUSE = 32, MILLION = 1000 * 1000 };

/* What happens in pauses. */
static struct seen {
    bool is_paused;
    size_t pauses;
    size_t runs;      /* at the start of one */
    size_t most_runs; /* that went in one */
    uint64_t gives;
    size_t span_bytes; /* of records */
    uint64_t began;
    uint64_t ended;
    bool has_given; /* runs or records, in a pause */
    bool has_rested;
    bool is_held; /* hold.h */
    bool is_slow; /* each takes long */
} seen;

static void see_pause(unsigned modes)
{
    uint64_t now = mole_clock_ns();
    bool is_paused = modes & MOLE_MODE_STOPPED;
    if (is_paused && !seen.is_paused) {
        uint64_t took = seen.ended - seen.began, most = 1000 * MILLION;
        if (seen.pauses++)
            seen.has_rested &= now - seen.ended >= MILLION &&
                               now - seen.ended >= (8 * took < most ? 8 * took : most);
        seen.began = now;
        if (seen.is_slow)
            mole_thread_sleep_ms(80);
        bool is_free = mole_hold_try();
        if (is_free)
            mole_hold_end();
        seen.is_held &= !is_free;
        seen.runs = count_runs(heap);
        seen.gives = mole_pool_gives();
        seen.span_bytes = mole_group_figures().used_bytes;
    } else if (!is_paused && seen.is_paused) {
        size_t gone = seen.runs - count_runs(heap);
        seen.ended = now;
        seen.most_runs = gone > seen.most_runs ? gone : seen.most_runs;
        seen.has_given |= mole_pool_gives() != seen.gives ||
                          mole_group_figures().used_bytes != seen.span_bytes;
    }
    seen.is_paused = is_paused;
}

/* Who checks a large heap has its arena's lock for long. */
Test(idle_pause, none_waits_for_the_arenas_lock)
{
    begin();
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(handle, 0, BYTES);
    run_workers(1, free_all, NULL);
    seen = (struct seen){0};
    mole_mode_follow(heap, see_pause);
    mole_arena_enter(&heap->arena);
    (void)mole_idle_look();
    (void)mole_idle_look();
    mole_arena_leave(&heap->arena);
    require(seen.pauses == 0, "the heap was paused");
    (void)mole_idle_look(); /* is left out, for there was nothing to be had */
    require(seen.pauses == 0, "it was tried again at once");
    (void)mole_idle_look();
    require(seen.pauses > 0 && count_runs(heap) == 1, "nor later");
}

static void look_until_all_is_gone(void)
{
    for (int i = 0; i < 50 && count_runs(heap) > 1; i++)
        (void)mole_idle_look();
    require(count_runs(heap) == 1, "the heap has %zu runs", count_runs(heap));
}

/* So much that a pause does not take all of it. */
static void free_much(void)
{
    begin();
    for (size_t i = 0; i < SMALL; i += FIRST_SLAB)
        take_slab(handle, BYTES, blocks + i);
    for (size_t i = SMALL; i < BLOCKS; i++) /* the last slabs are too large to be kept */
        blocks[i] = take(handle, 0, LARGE);
    require(span_of(blocks[0])->pages < span_of(blocks[BLOCKS - 1])->pages &&
                span_of(blocks[BLOCKS - 1])->pages > MOLE_EMPTY_PAGES,
            "slabs have another size");
    run_workers(1, free_all, NULL); /* its slabs fill runs, but nobody comes who steals */
}

/* Threads wait for a pause: it is short, and they have time to go on after it. */
Test(idle_pause, pauses_are_bounded_and_far_between)
{
    free_much();
    seen = (struct seen){.has_rested = true, .is_held = true};
    mole_mode_follow(heap, see_pause);
    look_until_all_is_gone();
    require(seen.pauses > 2, "%zu pauses", seen.pauses);
    require(seen.most_runs > 0 && seen.most_runs <= MOST_OF_A_PAUSE,
            "%zu runs went in a pause", seen.most_runs);
    require(!seen.has_given, "runs or records were given away in a pause");
    require(seen.is_held, "the heap might have ended");
    require(seen.has_rested, "one pause came after the other");
    require(mole_idle_longest_ns() >= seen.ended - seen.began, "it is not said how long");
}

/* The purger has the pool's passes to make, too. */
Test(idle_pause, long_ones_end_the_look)
{
    free_much();
    seen = (struct seen){.has_rested = true, .is_held = true, .is_slow = true};
    mole_mode_follow(heap, see_pause);
    (void)mole_idle_look();
    (void)mole_idle_look();
    require(seen.pauses > 0 && seen.pauses <= 2 && count_runs(heap) > 1,
            "%zu pauses, %zu runs are left", seen.pauses, count_runs(heap));
    seen.is_slow = false;
    look_until_all_is_gone();
    require(seen.has_rested, "one pause came after the other");
}

enum { HEAPS = 8, SLOW_MS = 80, KEPT = 40 };

static struct mole_heap *heaps[HEAPS];
static size_t pauses_of[HEAPS];

static void see_which(unsigned modes)
{
    for (size_t i = 0; i < HEAPS && modes & MOLE_MODE_STOPPED; i++)
        if (mole_mode_of(heaps[i]) & MOLE_MODE_STOPPED) {
            pauses_of[i]++;
            mole_thread_sleep_ms(SLOW_MS);
        }
}

/* One whose cache keeps what is worth a pause, and that is empty. */
static void fill_and_free(void)
{
    begin();
    for (size_t i = 0; i < KEPT; i++)
        blocks[i] = take(handle, 0, BYTES);
    for (size_t i = 0; i < KEPT; i++)
        give_back(handle, blocks[i]);
    require(mole_thread_cache(heap)->empty_pages, "nothing is kept");
}

static size_t paused(void)
{
    size_t count = 0;
    for (size_t i = 0; i < HEAPS; i++)
        count += pauses_of[i] > 0;
    return count;
}

/* However short each heap's turn is. */
Test(idle_pause, many_heaps_end_the_look)
{
    for (size_t i = 0; i < HEAPS; i++) {
        fill_and_free();
        heaps[i] = heap;
    }
    for (size_t i = 0; i < HEAPS; i++)
        mole_mode_follow(heaps[i], see_which);
    (void)mole_idle_look();
    size_t awaited = mole_idle_look();
    require(paused() > 0 && paused() < HEAPS, "%zu heaps had their turn", paused());
    require(awaited == HEAPS - paused(), "%zu heaps are awaited, not %zu", awaited,
            HEAPS - paused());
    for (size_t i = 0; i < HEAPS && paused() < HEAPS; i++) {
        size_t before = paused();
        (void)mole_idle_look();
        require(paused() > before, "the next look was in vain");
    }
    for (size_t i = 0; i < HEAPS; i++)
        require(pauses_of[i] == 1, "heap %zu had %zu pauses", i, pauses_of[i]);
}

/* One that takes many looks does not keep others from their turn. */
Test(idle_pause, the_next_look_begins_where_one_stopped)
{
    fill_and_free();
    struct mole_heap *other = heap;
    struct mole_tcache *kept = mole_thread_cache(other);
    free_much();
    struct mole_heap *next = heap;
    while (next && next != other)
        next = mole_heap_next(next);
    require(next == other, "the other has its turn first");
    seen = (struct seen){.is_slow = true};
    mole_mode_follow(heap, see_pause);
    (void)mole_idle_look();
    (void)mole_idle_look();
    require(seen.pauses > 0 && kept->empty_pages, "the other had its turn, too");
    (void)mole_idle_look();
    require(!kept->empty_pages, "the other has to wait again");
    require(count_runs(heap) > 1, "the first needs no third look");
    (void)mole_idle_look();
    require(seen.pauses >= 2, "the first has no turn any more");
}
