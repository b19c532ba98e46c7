/* SPDX-License-Identifier: MIT */
#include "arena/large.h"

#include <string.h>

#include "arena/guard.h"
#include "arena/span_map.h"
#include "os/pages.h"

/* Below this a copy costs less than moving pages. */
enum { MOVE_LEAST = 256 * 1024 };

/* At least one: an empty block has an address of its own, too. */
static size_t chunks_for(size_t bytes)
{
    return bytes ? (bytes - 1) / MOLE_CHUNK + 1 : 1;
}

void mole_large_unmark(struct mole_span *span)
{
    struct mole_run *run = mole_span_run(span);
    bool is_plain = span->base == run->base && run->chunks <= MOLE_LARGE_MOST;
    span->mark = 0;
    span->capacity = is_plain ? (uint16_t)run->chunks : MOLE_LARGE_ODD;
}

/* The span has the run from now on, its block from `base` on. */
static void settle(struct mole_span *span, struct mole_run *run, char *base)
{
    span->base = base;
    mole_span_set_run(span, run);
    span->pages = run->chunks * MOLE_CHUNK_PAGES;
    span->room = (size_t)(mole_run_end(run) - base);
    span->capacity = MOLE_LARGE_ODD;
    if (!span->mark)
        mole_large_unmark(span);
}

void *mole_large_alloc(struct mole_heap *heap, struct mole_pool_slots *slots,
                       size_t bytes, size_t align, bool zero)
{
    size_t extra = align > MOLE_CHUNK ? align - MOLE_CHUNK : 0;
    if (bytes > PTRDIFF_MAX || extra > PTRDIFF_MAX - bytes)
        return NULL;
    struct mole_span *span = mole_span_take(0);
    if (!span)
        return NULL;
    struct mole_run *run = mole_arena_take(
        &heap->arena, slots,
        chunks_for(mole_guard_padded(heap, bytes)) + extra / MOLE_CHUNK, false);
    if (!run) {
        mole_span_give(span);
        return NULL;
    }
    span->mark = 0;
    settle(span, run, (char *)mole_round_up((uintptr_t)run->base, align));
    mole_span_set_owner(span, &mole_owner_nobody);
    span->heap = heap;
    span->kind = MOLE_SPAN_LARGE;
    store_rlx(&span->bytes_a, bytes);
    if (zero && !run->is_zero)
        memset(span->base, 0, bytes);
    mole_span_map_set(span->base, 1, span);
    return span->base;
}

void mole_large_release(struct mole_heap *heap, struct mole_pool_slots *slots,
                        struct mole_span *span, bool is_clean)
{
    struct mole_run *run = mole_span_run(span);
    store_rlx(&span->bytes_a, MOLE_LARGE_FREE);
    mole_arena_enter(&heap->arena); /* for a census, too */
    mole_span_unmap(span);
    mole_arena_unlink(&heap->arena, run);
    mole_arena_leave(&heap->arena);
    mole_span_give(span);
    run->is_zero = is_clean ? MOLE_RUN_EMPTIED : 0;
    mole_arena_return(&heap->arena, slots, run);
}

void mole_large_free(struct mole_heap *heap, struct mole_pool_slots *slots,
                     struct mole_span *span)
{
    add_rlx(&heap->frees_a, 1);
    mole_large_release(heap, slots, span, false);
}

void mole_large_resize(struct mole_span *span, size_t bytes)
{
    size_t old = mole_round_up(load_rlx(&span->bytes_a), MOLE_CHUNK);
    size_t kept = mole_round_up(mole_guard_padded(span->heap, bytes), MOLE_CHUNK);
    if (old > kept && old - kept >= MOLE_LARGE_TRIM)
        mole_pages_purge(span->base + kept, old - kept);
    store_rlx(&span->bytes_a, bytes);
}

/*
 * Into a warm run a block is copied: pages moved there would take the place of others
 * that need no fault, and leave a run behind that does.
 */
static bool may_move(const struct mole_run *from, const struct mole_run *to, size_t bytes)
{
    return bytes >= MOVE_LEAST && to->is_zero && mole_run_is_one_mapping(from, bytes) &&
           mole_run_may_seam(to);
}

/* The run's pages from `moved` on go, too: all of it reads as zero then. */
static void empty_rest(struct mole_run *run, size_t moved)
{
    size_t bytes = (size_t)run->chunks * MOLE_CHUNK;
    if (bytes == moved || mole_pages_purge(run->base + moved, bytes - moved))
        run->is_zero = MOLE_RUN_EMPTIED;
}

/*
 * Bring the block's bytes to the new run. False: the run is lost, the block is where it
 * was.
 */
static bool bring(struct mole_span *span, struct mole_run *to)
{
    size_t bytes = load_rlx(&span->bytes_a);
    size_t whole = mole_round_up(bytes, MOLE_CHUNK);
    /* A move that fails leaves plain pages behind: never of a heap's that executes. */
    if (!span->heap->arena.is_executable && span->base == mole_span_run(span)->base &&
        may_move(mole_span_run(span), to, whole)) {
        enum mole_pages_moved moved = mole_pages_move(span->base, to->base, whole);
        if (moved == MOLE_PAGES_LOST)
            return false;
        mole_run_note_seam(to, whole);
        if (moved == MOLE_PAGES_MOVED) {
            empty_rest(mole_span_run(span), whole);
            return true;
        }
    }
    memcpy(to->base, span->base, bytes);
    return true;
}

/* A run of `chunks` chunks that has the block's bytes, or NULL. */
static struct mole_run *bring_to_new(struct mole_heap *heap,
                                     struct mole_pool_slots *slots,
                                     struct mole_span *span, size_t chunks)
{
    struct mole_run *to = mole_arena_take(&heap->arena, slots, chunks, false);
    if (!to || bring(span, to))
        return to;
    mole_arena_enter(&heap->arena);
    mole_arena_unlink(&heap->arena, to); /* and never seen again */
    mole_arena_leave(&heap->arena);
    to = mole_arena_take(&heap->arena, slots, chunks, false);
    if (to)
        memcpy(to->base, span->base, load_rlx(&span->bytes_a));
    return to;
}

struct mole_run *mole_large_grow(struct mole_heap *heap, struct mole_pool_slots *slots,
                                 struct mole_span *span, size_t bytes)
{
    if (bytes > PTRDIFF_MAX)
        return NULL;
    size_t least = chunks_for(mole_guard_padded(heap, bytes));
    size_t roomy = chunks_for(load_rlx(&span->bytes_a)) / 2 * 3;
    struct mole_run *to = NULL;
    if (roomy > least)
        to = bring_to_new(heap, slots, span, roomy);
    if (!to && !(to = bring_to_new(heap, slots, span, least)))
        return NULL;
    struct mole_run *from = mole_span_run(span);
    mole_arena_enter(&heap->arena); /* for a census */
    mole_span_map_clear(span->base, 1);
    settle(span, to, to->base);
    store_rlx(&span->bytes_a, bytes);
    mole_span_map_set(span->base, 1, span);
    mole_arena_leave(&heap->arena);
    return from;
}
