/* SPDX-License-Identifier: MIT */
#include "arena/span.h"

#include <string.h>

#include "arena/exact.h"
#include "arena/fixed.h"
#include "arena/group.h"
#include "arena/guard.h"
#include "arena/head.h"
#include "arena/link.h"
#include "arena/size_class.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "os/random.h"

struct mole_owner mole_owner_nobody = {.thread_a = MOLE_ORPHAN,
                                       .alloc_key_a = MOLE_NO_KEY,
                                       .free_key_a = MOLE_NO_KEY,
                                       .sampled_key_a = MOLE_NO_KEY,
                                       .spied_key_a = MOLE_NO_KEY,
                                       .fixed_key_a = MOLE_NO_KEY};
struct mole_span mole_span_nobody = {.owner = &mole_owner_nobody, .free = MOLE_END};

size_t mole_span_bytes(const struct mole_span *span, const void *address)
{
    if (span->kind == MOLE_SPAN_LARGE)
        return address == span->base ? load_rlx(&span->bytes_a) : MOLE_LARGE_FREE;
    if (span->kind == MOLE_SPAN_FIXED)
        return mole_fixed_bytes(span->fixed, address);
    size_t index;
    if (span->kind == MOLE_SPAN_NONE || !mole_span_index(span, address, &index) ||
        index >=
            span->capacity) /* a descriptor that is being reused, for a dead address */
        return MOLE_LARGE_FREE;
    uint16_t entry = load_rlx(&span->entry_a[index]);
    if (!mole_span_entry_is_live(entry))
        return MOLE_LARGE_FREE;
    return mole_exact_bytes(span, index, entry);
}

struct mole_span *mole_span_take(size_t capacity)
{
    size_t entries = capacity ? capacity + 1 : 0;
    uint32_t group;
    struct mole_span *span =
        mole_group_take(sizeof *span + entries * sizeof(uint16_t), &group);
    if (span)
        span->group = group;
    return span;
}

void mole_span_give(struct mole_span *span)
{
    mole_group_give(span->group, span);
}

void mole_span_set_owner(struct mole_span *span, struct mole_owner *owner)
{
    span->to_owner = (char *)owner - (char *)span;
    span->owner = owner;
}

void mole_span_set_run(struct mole_span *span, const struct mole_run *run)
{
    span->run = mole_meta_number(&run->meta);
}

size_t mole_span_capacity(uint32_t pages, unsigned class)
{
    return (size_t)pages * MOLE_PAGE / mole_size_class_bytes(class);
}

/* Never 0 in a hardened heap. */
static uint16_t link_key_of(const struct mole_heap *heap)
{
    return heap->checks & MOLE_GUARD_HARD ? (uint16_t)(mole_random() % MOLE_END + 1) : 0;
}

void mole_span_map_slab(struct mole_span *span, char *base, uint32_t pages,
                        unsigned class, struct mole_owner *owner, struct mole_run *run)
{
    size_t capacity = mole_span_capacity(pages, class);
    if (span->dirty) /* all the record has: its next slab may have more blocks */
        memset((void *)span->entry_a, 0,
               mole_group_record_bytes(span->group) - sizeof *span);
    store_rlx(&span->entry_a[capacity], MOLE_END);
    span->dirty = span->rested = 0;
    mole_span_set_owner(span, owner);
    span->heap = owner->heap;
    span->link_key = link_key_of(owner->heap);
    mole_span_set_run(span, run);
    span->base = base;
    span->pages = pages;
    span->class = (uint8_t) class;
    span->block_bytes = mole_size_class_bytes(class);
    span->recip = UINT64_MAX / span->block_bytes + 1;
    span->capacity = (uint16_t)capacity;
    span->fresh = 0;
    mole_head_set(span, MOLE_END);
    span->kind = MOLE_SPAN_SLAB;
    store_rlx(&span->state_a, MOLE_SPAN_FULL);
    span->next = span->prev = NULL;
    store_rlx(&span->inbox_a, MOLE_END);
    mole_span_map_set(base, pages, span);
}

void mole_span_unmap(struct mole_span *span)
{
    bool is_large = span->kind == MOLE_SPAN_LARGE;
    mole_span_map_clear(span->base, is_large ? 1 : span->pages);
    mole_span_set_owner(span, &mole_owner_nobody);
    span->kind = MOLE_SPAN_NONE;
}

/*
 * All of a new slab in an order that nobody can tell: Sattolo's shuffle makes one cycle
 * of the links, which is cut at the last block.
 */
static bool carve_hardened(struct mole_span *span)
{
    uint32_t count = span->capacity;
    uint64_t random = mole_random();
    if (span->fresh == count)
        return false;
    mole_guard_carved(span, 0, count);
    for (uint32_t index = 0; index < count; index++)
        mole_link_set(span, index, index);
    for (uint32_t index = count; --index > 0;) {
        uint32_t other = (uint32_t)(mole_random_next(&random) % index);
        uint32_t link = mole_link_get(span, index);
        mole_link_set(span, index, mole_link_get(span, other));
        mole_link_set(span, other, link);
    }
    uint32_t last = (uint32_t)(mole_random_next(&random) % count);
    mole_head_set(span, mole_link_get(span, last));
    mole_link_set(span, last, MOLE_END);
    span->fresh = (uint16_t)count;
    return true;
}

/* Blocks above half a page: their table has little to write, and a carve is a refill. */
enum { CARVE_LEAST = 8 };

/*
 * Where among the blocks carved at once the list begins: elsewhere in each slab. Of many
 * a class only the first blocks are used, and all first lines of pages share a few places
 * in a processor's cache. Slabs of heaps that keep sizes begin with their first block,
 * for tcache/wipe.c.
 */
static uint32_t turn(const struct mole_span *span, uint32_t count)
{
    if (span->heap->is_sized)
        return 0;
    uint32_t page = (uint32_t)((uintptr_t)span->base >> MOLE_PAGE_SHIFT);
    return (uint32_t)((uint64_t)(page * 0x9e3779b9u) * count >> 32);
}

bool mole_span_carve(struct mole_span *span)
{
    if (unlikely(span->link_key))
        return carve_hardened(span);
    uint32_t first = span->fresh;
    uint32_t count = MOLE_PAGE / span->block_bytes;
    if (count < CARVE_LEAST && !span->heap->checks) /* else their pages are written to */
        count = CARVE_LEAST;
    if (count == 0)
        count = 1;
    if (count > (uint32_t)span->capacity - first)
        count = (uint32_t)span->capacity - first;
    if (count == 0)
        return false;
    mole_guard_carved(span, first, count);
    uint32_t last = first + count - 1, begin = first + turn(span, count);
    for (uint32_t index = first; index < last; index++)
        store_rlx(&span->entry_a[index], (uint16_t)(index + 1));
    store_rlx(&span->entry_a[last], (uint16_t)first);
    store_rlx(&span->entry_a[begin == first ? last : begin - 1], MOLE_END);
    mole_head_set(span, begin);
    span->fresh = (uint16_t)(first + count);
    return true;
}

void mole_span_rebuild(struct mole_span *span)
{
    uint16_t free = MOLE_END;
    for (uint32_t index = span->fresh; index-- > 0;) {
        if (mole_span_entry_is_live(load_rlx(&span->entry_a[index])))
            continue;
        mole_link_set(span, index, free);
        free = (uint16_t)index;
    }
    mole_head_set(span, free);
    store_rlx(&span->inbox_a, MOLE_END);
}

size_t mole_span_live_count(const struct mole_span *span)
{
    size_t live = 0;
    for (uint32_t index = 0; index < span->capacity; index++)
        live += mole_span_entry_is_live(load_rlx(&span->entry_a[index]));
    return live;
}

bool mole_span_is_unused(const struct mole_span *span)
{
    return span->rested && !mole_span_live_count(span);
}

void mole_span_check(const struct mole_span *span)
{
    check(span->fresh <= span->capacity && span->capacity <= MOLE_MOST_BLOCKS);
    check(!mole_span_entry_is_live(load_rlx(&span->entry_a[span->capacity])));
    check(mole_head_is_right(span));
    uint32_t steps = 0;
    for (uint32_t index = span->free; index != MOLE_END; steps++) {
        check(index < span->fresh && steps < span->fresh);
        check(!mole_span_entry_is_live(load_rlx(&span->entry_a[index])));
        index = mole_link_get(span, index);
    }
    check(steps + mole_span_live_count(span) <= span->fresh);
}
