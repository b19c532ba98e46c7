/* SPDX-License-Identifier: MIT */
/*
 * malloc_usable_size. Programs that add up what they use ask at every allocation and
 * every free (redis does, so three times as often as it allocates): so this is a fast
 * path.
 *
 * It begins no operation: the block is the caller's, and nothing that is read here of its
 * span changes while it lives. No mode changes the answer.
 */
#include "arena/large.h"
#include "malloc/malloc.h"
#include "malloc/names.h"
#include "tcache/thread.h"

static bool is_live(const struct mole_span *span, size_t index)
{
    return likely(mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index])));
}

/*
 * A block of another thread's slab, or a large one; else the long way finds what it is.
 */
static __attribute__((noinline)) size_t
room_further(const struct mole_span *span, void *block, const struct mole_heap *heap)
{
    size_t index;
    if (unlikely(span->heap != heap))
        return mole_malloc_usable_slow(block);
    if (span->kind == MOLE_SPAN_SLAB && mole_span_index(span, block, &index) &&
        index < span->capacity && is_live(span, index))
        return span->block_bytes;
    if (span->kind == MOLE_SPAN_LARGE && span->base == block) {
        size_t bytes = load_rlx(&span->bytes_a);
        if (likely(bytes != MOLE_LARGE_FREE))
            return bytes; /* all of its pages: malloc's large blocks record that */
    }
    return mole_malloc_usable_slow(block);
}

size_t MALLOC_NAME(malloc_usable_size)(void *block)
{
    const struct mole_owner *owner = &mole_tls.malloc_cache->owner;
    uintptr_t page;
    size_t index;
    if (unlikely(!mole_span_map_has(&mole_malloc_view, block, &page)))
        return mole_malloc_usable_slow(block);
    const struct mole_span *span = load_acq(&mole_malloc_view.table[page]); /* HB-MAP-1 */
    if (unlikely(span->owner != owner))
        return room_further(span, block, owner->heap);
    if (unlikely(!mole_span_index(span, block, &index) || !is_live(span, index)))
        return mole_malloc_usable_slow(block);
    return span->block_bytes;
}
