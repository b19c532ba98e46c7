/* SPDX-License-Identifier: MIT */
#include "arena/arena.h"

#include "arena/region.h"
#include "arena/span.h"
#include "arena/span_map.h"
#include "os/pages.h"

/*
 * refills_a: see mole_arena_refills.
 *   writers  mole_arena_take
 *   readers  mole_arena_refills
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) refills_a;

uint64_t mole_arena_refills(void)
{
    return load_rlx(&refills_a);
}

void mole_arena_init(struct mole_arena *arena, bool is_locked)
{
    mole_lock_init(&arena->lock);
    arena->holder = 0;
    arena->is_locked = is_locked;
    arena->is_executable = false;
    arena->has_grown = false;
    arena->runs = NULL;
}

void mole_arena_enter(struct mole_arena *arena)
{
    if (!arena->is_locked)
        return;
    mole_lock_acquire(&arena->lock);
    arena->holder = mole_thread_self();
}

bool mole_arena_try(struct mole_arena *arena)
{
    if (!arena->is_locked)
        return true;
    if (!mole_lock_try(&arena->lock))
        return false;
    arena->holder = mole_thread_self();
    return true;
}

void mole_arena_leave(struct mole_arena *arena)
{
    if (!arena->is_locked)
        return;
    arena->holder = 0;
    mole_lock_release(&arena->lock);
}

/*
 * All pages of the run. Whoever commits pages makes them read and write, and may be late:
 * see mole_region_settle.
 */
static bool set_executable(const struct mole_run *run, bool on)
{
    if (on)
        mole_region_settle();
    return mole_pages_set_executable(run->base, (size_t)run->chunks * MOLE_CHUNK, on);
}

struct mole_run *mole_arena_fetch(struct mole_arena *arena, struct mole_pool_slots *slots,
                                  size_t chunks)
{
    struct mole_run *run = mole_pool_take(slots, chunks);
    if (!run || likely(!arena->is_executable) || set_executable(run, true))
        return run;
    mole_arena_return(arena, slots, run); /* some of it may be executable */
    return NULL;
}

void mole_arena_return(struct mole_arena *arena, struct mole_pool_slots *slots,
                       struct mole_run *run)
{
    if (unlikely(arena->is_executable)) {
        if (!set_executable(run, false)) {
            (void)mole_pages_purge(run->base, (size_t)run->chunks * MOLE_CHUNK);
            return; /* never seen again: nobody else may have it as it is */
        }
        /* The kernel need not join the mapping with its neighbours again. */
        mole_run_note_seam(run, (size_t)run->chunks * MOLE_CHUNK);
    }
    mole_pool_give(slots, run);
}

struct mole_run *mole_arena_take(struct mole_arena *arena, struct mole_pool_slots *slots,
                                 size_t chunks, bool is_cut)
{
    add_rlx(&refills_a, 1);
    struct mole_run *run = mole_arena_fetch(arena, slots, chunks);
    if (!run)
        return NULL;
    run->is_cut = is_cut;
    run->free_pages = is_cut ? 0xffff : 0;
    run->prev = NULL;
    run->page_next = run->page_prev = NULL;
    mole_arena_enter(arena);
    run->next = arena->runs;
    if (run->next)
        run->next->prev = run;
    arena->runs = run; /* until here a fork's child does not see the run */
    arena->has_grown = true;
    mole_arena_leave(arena);
    return run;
}

void mole_arena_unlink(struct mole_arena *arena, struct mole_run *run)
{
    if (run->prev)
        run->prev->next = run->next;
    else
        arena->runs = run->next;
    if (run->next)
        run->next->prev = run->prev;
}

void mole_arena_give(struct mole_arena *arena, struct mole_pool_slots *slots,
                     struct mole_run *run)
{
    mole_arena_enter(arena);
    mole_arena_unlink(arena, run);
    mole_arena_leave(arena);
    mole_arena_return(arena, slots, run);
}

/* Unmap and give back the descriptors of all spans that start in the run. */
static void forget_spans(struct mole_run *run)
{
    char *end = run->base + (size_t)run->chunks * MOLE_CHUNK;
    char *page = run->base;
    while (page < end) {
        struct mole_span *span = mole_span_map_find(page);
        if (span == &mole_span_nobody) {
            page += MOLE_PAGE;
            continue;
        }
        bool is_record = span->kind != MOLE_SPAN_NONE;
        bool is_alone = span->kind == MOLE_SPAN_LARGE || !run->is_cut;
        page += is_record ? (size_t)span->pages * MOLE_PAGE : MOLE_PAGE;
        span->dirty = 1;
        if (is_record) {
            mole_span_unmap(span);
            mole_span_give(span);
        }
        if (is_alone)
            return;
    }
}

void mole_arena_give_all(struct mole_arena *arena, struct mole_pool_slots *slots)
{
    struct mole_run *run = arena->runs;
    arena->runs = NULL;
    while (run) {
        struct mole_run *next = run->next;
        forget_spans(run);
        mole_arena_return(arena, slots, run);
        run = next;
    }
}

void mole_arena_commit(struct mole_arena *arena, struct mole_pool_slots *slots,
                       size_t bytes)
{
    enum { MOST_RUNS = 256 };
    size_t first = bytes < MOLE_CHUNK ? bytes : MOLE_CHUNK;
    size_t count = (bytes - first) / MOLE_CHUNK;
    if (count > MOST_RUNS)
        count = MOST_RUNS;
    mole_pages_populate(arena->runs->base, first);
    struct mole_run *ready = NULL;
    for (; count > 0; count--) {
        struct mole_run *run = mole_pool_take(slots, 1);
        if (!run)
            break;
        mole_pages_populate(run->base, MOLE_CHUNK);
        run->next = ready;
        ready = run;
    }
    while (ready) {
        struct mole_run *run = ready;
        ready = run->next;
        mole_pool_give(slots, run);
    }
}

void mole_arena_repair(struct mole_arena *arena)
{
    mole_lock_init(&arena->lock);
    bool is_interrupted = arena->holder == mole_thread_self();
    arena->holder = 0;
    if (is_interrupted)
        return; /* by the signal whose handler forked: this thread has the list */
    struct mole_run *prev = NULL;
    for (struct mole_run *run = arena->runs; run; run = run->next) {
        run->prev = prev;
        prev = run;
    }
}
