/* SPDX-License-Identifier: MIT */
#include "arena/walk.h"

#include "arena/exact.h"
#include "arena/fixed_walk.h"
#include "arena/span_map.h"

/* Where to go on: in a run of slabs, or with the large blocks in later runs. */
struct place {
    struct mole_run *run;
    char *at; /* NULL: large blocks */
};

static bool is_live(const struct mole_span *span, size_t index)
{
    return mole_span_entry_is_live(load_rlx(&span->entry_a[index]));
}

/* Behind the free blocks that begin with this one. */
static size_t skip_free(const struct mole_span *span, size_t index)
{
    while (index < span->capacity && !is_live(span, index))
        index++;
    return index;
}

/* Only the first chunk of a run that is cut in pages is used. */
static char *end_of(const struct mole_run *run)
{
    return run->is_cut ? run->base + MOLE_CHUNK : mole_run_end(run);
}

/* Behind the pages of no span that begin with this one. */
static char *skip_unused(const struct mole_run *run, char *page)
{
    while (page < end_of(run) && mole_span_map_find(page) == &mole_span_nobody)
        page += MOLE_PAGE;
    return page;
}

static bool find_in_slab(const struct mole_span *span, const char *at,
                         struct mole_walk_entry *entry)
{
    size_t index = (size_t)(at - span->base) / span->block_bytes;
    if (index >= span->capacity)
        return false;
    entry->at = span->base + index * span->block_bytes;
    uint16_t word = load_rlx(&span->entry_a[index]);
    if (mole_span_entry_is_live(word)) {
        entry->kind = MOLE_WALK_LIVE;
        entry->bytes = mole_exact_bytes(span, index, word);
    } else {
        entry->kind = MOLE_WALK_FREE;
        entry->bytes = (skip_free(span, index) - index) * span->block_bytes;
    }
    return true;
}

/*
 * The first entry from `at` on, which is an entry's start or end. What a run of one slab
 * has behind it is not used.
 */
static bool find_in_run(const struct mole_run *run, char *at,
                        struct mole_walk_entry *entry)
{
    while (at < end_of(run)) {
        const struct mole_span *span = mole_span_map_find(at);
        if (span->kind == MOLE_SPAN_SLAB) {
            if (find_in_slab(span, at, entry))
                return true;
            at = span->base + (size_t)span->pages * MOLE_PAGE;
        } else if (span != &mole_span_nobody) {
            at += MOLE_PAGE;
        } else if (run->is_cut) {
            entry->at = at;
            entry->bytes = (size_t)(skip_unused(run, at) - at);
            entry->kind = MOLE_WALK_UNUSED;
            return true;
        }
        if (!run->is_cut)
            return false;
    }
    return false;
}

/* The large block of a run that is one's, or NULL. */
static struct mole_span *large_in(const struct mole_run *run)
{
    struct mole_span *span = mole_span_map_find(run->base);
    return span->kind == MOLE_SPAN_LARGE && load_rlx(&span->bytes_a) != MOLE_LARGE_FREE
               ? span
               : NULL;
}

static bool find_large(struct mole_run *run, struct mole_walk_entry *entry)
{
    for (; run; run = run->prev) {
        struct mole_span *span = large_in(run);
        if (!span)
            continue;
        entry->at = span->base;
        entry->bytes = load_rlx(&span->bytes_a);
        entry->kind = MOLE_WALK_LARGE;
        return true;
    }
    return false;
}

static bool find_from(struct mole_heap *heap, struct place place,
                      struct mole_walk_entry *entry)
{
    if (!place.at)
        return find_large(place.run->prev, entry);
    if (find_in_run(place.run, place.at, entry))
        return true;
    for (struct mole_run *run = place.run->prev; run; run = run->prev)
        if (find_in_run(run, run->base, entry))
            return true;
    return find_large(heap->home, entry);
}

/* Behind an entry in a slab: a live block or the first of free ones. */
static bool locate_in_slab(const struct mole_span *span, const void *after,
                           struct place *place)
{
    size_t index;
    if (!mole_span_index(span, after, &index) || index >= span->capacity)
        return false;
    index = is_live(span, index) ? index + 1 : skip_free(span, index);
    place->run = mole_span_run(span);
    place->at = span->base + index * span->block_bytes;
    return true;
}

/*
 * Behind pages of no slab. Their run is known from a slab in the same chunk: one without
 * any is being set up, or is on its way back.
 */
static bool locate_unused(struct mole_heap *heap, const void *after, struct place *place)
{
    uintptr_t chunk = (uintptr_t)after & ~(uintptr_t)(MOLE_CHUNK - 1);
    if ((uintptr_t)after % MOLE_PAGE)
        return false;
    for (size_t page = 0; page < MOLE_CHUNK_PAGES; page++) {
        const struct mole_span *span =
            mole_span_map_find((void *)(chunk + page * MOLE_PAGE));
        if (span->heap != heap || span->kind == MOLE_SPAN_LARGE)
            continue;
        place->run = span == heap->first ? heap->home : mole_span_run(span);
        place->at = skip_unused(place->run, (char *)(uintptr_t)after);
        return place->run->is_cut && (uintptr_t)place->run->base == chunk;
    }
    return false;
}

/* Behind the entry at `after`. False: there is none. */
static bool locate(struct mole_heap *heap, const void *after, struct place *place)
{
    struct mole_span *span = mole_span_map_find(after);
    if (span == &mole_span_nobody)
        return locate_unused(heap, after, place);
    if (span->heap != heap)
        return false;
    if (span == heap->first) {
        *place = (struct place){.run = heap->home, .at = heap->home->base + MOLE_PAGE};
        return after == heap->home->base;
    }
    if (span->kind == MOLE_SPAN_SLAB)
        return locate_in_slab(span, after, place);
    *place = (struct place){.run = mole_span_run(span)};
    return mole_span_bytes(span, after) != MOLE_LARGE_FREE;
}

static enum mole_walk_result next(struct mole_heap *heap, const void *after,
                                  struct mole_walk_entry *entry)
{
    struct place place;
    if (heap->fixed && after != heap->home->base && after)
        return mole_fixed_walk_next(heap->fixed, after, entry);
    if (heap->fixed && after)
        return mole_fixed_walk_first(heap->fixed, entry);
    if (!after) {
        *entry = (struct mole_walk_entry){heap->home->base, MOLE_PAGE, MOLE_WALK_HEAP};
        return MOLE_WALK_FOUND;
    }
    if (!locate(heap, after, &place))
        return MOLE_WALK_UNKNOWN;
    return find_from(heap, place, entry) ? MOLE_WALK_FOUND : MOLE_WALK_END;
}

enum mole_walk_result mole_walk_next(struct mole_heap *heap, const void *after,
                                     struct mole_walk_entry *entry)
{
    mole_arena_enter(&heap->arena);
    enum mole_walk_result result = next(heap, after, entry);
    mole_arena_leave(&heap->arena);
    return result;
}

/* Pages of slabs in the run. */
static size_t slab_pages(const struct mole_run *run)
{
    size_t pages = 0;
    for (char *at = run->base; at < end_of(run);) {
        const struct mole_span *span = mole_span_map_find(at);
        bool is_slab = span->kind == MOLE_SPAN_SLAB;
        pages += is_slab && !mole_span_is_unused(span) ? span->pages : 0;
        if (!run->is_cut)
            break;
        at += is_slab ? (size_t)span->pages * MOLE_PAGE : MOLE_PAGE;
    }
    return pages;
}

void mole_walk_add_slabs(struct mole_heap *heap, struct mole_walk_slabs *slabs)
{
    struct mole_run *home = heap->home;
    if (heap->fixed) {
        mole_arena_enter(&heap->arena);
        mole_fixed_walk_add(heap->fixed, slabs);
        mole_arena_leave(&heap->arena);
        return;
    }
    *slabs = (struct mole_walk_slabs){
        .first = home->base, .last = mole_run_end(home), .committed_bytes = MOLE_PAGE};
    mole_arena_enter(&heap->arena);
    for (struct mole_run *run = home; run; run = run->prev) {
        size_t pages = slab_pages(run);
        if (!pages && !run->is_cut)
            continue;
        slabs->first = run->base < slabs->first ? run->base : slabs->first;
        slabs->last = mole_run_end(run) > slabs->last ? mole_run_end(run) : slabs->last;
        slabs->committed_bytes += pages * MOLE_PAGE;
        slabs->reserved_bytes += (size_t)run->chunks * MOLE_CHUNK;
    }
    mole_arena_leave(&heap->arena);
    if (slabs->committed_bytes < heap->initial_bytes)
        slabs->committed_bytes = heap->initial_bytes;
    if (slabs->reserved_bytes < heap->initial_bytes)
        slabs->reserved_bytes = heap->initial_bytes;
    if (slabs->first == home->base)
        slabs->first += MOLE_PAGE;
}

size_t mole_walk_largest_free(struct mole_heap *heap)
{
    size_t most = 0;
    struct mole_walk_entry entry;
    mole_arena_enter(&heap->arena);
    struct place place = {.run = heap->home, .at = heap->home->base};
    if (heap->fixed)
        most = mole_fixed_walk_largest_free(heap->fixed);
    while (!heap->fixed && find_from(heap, place, &entry) &&
           entry.kind != MOLE_WALK_LARGE) {
        if (entry.kind != MOLE_WALK_LIVE && entry.bytes > most)
            most = entry.bytes;
        if (!locate(heap, entry.at, &place))
            break;
    }
    mole_arena_leave(&heap->arena);
    return most;
}
