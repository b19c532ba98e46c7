/* SPDX-License-Identifier: MIT */
#include "arena/census.h"

#include "arena/exact.h"
#include "arena/fixed_walk.h"
#include "arena/span_map.h"

static size_t live_bytes(const struct mole_span *span)
{
    if (span->kind == MOLE_SPAN_LARGE) {
        size_t bytes = load_rlx(&span->bytes_a);
        return bytes == MOLE_LARGE_FREE ? 0 : bytes; /* since it was looked at */
    }
    size_t sum = 0;
    for (size_t index = 0; index < span->capacity; index++) {
        uint16_t entry = load_rlx(&span->entry_a[index]);
        if (mole_span_entry_is_live(entry))
            sum += mole_exact_bytes(span, index, entry);
    }
    return sum;
}

/* A cache's for its next large block: free memory that happens to be in the heap. */
static bool is_kept(const struct mole_span *span)
{
    return span->kind == MOLE_SPAN_LARGE && load_rlx(&span->bytes_a) == MOLE_LARGE_FREE;
}

static void add_run(const struct mole_run *run, struct mole_census *census)
{
    size_t bytes = (size_t)run->chunks * MOLE_CHUNK;
    if (is_kept(mole_span_map_find(run->base)))
        return;
    census->reserved_bytes += bytes;
    for (size_t offset = 0; offset < bytes;) {
        struct mole_span *span = mole_span_map_find(run->base + offset);
        bool is_span = span != &mole_span_nobody && span->kind != MOLE_SPAN_NONE;
        size_t span_bytes = is_span ? (size_t)span->pages * MOLE_PAGE : MOLE_PAGE;
        offset += span_bytes;
        if (!is_span)
            continue;
        if (span->kind == MOLE_SPAN_SLAB && mole_span_is_unused(span))
            continue;
        census->live_bytes += live_bytes(span);
        census->committed_bytes += span_bytes;
        if (!run->is_cut)
            return;
    }
}

void mole_census_take(struct mole_heap *heap, struct mole_census *census)
{
    *census = (struct mole_census){0};
    struct mole_arena *arena = &heap->arena;
    mole_arena_enter(arena);
    if (heap->fixed)
        mole_fixed_walk_census(heap->fixed, census);
    for (const struct mole_run *run = arena->runs; run && !heap->fixed; run = run->next)
        add_run(run, census);
    mole_arena_leave(arena);
    size_t least = heap->initial_bytes ? heap->initial_bytes : MOLE_PAGE;
    if (census->committed_bytes < least)
        census->committed_bytes = least;
    if (census->reserved_bytes < least)
        census->reserved_bytes = least;
}
