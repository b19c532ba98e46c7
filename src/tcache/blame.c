/* SPDX-License-Identifier: MIT */
/*
 * Addresses that malloc's functions were given and that are no blocks of malloc's, and
 * the room of those that are.
 */
#include <string.h>

#include "arena/guard.h"
#include "arena/region.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "tcache/block.h"
#include "tcache/fixed_cache.h"
#include "tcache/mixed.h"
#include "tcache/process.h"

bool mole_block_is_ours(const void *address)
{
    return mole_process_start() && mole_region_holds(address);
}

/*
 * foreign_a: addresses given to malloc's functions that are not ours.
 *   writers  mole_block_count_foreign
 *   readers  mole_block_foreign
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) foreign_a;

void mole_block_count_foreign(void)
{
    add_rlx(&foreign_a, 1);
}

uint64_t mole_block_foreign(void)
{
    return load_rlx(&foreign_a);
}

void mole_block_blame(const char *call, const void *address)
{
    struct mole_span *span = mole_span_map_find(address);
    size_t index;
    if (span == &mole_span_nobody || span->kind == MOLE_SPAN_NONE ||
        (span->kind == MOLE_SPAN_LARGE && load_rlx(&span->bytes_a) == MOLE_LARGE_FREE))
        mole_die("invalid %s of %p: no block is there, or not any more", call, address);
    if (span->heap != mole_process_malloc_heap())
        mole_die("invalid %s of %p: it belongs to a heap, use HeapFree", call, address);
    unsigned long room = mole_block_room(span, address);
    if (span->kind == MOLE_SPAN_LARGE || !mole_span_index(span, address, &index))
        mole_die("invalid %s of %p: inside a block of %lu bytes", call, address, room);
    if (strcmp(call, "free") == 0)
        mole_die("double free of %p, a block of %lu bytes", address, room);
    mole_die("invalid %s of %p: a freed block of %lu bytes", call, address, room);
}

size_t mole_block_room(const struct mole_span *span, const void *block)
{
    if (span->kind == MOLE_SPAN_LARGE)
        return mole_round_up(mole_guard_padded(span->heap, load_rlx(&span->bytes_a)),
                             MOLE_PAGE);
    if (span->kind == MOLE_SPAN_FIXED)
        return mole_fixed_length(span->fixed, mole_span_bytes(span, block)) *
               MOLE_GRANULE;
    return span->class == MOLE_CLASS_MIXED ? mole_mixed_room(span, block)
                                           : span->block_bytes;
}
