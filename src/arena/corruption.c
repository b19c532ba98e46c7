/* SPDX-License-Identifier: MIT */
#include "arena/corruption.h"

#include <string.h>

#include "arena/fixed_walk.h"
#include "arena/guard.h"
#include "arena/late.h"
#include "arena/span_map.h"
#include "base/check.h"

/*
 * ends_process_a: whether corruption does.
 *   writers  mole_corruption_end_process
 *   readers  who finds corruption
 *   orders   relaxed: meant to be set before there is any
 *   keeps    never false again
 */
static _Atomic(bool) ends_process_a;

void mole_corruption_end_process(void)
{
    store_rlx(&ends_process_a, true);
}

void mole_corruption_found(const struct mole_heap *heap, const void *block,
                           const char *what)
{
    void *handle = load_rlx(&heap->handle_a);
    if (!load_rlx(&ends_process_a) && !(heap->checks & MOLE_GUARD_HARD))
        return;
    if (block)
        mole_die("corruption of heap %p, block %p: %s", handle, block, what);
    mole_die("corruption of heap %p: %s", handle, what);
}

static const char is_free[] = "it is free";

static bool is_free_in_fixed(const struct mole_span *span, const void *address)
{
    mole_arena_enter(&span->heap->arena);
    bool is_it = mole_fixed_walk_is_free(span->fixed, address);
    mole_arena_leave(&span->heap->arena);
    return is_it;
}

/* What is at an address that is no live block of the heap. */
static const char *find_out(const struct mole_heap *heap, const void *address)
{
    struct mole_span *span = mole_span_map_find(address);
    size_t index;
    if (span == &mole_span_nobody || span->kind == MOLE_SPAN_NONE ||
        (span->kind == MOLE_SPAN_LARGE && load_rlx(&span->bytes_a) == MOLE_LARGE_FREE))
        return "no block is there, or not any more";
    if (span->heap != heap)
        return mole_span_heap(span)->is_sized ? "it belongs to another heap"
                                              : "it is malloc's";
    if (span->kind == MOLE_SPAN_FIXED)
        return is_free_in_fixed(span, address) ? is_free : "it is inside a block";
    if (span->kind == MOLE_SPAN_LARGE || !mole_span_index(span, address, &index))
        return "it is inside a block";
    return is_free;
}

void mole_corruption_blame(const struct mole_heap *heap, const char *function,
                           const void *address)
{
    if (!load_rlx(&ends_process_a) && !(heap->checks & MOLE_GUARD_HARD))
        return;
    const char *what = find_out(heap, address);
    if (!load_rlx(&ends_process_a) && what != is_free)
        return;
    if (strcmp(function, "HeapFree") == 0 && what == is_free)
        what = "double free";
    mole_die("corruption of heap %p, block %p, in %s: %s", load_rlx(&heap->handle_a),
             address, function, what);
}
