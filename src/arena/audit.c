/* SPDX-License-Identifier: MIT */
#include "arena/audit.h"

#include "arena/exact.h"
#include "arena/fixed_walk.h"
#include "arena/guard.h"
#include "arena/inbox.h"
#include "arena/region.h"
#include "arena/size_class.h"
#include "arena/span_map.h"

/* Free blocks linked in the slab's table; -1: they are not a list of free blocks. */
static int count_list(const struct mole_span *span, uint32_t index)
{
    int count = 0;
    for (; index != MOLE_END; count++) {
        if (index >= span->fresh || count == span->fresh)
            return -1;
        if (mole_span_entry_is_live(load_rlx(&span->entry_a[index])))
            return -1;
        index = mole_link_get(span, index);
    }
    return count;
}

/* Live blocks in the slab's table; -1: one cannot be that large. */
static int count_live(const struct mole_span *span)
{
    int count = 0;
    for (size_t index = 0; index < span->capacity; index++) {
        uint16_t entry = load_rlx(&span->entry_a[index]);
        if (!mole_span_entry_is_live(entry))
            continue;
        bool has_size = entry != MOLE_WHOLE || !span->heap->is_sized ||
                        span->class == MOLE_CLASS_LAST;
        if (!has_size || mole_exact_bytes(span, index, entry) > span->block_bytes)
            return -1;
        count++;
    }
    return count;
}

static bool table_is_right(const struct mole_span *span, bool is_quiet)
{
    int live = count_live(span);
    uint16_t last = load_rlx(&span->entry_a[span->capacity]);
    if (live < 0 || mole_span_entry_is_live(last))
        return false;
    if (!is_quiet)
        return true;
    uint32_t inbox = load_rlx(&span->inbox_a);
    int free = count_list(span, span->free);
    int back = count_list(span, mole_inbox_first(inbox));
    return span->fresh <= span->capacity && free >= 0 &&
           back == (int)mole_inbox_count(inbox) && live + free + back <= span->fresh &&
           mole_guard_is_right(span);
}

/* What is const while the slab is mapped. */
static bool shape_is_right(const struct mole_span *span)
{
    return span->class < MOLE_SLAB_CLASSES &&
           span->block_bytes == mole_size_class_bytes(span->class) &&
           span->recip == UINT64_MAX / span->block_bytes + 1 &&
           span->capacity == mole_span_capacity(span->pages, span->class) &&
           span->capacity <= MOLE_MOST_BLOCKS;
}

static bool all_pages_are(const struct mole_span *span)
{
    for (uint32_t page = 0; page < span->pages; page++)
        if (mole_span_map_find(span->base + (size_t)page * MOLE_PAGE) != span)
            return false;
    return true;
}

static bool slab_is_right(const struct mole_heap *heap, const struct mole_run *run,
                          const struct mole_span *span, const char *at, bool is_quiet)
{
    size_t room = (size_t)(mole_run_end(run) - at);
    return span->kind == MOLE_SPAN_SLAB && span->heap == heap &&
           mole_span_run(span) == run && span->base == at && span->pages > 0 &&
           (size_t)span->pages * MOLE_PAGE <= room && span->owner->heap == heap &&
           shape_is_right(span) && all_pages_are(span) && table_is_right(span, is_quiet);
}

static bool large_is_right(const struct mole_heap *heap, const struct mole_run *run,
                           const struct mole_span *span, bool is_quiet)
{
    size_t bytes = load_rlx(&span->bytes_a);
    return span->heap == heap && mole_span_run(span) == run && span->base == run->base &&
           span->room == (size_t)run->chunks * MOLE_CHUNK &&
           (bytes <= span->room || bytes == MOLE_LARGE_FREE) &&
           (!is_quiet || mole_guard_is_right(span));
}

static bool cut_run_is_right(const struct mole_heap *heap, const struct mole_run *run,
                             bool is_quiet)
{
    uint32_t free = 0;
    for (uint32_t page = 0; page < MOLE_CHUNK_PAGES;) {
        char *at = run->base + (size_t)page * MOLE_PAGE;
        const struct mole_span *span = mole_span_map_find(at);
        bool is_first = span == heap->first && run == heap->home && page == 0;
        if (span == &mole_span_nobody)
            free |= 1u << page;
        else if (!is_first && !slab_is_right(heap, run, span, at, is_quiet))
            return false;
        page += span == &mole_span_nobody || is_first ? 1 : span->pages;
    }
    return !is_quiet || free == run->free_pages;
}

static bool run_is_right(const struct mole_heap *heap, const struct mole_run *run,
                         bool is_quiet)
{
    if ((uintptr_t)run->base % MOLE_CHUNK || run->chunks == 0 ||
        !mole_region_holds(run->base) || !mole_region_holds(mole_run_end(run) - 1))
        return false;
    if (run->is_cut)
        return cut_run_is_right(heap, run, is_quiet);
    const struct mole_span *span = mole_span_map_find(run->base);
    if (span == &mole_span_nobody)
        return true; /* none is yet, or it moved and spies are yet to hear of that */
    return span->kind == MOLE_SPAN_LARGE
               ? large_is_right(heap, run, span, is_quiet)
               : slab_is_right(heap, run, span, run->base, is_quiet);
}

static bool is_right(const struct mole_heap *heap, bool is_quiet)
{
    if (heap->first->base != heap->home->base || heap->first->heap != heap ||
        heap->first->kind != MOLE_SPAN_NONE)
        return false;
    if (heap->fixed)
        return heap->arena.runs == heap->home && !heap->home->next &&
               mole_fixed_walk_is_right(heap->fixed, is_quiet);
    const struct mole_run *last = NULL;
    for (const struct mole_run *run = heap->arena.runs; run; run = run->next) {
        if (run->prev != last || !run_is_right(heap, run, is_quiet))
            return false;
        last = run;
    }
    return last == heap->home;
}

bool mole_audit_heap(struct mole_heap *heap, bool is_quiet)
{
    mole_arena_enter(&heap->arena);
    bool is_good = is_right(heap, is_quiet);
    mole_arena_leave(&heap->arena);
    return is_good;
}
