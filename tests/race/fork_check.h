/* SPDX-License-Identifier: MIT */
/*
 * What must hold of the heaps in a fork's child, before it does anything: caches of
 * threads that are gone are orphans, with every block that is not live on a free list,
 * and every slab that has one in a list where it is found. Complaints go to the process
 * that forked.
 */
#pragma once

#include "arena/heap.h"
#include "arena/inbox.h"
#include "arena/span_map.h"
#include "race.h"
#include "tcache/empties.h"
#include "tcache/mixed.h"
#include "tcache/page_run.h"
#include "tcache/thread.h"

/* What the child tells; the first complaint counts. */
struct fork_told {
    size_t failures;
    bool is_hung;
    char first[300];
};

static struct fork_told *fork_told; /* shared */

enum { FORK_MOST_LINKS = 10000 }; /* a list of more does not end */

__attribute__((format(printf, 1, 2))) static void fork_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (fork_told->failures++ == 0)
        vsnprintf(fork_told->first, sizeof fork_told->first, format, arguments);
    va_end(arguments);
}

#define fork_expect(condition, ...) ((condition) ? (void)0 : fork_complain(__VA_ARGS__))

static struct mole_tcache *fork_cache_of(const struct mole_span *span)
{
    return (struct mole_tcache *)(void *)span->owner;
}

static bool fork_is_orphan(const struct mole_tcache *cache)
{
    return load_rlx(&cache->owner.thread_a) == MOLE_ORPHAN;
}

static size_t fork_free_length(const struct mole_span *span)
{
    size_t length = 0;
    for (uint32_t i = span->free; i != MOLE_END && length <= span->capacity; length++)
        i = load_rlx(&span->entry_a[i]);
    return length;
}

static size_t fork_times_partial(const struct mole_tcache *cache,
                                 const struct mole_span *wanted)
{
    size_t times = 0, steps = 0;
    for (const struct mole_span *span = cache->partial[wanted->class]; span;
         span = span->next) {
        times += span == wanted;
        if (++steps > FORK_MOST_LINKS) {
            fork_complain("a list of partial slabs does not end");
            break;
        }
    }
    return times;
}

/* A slab of a cache that was rebuilt. */
static void fork_check_rebuilt(const struct mole_tcache *cache, struct mole_span *span)
{
    size_t live = mole_span_live_count(span), length = fork_free_length(span);
    unsigned state = load_rlx(&span->state_a);
    fork_expect(live > 0, "an empty slab is left, state %u, %u of %u blocks used ever",
                state, span->fresh, span->capacity);
    fork_expect(live + length == span->fresh,
                "%zu live and %zu free blocks, of %u that were used ever", live, length,
                span->fresh);
    fork_expect(load_rlx(&span->inbox_a) == MOLE_END, "blocks in an orphan's inbox");
    fork_expect(fork_times_partial(cache, span) == (state == MOLE_SPAN_PARTIAL),
                "a slab of state %u is in the partial list %zu times", state,
                fork_times_partial(cache, span));
    fork_expect(state == MOLE_SPAN_PARTIAL ? span->countdown == (int32_t)live
                                           : state == MOLE_SPAN_FULL && length == 0,
                "state %u, countdown %d, %zu live, %zu free", state, span->countdown,
                live, length);
}

/* A slab of the thread that forked: another may have been about to list it. */
static void fork_check_own(const struct mole_tcache *cache, struct mole_span *wanted)
{
    size_t times = 0, steps = 0;
    for (struct mole_span *span = load_rlx(&cache->owner.woken_a);
         span && steps < FORK_MOST_LINKS; span = span->woken_next, steps++)
        times += span == wanted;
    bool is_listed = load_rlx(&wanted->inbox_a) & MOLE_INBOX_LISTED;
    fork_expect(times == is_listed, "a slab is in the woken list %zu times, LISTED: %d",
                times, is_listed);
}

static void fork_check_slab(struct mole_heap *heap, struct mole_run *run,
                            struct mole_span *span, bool is_first)
{
    mole_span_check(span);
    fork_expect(span->heap == heap && mole_span_run(span) == run,
                "a slab of another heap or run");
    for (uint32_t page = 0; page < span->pages; page++)
        fork_expect(mole_span_map_find(span->base + page * MOLE_PAGE) == span,
                    "page %u of a slab of %u is not in the map", page, span->pages);
    if (is_first && fork_is_orphan(fork_cache_of(span)))
        fork_check_rebuilt(fork_cache_of(span), span);
    else
        fork_check_own(fork_cache_of(span), span);
}

static bool fork_lists_run(const struct mole_tcache *cache, const struct mole_run *wanted)
{
    size_t steps = 0;
    for (const struct mole_run *run = cache->page_runs; run; run = run->page_next) {
        if (run == wanted)
            return true;
        if (++steps > FORK_MOST_LINKS) {
            fork_complain("a list of page runs does not end");
            break;
        }
    }
    return false;
}

static void fork_check_cut_run(struct mole_heap *heap, struct mole_run *run,
                               bool is_first)
{
    const struct mole_tcache *cache = NULL;
    uint32_t free = 0;
    for (uint32_t page = 0; page < MOLE_CHUNK_PAGES; page++) {
        struct mole_span *span = mole_span_map_find(run->base + page * MOLE_PAGE);
        if (span == &mole_span_nobody)
            free |= 1u << page;
        if (span->kind != MOLE_SPAN_SLAB)
            continue;
        fork_expect(!cache || cache == fork_cache_of(span), "two caches in one run");
        cache = fork_cache_of(span);
        if (span->base == run->base + page * MOLE_PAGE)
            fork_check_slab(heap, run, span, is_first);
    }
    if (!cache || !is_first || !fork_is_orphan(cache))
        return;
    fork_expect(run->free_pages == free, "a run has the pages %04x free, notes %04x",
                free, run->free_pages);
    fork_expect(fork_lists_run(cache, run) == (free != 0),
                "a run with free pages %04x is %s", free,
                free ? "in no list" : "in a list");
}

/* `is_first`: nothing was done in the child yet, and no thread has adopted anything. */
static void fork_check_cache(struct mole_tcache *cache, bool is_first)
{
    fork_expect(!cache->is_torn, "a cache is still to be rebuilt");
    if (!is_first || mole_thread_owns(&cache->owner))
        return;
    fork_expect(fork_is_orphan(cache), "a cache belongs to a thread that is gone");
    fork_expect(!load_rlx(&cache->owner.busy_a), "an orphan is in an operation");
    fork_expect(!load_rlx(&cache->owner.woken_a), "an orphan has a woken list");
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class ++) {
        fork_expect(!cache->batch[class].span, "an orphan has a batch");
        fork_expect(cache->current[class] == &mole_tcache_none, "it has a current slab");
        size_t steps = 0;
        for (struct mole_span *span = cache->partial[class];
             span && steps < FORK_MOST_LINKS; span = span->next, steps++)
            fork_expect(mole_span_map_find(span->base) == span,
                        "it lists what is no slab");
        fork_expect(steps < FORK_MOST_LINKS, "a list of partial slabs does not end");
    }
}

static void fork_check_heap(struct mole_heap *heap, bool is_first)
{
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next)
        fork_check_cache((struct mole_tcache *)(void *)owner, is_first);
    struct mole_run *prev = NULL;
    for (struct mole_run *run = heap->arena.runs; run; run = run->next) {
        fork_expect(run->prev == prev, "a run is not linked both ways");
        prev = run;
        struct mole_span *span = mole_span_map_find(run->base);
        if (run->is_cut)
            fork_check_cut_run(heap, run, is_first);
        else if (span->kind == MOLE_SPAN_SLAB)
            fork_check_slab(heap, run, span, is_first);
    }
}

/* The room for empty slabs that its caches have. */
static uint32_t fork_room_of(struct mole_heap *heap)
{
    uint32_t room = 0;
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next)
        room += ((struct mole_tcache *)(void *)owner)->dear_room;
    return room;
}

static void fork_check_heaps(bool is_first)
{
    uint32_t room = 0;
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap)) {
        if (!load_rlx(&heap->word_a))
            continue;
        fork_check_heap(heap, is_first);
        room += fork_room_of(heap);
    }
    fork_expect(mole_empties_room() == room, "%u pages of room are taken, not %u",
                mole_empties_room(), room);
}
