/* SPDX-License-Identifier: MIT */
/*
 * late — what a reader sees who found a span by an address, while another thread freed
 * the last block there. The slab is gone then, and its record is somebody else's, or
 * free, or purged (group.h) and all zero. Nothing has pinned it: only the claim of a live
 * block does (entry_a), or being the owner. Until then owner and heap are read with
 * these, for the fields themselves may be NULL.
 *
 *   zeros: to_owner 0, owner NULL, heap NULL, MOLE_SPAN_NONE, no blocks, no live entry
 */
#pragma once

#include "arena/span.h"

/* The heap of what is nobody's: no mode, no checks, no blocks. */
extern mole_own struct mole_heap mole_heap_nobody;

/* A purged record is its own owner, whose thread is MOLE_ORPHAN. */
mole_hot struct mole_owner *mole_span_owner(const struct mole_span *span)
{
    return (struct mole_owner *)(void *)((char *)span + span->to_owner);
}
static_assert(offsetof(struct mole_span, owner) == offsetof(struct mole_owner, thread_a),
              "a record of zeros is its own owner, which is no thread's");

/* Whether `owner` was read of a purged record; it is not to be entered then. */
mole_hot bool mole_span_is_purged(const struct mole_span *span,
                                  const struct mole_owner *owner)
{
    return (const void *)span == (const void *)owner;
}

/* A purged record's is mole_heap_nobody. */
mole_hot struct mole_heap *mole_span_heap(const struct mole_span *span)
{
    struct mole_heap *heap = span->heap;
    return likely(heap) ? heap : &mole_heap_nobody;
}
