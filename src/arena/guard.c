/* SPDX-License-Identifier: MIT */
#include "arena/guard.h"

#include <string.h>

#include "arena/exact.h"
#include "arena/fixed_walk.h"
#include "arena/late.h"
#include "arena/mode.h"
#include "arena/span_map.h"
#include "os/random.h"

enum { TAIL = 16, CANARY = 8 };
static const uint32_t new_fill = 0xBAADF00D;
static const uint32_t free_fill = 0xFEEEFEEE;
static const unsigned char tail_fill = 0xAB;

/*
 * global_a: global_flag.
 *   writers  mh_configure
 *   readers  create
 *   orders   relaxed: meant to be set before heaps are made
 *   keeps    nothing
 */
static _Atomic(uint32_t) global_a;

void mole_guard_set_global(uint32_t global_flag)
{
    store_rlx(&global_a, global_flag);
}

static unsigned checks_of(uint32_t flags, uint32_t global)
{
    return (flags & MOLE_HEAP_TAIL_CHECKING
                ? (unsigned)MOLE_GUARD_TAIL | MOLE_GUARD_OWN_TAIL
                : 0) |
           (flags & MOLE_HEAP_FREE_CHECKING ? (unsigned)MOLE_GUARD_FILL : 0) |
           (flags & MOLE_HEAP_HARDENED ? (unsigned)MOLE_GUARD_HARD : 0) |
           (global & MOLE_GLOBAL_TAIL_CHECK ? (unsigned)MOLE_GUARD_TAIL : 0) |
           (global & MOLE_GLOBAL_FREE_CHECK ? (unsigned)MOLE_GUARD_FILL : 0) |
           (global & MOLE_GLOBAL_VALIDATE_PARAMETERS ? (unsigned)MOLE_GUARD_CALLS : 0) |
           (global & MOLE_GLOBAL_VALIDATE_ALL ? (unsigned)MOLE_GUARD_ALL : 0);
}

bool mole_guard_is_wanted(uint32_t flags)
{
    return checks_of(flags, load_rlx(&global_a));
}

void mole_guard_begin(struct mole_heap *heap)
{
    heap->checks = (uint8_t)checks_of(heap->flags, load_rlx(&global_a));
    heap->pad = (uint8_t)((heap->checks & MOLE_GUARD_TAIL ? TAIL : 0) +
                          (heap->checks & MOLE_GUARD_HARD ? CANARY : 0));
    heap->secret = heap->checks & MOLE_GUARD_HARD ? mole_random() : 0;
}

/* No slab and no large block, ever. */
static bool is_unused(struct mole_heap *heap)
{
    mole_arena_enter(&heap->arena);
    bool is_alone = heap->arena.runs == heap->home && !heap->home->next;
    mole_arena_leave(&heap->arena);
    for (size_t page = 1; is_alone && page < MOLE_CHUNK_PAGES; page++)
        is_alone =
            mole_span_map_find(heap->home->base + page * MOLE_PAGE) == &mole_span_nobody;
    return is_alone;
}

bool mole_guard_take_up(struct mole_heap *heap)
{
    if (!is_unused(heap))
        return false;
    mole_guard_begin(heap);
    unsigned set = heap->checks ? MOLE_MODE_CHECKED : 0;
    return mole_mode_change(heap, mole_heap_id(heap), set, MOLE_MODE_CHECKED & ~set);
}

/* Whole DWORDs between two offsets of a block, the first rounded up. */
static void fill(char *block, size_t from, size_t to, uint32_t value)
{
    for (size_t at = mole_round_up(from, sizeof value); at + sizeof value <= to;
         at += sizeof value)
        memcpy(block + at, &value, sizeof value);
}

/* Whether `bytes` bytes, a multiple of four, all have the fill. */
static bool is_filled(const char *at, size_t bytes, uint32_t value)
{
    return memcmp(at, &value, sizeof value) == 0 &&
           memcmp(at, at + sizeof value, bytes - sizeof value) == 0;
}

static uint64_t canary_of(const struct mole_heap *heap, const char *block)
{
    uint64_t state = heap->secret ^ (uintptr_t)block;
    return mole_random_next(&state);
}

static void write_guards(const struct mole_heap *heap, char *block, size_t bytes)
{
    char *end = block + bytes;
    if (heap->checks & MOLE_GUARD_TAIL) {
        memset(end, mole_guard_is_apart(heap, bytes) ? 0 : tail_fill, TAIL);
        end += TAIL;
    }
    if (heap->checks & MOLE_GUARD_HARD) {
        uint64_t canary = canary_of(heap, block);
        memcpy(end, &canary, sizeof canary);
    }
}

static bool guards_are_whole(const struct mole_heap *heap, const char *block,
                             size_t bytes)
{
    const unsigned char *end = (const unsigned char *)block + bytes;
    if (heap->checks & MOLE_GUARD_TAIL) {
        bool has_tail = !mole_guard_is_apart(heap, bytes);
        for (size_t i = 0; has_tail && i < TAIL; i++)
            if (end[i] != tail_fill)
                return false;
        end += TAIL;
    }
    uint64_t canary = canary_of(heap, block);
    return !(heap->checks & MOLE_GUARD_HARD) || memcmp(end, &canary, sizeof canary) == 0;
}

void mole_guard_born(struct mole_heap *heap, char *block, size_t bytes, bool is_clear)
{
    if ((heap->checks & MOLE_GUARD_FILL) && !is_clear)
        fill(block, 0, bytes, new_fill);
    write_guards(heap, block, bytes);
}

void mole_guard_resized(struct mole_heap *heap, char *block, size_t old, size_t bytes,
                        bool is_clear)
{
    if (bytes > old && (heap->checks & MOLE_GUARD_FILL) && !is_clear) {
        if (mole_guard_is_apart(heap, bytes))
            memset(block + old, 0, bytes - old);
        else
            fill(block, old, bytes, new_fill);
    }
    write_guards(heap, block, bytes);
}

/* What is free once the live block is not. */
static size_t room_of(const struct mole_span *span, const char *block)
{
    unsigned kind = span->kind;
    if (kind == MOLE_SPAN_LARGE)
        return load_rlx(&span->bytes_a);
    if (kind != MOLE_SPAN_FIXED)
        return span->block_bytes; /* 0 of a record purged meanwhile: late.h */
    return mole_fixed_length(span->fixed, mole_span_bytes(span, block)) * MOLE_GRANULE;
}

void mole_guard_freed(const struct mole_heap *heap, char *start, size_t bytes)
{
    if (heap->checks & MOLE_GUARD_FILL)
        fill(start, 0, bytes, free_fill);
}

void mole_guard_died(const struct mole_span *span, char *block)
{
    size_t bytes = room_of(span, block);
    if (!mole_guard_is_apart(mole_span_heap(span), bytes))
        mole_guard_freed(mole_span_heap(span), block, bytes);
}

void mole_guard_carved(const struct mole_span *span, size_t index, size_t count)
{
    mole_guard_freed(span->heap, span->base + index * span->block_bytes,
                     count * span->block_bytes);
}

bool mole_guard_is_whole(const struct mole_span *span, const char *block)
{
    return guards_are_whole(mole_span_heap(span), block, mole_span_bytes(span, block));
}

bool mole_guard_is_dead(const struct mole_span *span, const char *block)
{
    return !(mole_span_heap(span)->checks & MOLE_GUARD_FILL) ||
           is_filled(block, room_of(span, block), free_fill);
}

/* A slot that is, or was, in somebody's use. */
static bool slot_is_right(const struct mole_span *span, size_t index)
{
    uint16_t entry = load_rlx(&span->entry_a[index]);
    if (!mole_span_entry_is_live(entry))
        return mole_guard_is_dead(span, span->base + index * span->block_bytes);
    return guards_are_whole(span->heap, span->base + index * span->block_bytes,
                            mole_exact_bytes(span, index, entry));
}

static bool is_live(const struct mole_span *span)
{
    return load_rlx(&span->bytes_a) != MOLE_LARGE_FREE;
}

/* The same of what begins at a granule, up to `behind`. */
static bool granules_are_right(const struct mole_span *span, size_t granule,
                               size_t behind)
{
    const char *at = mole_fixed_at(span->fixed, granule);
    size_t bytes = mole_fixed_bytes(span->fixed, at);
    if (bytes != MOLE_LARGE_FREE)
        return guards_are_whole(span->heap, at, bytes);
    return !(span->heap->checks & MOLE_GUARD_FILL) ||
           is_filled(at, (behind - granule) * MOLE_GRANULE, free_fill);
}

/* Behind what begins there of the memory that was ever used. */
static size_t behind_granule(const struct mole_fixed *fixed, size_t granule)
{
    size_t behind = granule + mole_fixed_walk_length(fixed, granule);
    return behind < fixed->high ? behind : fixed->high;
}

static bool fixed_is_right(const struct mole_span *span)
{
    for (size_t granule = 1; granule < span->fixed->high;) {
        size_t behind = behind_granule(span->fixed, granule);
        if (!granules_are_right(span, granule, behind))
            return false;
        granule = behind;
    }
    return true;
}

bool mole_guard_is_right(const struct mole_span *span)
{
    if (!span->heap->checks)
        return true;
    if (span->kind == MOLE_SPAN_FIXED)
        return fixed_is_right(span);
    if (span->kind == MOLE_SPAN_LARGE)
        return !is_live(span) || mole_guard_is_whole(span, span->base);
    for (size_t index = 0; index < span->fresh; index++)
        if (!slot_is_right(span, index))
            return false;
    return true;
}

static void repair_slot(const struct mole_span *span, size_t index)
{
    uint16_t entry = load_rlx(&span->entry_a[index]);
    if (mole_span_entry_is_live(entry))
        write_guards(span->heap, span->base + index * span->block_bytes,
                     mole_exact_bytes(span, index, entry));
    else
        mole_guard_carved(span, index, 1);
}

/* What a fixed-size heap has free is filled before it comes to be. */
static void repair_in_fixed(const struct mole_span *span, char *block)
{
    size_t bytes = mole_fixed_bytes(span->fixed, block);
    if (bytes != MOLE_LARGE_FREE)
        write_guards(span->heap, block, bytes);
}

static void repair_fixed(const struct mole_span *span)
{
    const struct mole_fixed *fixed = span->fixed;
    size_t behind;
    for (size_t granule = 1; granule < fixed->high; granule = behind) {
        char *at = mole_fixed_at(fixed, granule);
        behind = behind_granule(fixed, granule);
        if (mole_fixed_bytes(fixed, at) == MOLE_LARGE_FREE)
            mole_guard_freed(span->heap, at, (behind - granule) * MOLE_GRANULE);
        else
            repair_in_fixed(span, at);
    }
}

void mole_guard_repair_block(const struct mole_span *span, char *block)
{
    size_t index;
    if (span->kind == MOLE_SPAN_SLAB) {
        if (mole_span_index(span, block, &index) && index < span->fresh)
            repair_slot(span, index);
    } else if (span->kind == MOLE_SPAN_FIXED) {
        repair_in_fixed(span, block);
    } else if (is_live(span)) {
        write_guards(span->heap, span->base, load_rlx(&span->bytes_a));
    }
}

void mole_guard_repair(const struct mole_span *span)
{
    if (span->kind == MOLE_SPAN_LARGE)
        mole_guard_repair_block(span, span->base);
    if (span->kind == MOLE_SPAN_FIXED)
        repair_fixed(span);
    for (size_t index = 0; span->kind == MOLE_SPAN_SLAB && index < span->fresh; index++)
        repair_slot(span, index);
}
