/* SPDX-License-Identifier: MIT */
/*
 * The fast paths of a heap that spies watch: those of the plain heap once more, with
 * another key (watched_key_a) and the callbacks around them.
 */
#pragma once

#include "arena/mode.h"
#include "arena/span_map.h"
#include "spy/spy.h"
#include "tcache/block.h"

mole_hot struct mole_spied mole_fast_spied(const struct mole_tcache *cache, void *key)
{
    bool is_malloc = key == MOLE_MALLOC_KEY;
    return (struct mole_spied){
        .scope = is_malloc ? (uint64_t)MOLE_SPY_ON_MALLOC : cache->owner.id,
        .name = key,
    };
}

/* Whether an allocation of `bytes` is not picked for a sample, and counted. */
mole_hot bool mole_fast_counts(struct mole_draw *draw, size_t bytes)
{
    if (unlikely(draw->mean != load_rlx(&mole_set_traits.sample_bytes_a) ||
                 (uint64_t)draw->left < bytes))
        return false;
    draw->left -= (int64_t)bytes;
    return true;
}

/*
 * A block of `bytes`, or NULL: take the other way, nothing has happened. `cache` is one
 * that the thread may enter; `key` stands for the heap.
 */
mole_hot void *mole_fast_alloc(struct mole_tcache *cache, void *key, size_t bytes)
{
    size_t slot = (bytes - 1) / MOLE_ALIGN;
    bool is_sized = key != MOLE_MALLOC_KEY;
    void *block;
    mole_tcache_enter(cache);
    if (unlikely(load_acq(&cache->owner.watched_key_a) != key || /* HB-GATE-2 */
                 slot >= MOLE_DIRECT_COUNT || load_rlx(&mole_set_traits.has_veto_a)))
        goto other;
    struct mole_span *span = cache->direct[slot];
    unsigned modes = mole_mode_of(cache->owner.heap);
    if (unlikely(span->free == MOLE_END))
        goto other;
    if (unlikely(modes & MOLE_MODE_SAMPLED) && !mole_fast_counts(&cache->draw, bytes))
        goto other;
    if (!mole_tcache_pop(span, is_sized ? mole_span_mark(bytes) : MOLE_WHOLE, &block))
        goto other;
    mole_tcache_leave(cache);
    if (modes & MOLE_MODE_SPIED)
        mole_spy_allocated(mole_fast_spied(cache, key), block,
                           is_sized ? bytes : span->block_bytes, MOLE_SPY_NO_MARK);
    return block;
other:
    mole_tcache_leave(cache);
    return NULL;
}

/*
 * Free a block of the cache's own, after the spies have heard of it. False: take the
 * other way, nothing has happened.
 */
mole_hot bool mole_fast_free(struct mole_tcache *cache, void *key, void *block)
{
    struct mole_span *span = mole_span_map_find(block);
    size_t index;
    if (unlikely(span->owner != &cache->owner ||
                 load_rlx(&cache->owner.watched_key_a) != key ||
                 !mole_span_index(span, block, &index)))
        return false;
    uint16_t entry = load_rlx(&span->entry_a[index]);
    if (unlikely(!mole_span_entry_is_live(entry)))
        return false;
    mole_spy_freed(mole_fast_spied(cache, key), block, mole_span_entry_bytes(span, entry),
                   MOLE_SPY_NO_MARK);
    mole_tcache_enter(cache);
    if (unlikely(load_acq(&cache->owner.watched_key_a) != key)) { /* HB-GATE-2 */
        mole_tcache_leave(cache);
        mole_block_free(span, block, 0);
        return true;
    }
    if (unlikely(!mole_tcache_push(span, index)))
        mole_tcache_counted_down(cache, mole_thread_slots(), span);
    mole_tcache_leave(cache);
    return true;
}
