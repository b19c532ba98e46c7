/* SPDX-License-Identifier: MIT */
#include "arena/fixed_walk.h"

#include "arena/guard.h"
#include "arena/span_map.h"

static bool is_live(const struct mole_fixed *fixed, size_t granule)
{
    return mole_fixed_entry(fixed, granule) & MOLE_FIXED_LIVE;
}

bool mole_fixed_walk_is_free(const struct mole_fixed *fixed, const void *address)
{
    size_t granule = mole_fixed_granule(fixed, address);
    if (granule - 1 >= fixed->high - 1)
        return false;
    size_t first = granule; /* of the block or extent, or within a free one */
    while (first > 1 && !mole_fixed_entry(fixed, first))
        first--;
    return !(mole_fixed_entry(fixed, first) & MOLE_FIXED_LIVE);
}

size_t mole_fixed_walk_length(const struct mole_fixed *fixed, size_t granule)
{
    uint32_t entry = mole_fixed_entry(fixed, granule);
    if (entry & MOLE_FIXED_LIVE)
        return mole_fixed_length(fixed, entry & ~MOLE_FIXED_LIVE);
    if (mole_fixed_is(entry, MOLE_FIXED_FREE))
        return entry & MOLE_FIXED_NUMBER;
    return 1;
}

/* The first live block from there on, or the end. */
static size_t skip_free(const struct mole_fixed *fixed, size_t granule)
{
    while (granule < fixed->end && !is_live(fixed, granule))
        granule += mole_fixed_walk_length(fixed, granule);
    return granule < fixed->end ? granule : fixed->end;
}

/* Behind the committed granules. */
static size_t committed_end(const struct mole_fixed *fixed)
{
    size_t end = 1 + mole_fixed_committed(fixed) / MOLE_GRANULE;
    return end < fixed->end ? end : fixed->end;
}

static enum mole_walk_result find(const struct mole_fixed *fixed, size_t granule,
                                  struct mole_walk_entry *entry)
{
    if (granule >= fixed->end)
        return MOLE_WALK_END;
    entry->at = mole_fixed_at(fixed, granule);
    uint32_t word = mole_fixed_entry(fixed, granule);
    if (word & MOLE_FIXED_LIVE) {
        entry->kind = MOLE_WALK_LIVE;
        entry->bytes = word & ~MOLE_FIXED_LIVE;
        return MOLE_WALK_FOUND;
    }
    size_t end = committed_end(fixed);
    if (granule < end) {
        size_t next = skip_free(fixed, granule);
        entry->kind = MOLE_WALK_FREE;
        entry->bytes = ((next < end ? next : end) - granule) * MOLE_GRANULE;
    } else {
        entry->kind = MOLE_WALK_UNUSED;
        entry->bytes = (fixed->end - granule) * MOLE_GRANULE;
    }
    return MOLE_WALK_FOUND;
}

enum mole_walk_result mole_fixed_walk_first(const struct mole_fixed *fixed,
                                            struct mole_walk_entry *entry)
{
    return find(fixed, 1, entry);
}

/* Whether a free entry of a walk may begin there: behind a live block, or at an end. */
static bool begins_free(const struct mole_fixed *fixed, size_t granule)
{
    uint32_t entry = mole_fixed_entry(fixed, granule);
    return granule == 1 || granule == committed_end(fixed) ||
           mole_fixed_is(entry, MOLE_FIXED_FREE) ||
           mole_fixed_is(entry, MOLE_FIXED_CACHED);
}

enum mole_walk_result mole_fixed_walk_next(const struct mole_fixed *fixed,
                                           const void *after,
                                           struct mole_walk_entry *entry)
{
    size_t granule = mole_fixed_granule(fixed, after);
    if (granule == 0 || granule >= fixed->end)
        return MOLE_WALK_UNKNOWN;
    if (is_live(fixed, granule))
        return find(fixed, granule + mole_fixed_walk_length(fixed, granule), entry);
    if (!begins_free(fixed, granule))
        return MOLE_WALK_UNKNOWN;
    size_t end = committed_end(fixed);
    if (granule >= end)
        return MOLE_WALK_END; /* one extent, which tells nothing of its length here */
    size_t next = skip_free(fixed, granule);
    if (granule < end && next > end)
        next = end;
    return find(fixed, next, entry);
}

void mole_fixed_walk_add(const struct mole_fixed *fixed, struct mole_walk_slabs *slabs)
{
    *slabs = (struct mole_walk_slabs){
        .first = mole_fixed_at(fixed, 1),
        .last = mole_fixed_at(fixed, 1) + fixed->limits.maximum_bytes,
        .committed_bytes = mole_fixed_committed(fixed),
        .reserved_bytes = fixed->limits.maximum_bytes,
    };
}

size_t mole_fixed_walk_largest_free(const struct mole_fixed *fixed)
{
    size_t most = 0;
    size_t granule = 1;
    while (granule < fixed->end) {
        size_t next = skip_free(fixed, granule);
        most = next - granule > most ? next - granule : most;
        granule = next < fixed->end ? next + mole_fixed_walk_length(fixed, next) : next;
    }
    return most * MOLE_GRANULE;
}

void mole_fixed_walk_census(const struct mole_fixed *fixed, struct mole_census *census)
{
    census->reserved_bytes = fixed->limits.maximum_bytes;
    census->committed_bytes = mole_fixed_committed(fixed);
    for (size_t granule = 1; (granule = skip_free(fixed, granule)) < fixed->end;
         granule += mole_fixed_walk_length(fixed, granule))
        census->live_bytes += mole_fixed_entry(fixed, granule) & ~MOLE_FIXED_LIVE;
}

/* Whether the free extent that begins there is told of as it must be. */
static bool extent_is_right(const struct mole_fixed *fixed, size_t granule)
{
    size_t length = mole_fixed_walk_length(fixed, granule);
    if (length == 0 || length > fixed->end - granule)
        return false;
    uint32_t last = mole_fixed_entry(fixed, granule + length - 1);
    if (length > 1 && last != (MOLE_FIXED_TAIL | (uint32_t)length))
        return false;
    unsigned class = mole_fixed_class(length);
    size_t window = granule >> mole_fixed_window_shift(class);
    return mole_bit_tree_has(&fixed->tree[class], window) &&
           mole_fixed_start(fixed, class, window) == granule;
}

/* Members of all sets. */
static size_t count_members(const struct mole_fixed *fixed)
{
    size_t count = 0;
    for (unsigned class = 0; class < MOLE_FIXED_CLASSES; class += 1) {
        const struct mole_bit_tree *tree = &fixed->tree[class];
        for (size_t window = mole_bit_tree_next(tree, 0); window != SIZE_MAX;
             window = mole_bit_tree_next(tree, window + 1))
            count++;
    }
    return count;
}

/* Whether no entry within a live block says anything. */
static bool block_is_right(const struct mole_fixed *fixed, size_t granule)
{
    uint32_t bytes = mole_fixed_entry(fixed, granule) & ~MOLE_FIXED_LIVE;
    size_t length = mole_fixed_length(fixed, bytes);
    if (bytes > fixed->limits.most_bytes || length > fixed->end - granule)
        return false;
    for (size_t next = granule + 1; next < granule + length; next++)
        if (mole_fixed_entry(fixed, next))
            return false;
    return true;
}

/* Whether what begins there is as it must be; `before`: the free granules before it. */
static bool entry_is_right(const struct mole_fixed *fixed, size_t granule, size_t before)
{
    uint32_t entry = mole_fixed_entry(fixed, granule);
    if (entry & MOLE_FIXED_LIVE)
        return block_is_right(fixed, granule);
    if (!mole_fixed_is(entry, MOLE_FIXED_FREE))
        return !entry || mole_fixed_is(entry, MOLE_FIXED_CACHED);
    bool is_joined =
        !before || before + mole_fixed_walk_length(fixed, granule) > MOLE_FIXED_LONGEST;
    return is_joined && extent_is_right(fixed, granule);
}

static bool table_is_right(const struct mole_fixed *fixed)
{
    size_t extents = 0;
    size_t before = 0;
    for (size_t granule = 1; granule < fixed->end;) {
        if (!entry_is_right(fixed, granule, before))
            return false;
        bool is_free = mole_fixed_is(mole_fixed_entry(fixed, granule), MOLE_FIXED_FREE);
        size_t length = mole_fixed_walk_length(fixed, granule);
        before = is_free ? length : 0;
        extents += is_free;
        granule += length;
    }
    return extents == count_members(fixed);
}

bool mole_fixed_walk_is_right(const struct mole_fixed *fixed, bool is_quiet)
{
    const struct mole_span *span = fixed->span;
    for (size_t granule = 1; granule < fixed->mapped; granule += MOLE_PAGE / MOLE_GRANULE)
        if (mole_span_map_find(mole_fixed_at(fixed, granule)) != span)
            return false;
    return span->fixed == fixed && fixed->high <= fixed->mapped &&
           fixed->mapped <= 1 + fixed->limits.maximum_bytes / MOLE_GRANULE &&
           (!is_quiet || (table_is_right(fixed) && mole_guard_is_right(span)));
}
