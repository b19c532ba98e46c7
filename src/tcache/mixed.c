/* SPDX-License-Identifier: MIT */
#include "tcache/mixed.h"

#include <assert.h>

#include "arena/inbox.h"
#include "tcache/slab.h"

static_assert(MOLE_MIXED_BYTES == 2 * 128 && MOLE_MIXED_LAST == 8 + 8 - 1,
              "the last class of the octave above 128");
static_assert(MOLE_MIXED_TIMES <= UINT8_MAX, "used counts so far");

void *mole_mixed_alloc(struct mole_tcache *cache, struct mole_pool_slots *slots,
                       unsigned class, uint32_t mark)
{
    struct mole_heap *heap = cache->owner.heap;
    if (!mole_mixed_serves(cache, class) || !heap->is_sized || heap->checks)
        return NULL;
    struct mole_span *span = cache->current[MOLE_CLASS_MIXED];
    if (span == &mole_tcache_none) {
        span = mole_slab_pop_partial(cache, MOLE_CLASS_MIXED); /* in a fork's child */
        if (!span)
            span = mole_slab_create(cache, slots, MOLE_CLASS_MIXED);
        if (!span)
            return NULL;
        mole_slab_make_current(cache, span);
    } else if (span->free == MOLE_END) {
        mole_slab_drain(cache, slots, span, false);
    }
    if (span->free == MOLE_END && !mole_span_carve(span))
        return NULL;
    void *block;
    return mole_mixed_pop(cache, class, mark, &block) ? block : NULL;
}

bool mole_mixed_has_rest(struct mole_tcache *cache, unsigned class)
{
    if (class > MOLE_MIXED_LAST || cache->current[class] == &mole_tcache_none ||
        cache->used[class] == UINT8_MAX ||
        cache->current[MOLE_CLASS_MIXED]->free == MOLE_END)
        return false;
    cache->used[class]++;
    return true;
}

size_t mole_mixed_room(const struct mole_span *span, const void *block)
{
    size_t bytes = mole_span_bytes(span, block);
    if (bytes > MOLE_MIXED_BYTES) /* free */
        return MOLE_MIXED_BYTES;
    return mole_size_class_bytes(mole_size_class_of(bytes ? bytes : 1));
}
