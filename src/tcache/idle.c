/* SPDX-License-Identifier: MIT */
#include "tcache/idle.h"

#include "arena/hold.h"
#include "arena/inbox.h"
#include "arena/mode.h"
#include "os/barrier.h"
#include "tcache/empties.h"
#include "tcache/slab.h"
#include "tcache/thread.h"

/*
 * How much is to be gained before a heap is paused, and how long it may be: the budget is
 * in blocks looked at.
 */
enum {
    LEAST_PAGES = MOLE_CHUNK_PAGES,
    BUDGET = 8192,
    OF_A_CACHE = 16,
    OF_A_SLAB = 256,
    OF_AN_INBOX = 64,
    OF_BATCHES = 1024,   /* of a cache */
    PAUSED_PART = 8,     /* pauses make up one part in so many of the time, at most */
    MOST_WAIT = 63,      /* looks */
    MOST_REST_MS = 1000, /* a process that was stopped in a pause is not at fault */
    LONG_MS = 500,       /* a look: who drains has other things to do, too */
};

/*
 * drains_a: caches drained. longest_ns_a: how long a heap was paused, at most.
 *   writers  who drains
 *   readers  mole_idle_drains, mole_idle_longest_ns
 *   orders   relaxed: figures
 *   keeps    neither falls
 */
static _Atomic(uint64_t) drains_a;
static _Atomic(uint64_t) longest_ns_a;

uint64_t mole_idle_drains(void)
{
    return load_rlx(&drains_a);
}

uint64_t mole_idle_longest_ns(void)
{
    return load_rlx(&longest_ns_a);
}

void mole_idle_forget(struct mole_tcache *cache)
{
    store_rlx(&cache->owner.is_worked_a, false);
    store_rlx(&cache->owner.kept_a, 0);
    store_rlx(&cache->owner.has_batches_a, false);
    cache->owner.due = 0;
    cache->drained = 0;
    cache->keeps_all = false;
}

/* Work in one heap, bounded by the budget while it is paused. */
struct work {
    struct mole_heap *heap;
    void (*step)(struct work *, struct mole_tcache *);
    struct mole_owner *next; /* in the heap's list, for the step */
    bool is_done;
    struct mole_run *runs; /* got in one pause, to be given back after it */
    struct mole_span *spans;
    uint64_t id;
    int32_t budget;
    unsigned rest_ms; /* before the next pause */
    size_t gained_pages;
};

/* List slabs again that were taken with the list and not looked at. */
static void put_back(struct mole_owner *owner, struct mole_span *rest)
{
    struct mole_span *none = NULL;
    while (!cas_rel(&owner->woken_a, &none, rest)) {               /* HB-WOKEN-1 */
        struct mole_span *newer = swap_acq(&owner->woken_a, NULL); /* HB-WOKEN-1 */
        struct mole_span *last = newer;
        while (last && last->woken_next)
            last = last->woken_next;
        if (last) {
            last->woken_next = rest;
            rest = newer;
        }
        none = NULL;
    }
}

static void note_pause(struct work *work, uint64_t ns)
{
    if (ns > load_rlx(&longest_ns_a))
        store_rlx(&longest_ns_a, ns);
    uint64_t rest_ms = 1 + PAUSED_PART * ns / 1000000;
    work->rest_ms = rest_ms < MOST_REST_MS ? (unsigned)rest_ms : MOST_REST_MS;
}

/* Take what the cache keeps of the class. */
static void take_kept(struct work *work, struct mole_tcache *cache, unsigned class)
{
    struct mole_span *span;
    while (work->budget > 0 && (span = mole_empties_take(cache, class))) {
        work->budget -= OF_A_SLAB;
        work->gained_pages += span->pages;
        struct mole_run *run = mole_slab_take_apart(cache, span);
        span->next = work->spans;
        work->spans = span;
        if (!run)
            continue;
        run->next = work->runs;
        work->runs = run;
    }
}

/* What came back to the cache's slabs. Returns whether that was all. */
static bool collect(struct work *work, struct mole_tcache *cache)
{
    if (!load_rlx(&cache->owner.woken_a))
        return true;
    struct mole_span *span = swap_acq(&cache->owner.woken_a, NULL); /* HB-WOKEN-1 */
    while (span && work->budget > 0) {
        struct mole_span *next = span->woken_next;
        unsigned class = span->class;
        work->budget -= OF_AN_INBOX + (int32_t)mole_inbox_count(load_rlx(&span->inbox_a));
        mole_slab_drain(cache, NULL, span, true);
        take_kept(work, cache, class);
        span = next;
    }
    if (span)
        put_back(&cache->owner, span);
    return !span;
}

/* The slabs of each class that are free; the cache's `drained` are done. */
static bool retire(struct work *work, struct mole_tcache *cache)
{
    for (; cache->drained < MOLE_SLAB_CLASSES && work->budget > 0; cache->drained++) {
        work->budget -= cache->current[cache->drained]->fresh;
        mole_slab_retire_whole(cache, NULL, cache->drained);
        take_kept(work, cache, cache->drained);
        if (cache->empties[cache->drained])
            return false;
    }
    return cache->drained == MOLE_SLAB_CLASSES;
}

/* Returns whether that was all. */
static bool take_free(struct work *work, struct mole_tcache *cache)
{
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES && cache->empty_pages; class += 1)
        take_kept(work, cache, class);
    return !cache->empty_pages && (cache->drained > 0 || collect(work, cache)) &&
           retire(work, cache);
}

/* The cache is the caller's, and all under the arena's lock. */
static void drain_cache(struct work *work, struct mole_tcache *cache)
{
    uint32_t room = cache->dear_room;
    cache->keeps_all = true; /* what is not kept would be given back here and now */
    bool is_done = take_free(work, cache);
    cache->keeps_all = false;
    work->gained_pages += room - cache->dear_room; /* other caches may want it */
    if (!is_done)
        return;
    cache->drained = 0;
    cache->owner.due = 0;
    add_rlx(&drains_a, 1);
}

/*
 * What is in batches keeps others' slabs from being whole. Threads that end hand theirs
 * over under the arena's lock, too (thread.c).
 */
static void flush(struct work *work, struct mole_tcache *cache)
{
    if (!load_rlx(&cache->owner.has_batches_a))
        return;
    mole_tcache_flush(cache);
    work->budget -= OF_BATCHES;
}

/* One whose owner came back is due at another look. */
static void do_if_idle(struct work *work, struct mole_owner *owner)
{
    work->budget -= OF_A_CACHE;
    if (owner->due < 2 || load_rlx(&owner->is_worked_a))
        return;
    bool is_adopted = mole_heap_adopt_one(owner, mole_thread_self_in(work->heap));
    if (!is_adopted && !mole_gate_has_quiet(owner))
        return;
    work->step(work, (struct mole_tcache *)(void *)owner);
    if (is_adopted)
        mole_heap_let_go(owner);
}

/*
 * A cache that the budget was too small for is the next one again. Batches first, for
 * they may be what others lack. Returns whether all is done.
 */
static bool go_on(struct work *work)
{
    for (work->budget = BUDGET; work->budget > 0;) {
        if (!work->next && work->step == drain_cache)
            return true;
        if (!work->next) {
            work->next = mole_heap_owners(work->heap);
            work->step = work->step ? drain_cache : flush;
        }
        do_if_idle(work, work->next);
        if (work->budget > 0)
            work->next = work->next->next;
    }
    return false;
}

/*
 * One pause, or none while another has the arena's lock: who checks a large heap has it
 * for long, and no heap could end meanwhile. Nothing waits or calls the system but for
 * the barrier. False: the heap cannot be paused.
 */
static bool pause_once(struct work *work)
{
    struct mole_arena *arena = &work->heap->arena;
    if (!mole_arena_try(arena))
        return true;
    uint64_t began = mole_clock_ns();
    bool is_paused = mole_gate_try_pause(work->heap);
    if (is_paused) {
        work->is_done = go_on(work);
        mole_gate_resume(work->heap);
        note_pause(work, mole_clock_ns() - began);
    }
    mole_arena_leave(arena);
    return is_paused;
}

/* What is in no heap any more; of runs, what was in none whose memory is executable. */
static void give_away(struct work *work)
{
    for (struct mole_run *run; (run = work->runs);) {
        work->runs = run->next;
        mole_pool_give(NULL, run);
    }
    for (struct mole_span *span; (span = work->spans);) {
        work->spans = span->next;
        mole_span_give(span);
    }
}

/* One that ends meanwhile waits for this (hold.h). False: it has ended, or as above. */
static bool pause_if_alive(struct work *work)
{
    if (!mole_hold_try())
        return false;
    bool is_paused = mole_heap_id(work->heap) == work->id && pause_once(work);
    mole_hold_end();
    give_away(work);
    return is_paused;
}

/*
 * In as many pauses as it takes, or as there is time for, but in one at least. Who makes
 * them has slept before each, so that it is not at the end of its time. Returns whether
 * it was worth it, or may still be.
 */
static bool drain(struct mole_heap *heap, uint64_t id, uint64_t end_ms)
{
    struct work work = {.heap = heap, .id = id, .rest_ms = 1};
    if (!mole_barrier_all() && !mole_mode_are_fenced())
        return false; /* and nothing is fenced for this */
    do {
        mole_thread_sleep_ms(work.rest_ms);
        if (!pause_if_alive(&work))
            return work.gained_pages >= LEAST_PAGES;
    } while (!work.is_done && mole_clock_ms() + work.rest_ms < end_ms);
    if (!work.is_done)
        mole_thread_sleep_ms(work.rest_ms); /* for the first pause of the next look */
    bool has_begun = work.step;             /* else another had the lock all the time */
    return (has_begun && !work.is_done) || work.gained_pages >= LEAST_PAGES;
}

/* Pages that may be free in the cache; what others gave back counts as a chunk. */
static size_t most_free(struct mole_owner *owner)
{
    size_t pages = load_rlx(&owner->kept_a);
    pages += load_rlx(&owner->woken_a) ? MOLE_CHUNK_PAGES : 0;
    return pages + (load_rlx(&owner->has_batches_a) ? MOLE_CHUNK_PAGES : 0);
}

/*
 * Those worked with since the last look are due at the next one; returns what those may
 * have free that are due now.
 */
static size_t find_due(struct mole_heap *heap, bool *is_awaited)
{
    size_t pages = 0;
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next) {
        bool is_worked = load_rlx(&owner->is_worked_a);
        if (is_worked || (!owner->due && load_rlx(&owner->woken_a))) {
            store_rlx(&owner->is_worked_a, false);
            owner->due = 1;
            ((struct mole_tcache *)(void *)owner)->drained = 0;
            *is_awaited = true;
        } else if (owner->due) {
            owner->due = 2;
            pages += most_free(owner);
        }
    }
    return pages;
}

/* One without caches of slabs, or whose runs take calls to the system, is not. */
static bool may_be_drained(const struct mole_heap *heap)
{
    return !heap->fixed && !heap->arena.is_executable;
}

/* One look over all heaps. For whom no time is left, the next one begins with them. */
struct look {
    uint64_t end_ms;
    bool has_drained; /* a heap, however long that took */
    struct mole_heap *first_left;
    size_t awaited;
};

/* Of the next look; NULL: the first there is. Who looks only. */
static struct mole_heap *first_in_turn;

static void drain_in_turn(struct look *look, struct mole_heap *heap)
{
    struct mole_idleness *idleness = &heap->idleness;
    if (idleness->left) {
        idleness->left--;
        return;
    }
    if (look->has_drained && mole_clock_ms() >= look->end_ms) {
        look->first_left = look->first_left ? look->first_left : heap;
        look->awaited++;
        return;
    }
    look->has_drained = true;
    bool is_worth_it = drain(heap, idleness->id, look->end_ms);
    uint8_t more = (uint8_t)(2 * idleness->wait + 1);
    idleness->wait = is_worth_it ? 0 : more < MOST_WAIT ? more : MOST_WAIT;
    idleness->left = idleness->wait;
}

static void look_at(struct look *look, struct mole_heap *heap)
{
    struct mole_idleness *idleness = &heap->idleness;
    bool is_awaited = false;
    if (!mole_hold_try()) {
        look->awaited++;
        return;
    }
    store_rlx(&idleness->is_worked_a, false);
    uint64_t id = load_acq(&heap->word_a) ? mole_heap_id(heap) : 0; /* HB-HEAP-1 */
    size_t pages = id && may_be_drained(heap) ? find_due(heap, &is_awaited) : 0;
    mole_hold_end();
    if (idleness->id != id) {
        idleness->id = id;
        idleness->wait = idleness->left = 0;
    }
    idleness->is_awaited = is_awaited || pages >= LEAST_PAGES;
    look->awaited += is_awaited;
    if (pages >= LEAST_PAGES)
        drain_in_turn(look, heap);
}

size_t mole_idle_look(void)
{
    struct look look = {.end_ms = mole_clock_ms() + LONG_MS};
    struct mole_heap *first = first_in_turn ? first_in_turn : mole_heap_first();
    struct mole_heap *heap = first;
    while (heap) {
        if (heap->arena.is_locked &&
            (load_rlx(&heap->idleness.is_worked_a) || heap->idleness.is_awaited))
            look_at(&look, heap);
        heap = mole_heap_next(heap) ? mole_heap_next(heap) : mole_heap_first();
        if (heap == first)
            break;
    }
    first_in_turn = look.first_left;
    return look.awaited;
}
