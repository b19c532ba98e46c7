/* SPDX-License-Identifier: MIT */
#include "tcache/mixed.h"

#include <assert.h>

#include "arena/inbox.h"
#include "tcache/slab.h"

static_assert(MOLE_MIXED_BYTES == 2 * 128 && MOLE_MIXED_CLASS == 8 + 8 - 1,
              "the last class of the octave above 128");
static_assert(MOLE_MIXED_TIMES <= UINT8_MAX, "used counts so far");

static void begin(struct mole_tcache *cache, struct mole_span *span)
{
    store_rlx(&span->state_a, MOLE_SPAN_CURRENT);
    mole_slab_arm(cache, span, MOLE_COUNT_ON);
    cache->mixed = span;
}

void *mole_mixed_alloc(struct mole_tcache *cache, struct mole_pool_slots *slots,
                       unsigned class, uint32_t mark)
{
    struct mole_heap *heap = cache->owner.heap;
    if (!mole_mixed_serves(cache, class) || !heap->is_sized || heap->checks)
        return NULL;
    struct mole_span *span = cache->mixed;
    if (span == &mole_tcache_none) {
        span = mole_slab_create_of(cache, slots, MOLE_MIXED_CLASS, 1, true);
        if (!span)
            return NULL;
        begin(cache, span);
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
    if (class > MOLE_MIXED_CLASS || cache->current[class] == &mole_tcache_none ||
        cache->used[class] == UINT8_MAX || cache->mixed->free == MOLE_END)
        return false;
    cache->used[class]++;
    return true;
}

void mole_mixed_retire(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    struct mole_span *span = cache->mixed;
    if (span == &mole_tcache_none || !mole_slab_is_whole(span))
        return;
    cache->mixed = &mole_tcache_none;
    mole_slab_destroy(cache, slots, span);
}

void mole_mixed_rebuild(struct mole_tcache *cache, struct mole_pool_slots *slots,
                        struct mole_span *span)
{
    mole_span_rebuild(span);
    span->armed = span->countdown = 0;
    span->woken_next = NULL;
    begin(cache, span);
    mole_mixed_retire(cache, slots); /* maybe never used */
}

size_t mole_mixed_room(const struct mole_span *span, const void *block)
{
    size_t bytes = mole_span_bytes(span, block);
    if (bytes > MOLE_MIXED_BYTES) /* free */
        return MOLE_MIXED_BYTES;
    return mole_size_class_bytes(mole_size_class_of(bytes ? bytes : 1));
}
