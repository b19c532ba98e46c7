/* SPDX-License-Identifier: MIT */
#include "arena/holes.h"

#include "arena/heap.h"
#include "os/pages.h"

/*
 * purged_a: see mole_holes_purged.
 *   writers  mole_holes_purge
 *   readers  mole_holes_purged
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) purged_a;

uint64_t mole_holes_purged(void)
{
    return load_rlx(&purged_a);
}

/* The units from `first` to `last`, both included. */
static uint32_t units_between(size_t first, size_t last)
{
    return UINT32_MAX >> (MOLE_HOLES_BITS - 1 - (last - first)) << first;
}

/*
 * The units that live blocks lie in. Where one is live, those behind it that begin and
 * end in the same unit tell nothing more.
 */
static uint32_t live_units(const struct mole_span *span, size_t unit)
{
    uint32_t units = 0;
    size_t bytes = span->block_bytes;
    for (size_t index = 0; index < span->fresh; index++) {
        if (!mole_span_entry_is_live(load_rlx(&span->entry_a[index])))
            continue;
        size_t last = (index * bytes + bytes - 1) / unit;
        units |= units_between(index * bytes / unit, last);
        size_t next = ((last + 1) * unit - 1) / bytes; /* has that unit's last byte */
        if (next > index)
            index = next - 1;
    }
    return units;
}

size_t mole_holes_purge(struct mole_span *span)
{
    if (span->heap->checks)
        return 0;
    size_t unit = mole_holes_unit(span), count = 0;
    size_t last = span->pages * MOLE_PAGE / unit - 1;
    uint32_t holes = units_between(0, last) & ~live_units(span, unit) & ~span->purged;
    while (holes) {
        unsigned first = (unsigned)__builtin_ctz(holes);
        uint32_t end = ~(holes >> first);
        unsigned length = end ? (unsigned)__builtin_ctz(end) : MOLE_HOLES_BITS;
        uint32_t run = units_between(first, first + length - 1);
        holes &= ~run;
        if (!mole_pages_purge(span->base + first * unit, length * unit))
            continue; /* refused: resident still */
        span->purged |= run;
        count += length * unit / MOLE_PAGE;
    }
    add_rlx(&purged_a, count);
    return count;
}
