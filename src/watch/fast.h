/* SPDX-License-Identifier: MIT */
/*
 * The fast paths of a heap that spies watch: those of the plain heap once more, with
 * another key (watched_key_a) and the callbacks around them.
 */
#pragma once

#include "arena/exact.h"
#include "arena/late.h"
#include "arena/mode.h"
#include "arena/span_map.h"
#include "spy/fast.h"
#include "tcache/block.h"
#include "tcache/head.h"

mole_hot struct mole_spied mole_fast_spied(const struct mole_tcache *cache, void *key)
{
    return (struct mole_spied){
        .scope = key == MOLE_MALLOC_KEY ? (uint64_t)MOLE_SPY_ON_MALLOC : cache->owner.id,
        .name = key,
    };
}

/*
 * Take a block of the size class of `slot`, inside an operation that the key allowed; or
 * NULL: take the other way, nothing has happened. `key` stands for the heap, as in all of
 * these.
 */
mole_hot void *mole_fast_pop(struct mole_tcache *cache, const void *key, size_t bytes)
{
    size_t slot = (bytes - 1) / MOLE_ALIGN;
    void *block;
    if (unlikely(slot >= MOLE_DIRECT_COUNT))
        return NULL;
    struct mole_span *span = cache->direct[slot];
    bool is_done = key == MOLE_MALLOC_KEY
                       ? mole_head_pop(span, &block)
                       : mole_tcache_pop(span, mole_span_mark(bytes), &block);
    return likely(is_done) ? block : NULL;
}

/*
 * A block of a sampled heap that is not picked, or NULL. `cache` is one that the thread
 * may enter.
 */
mole_hot void *mole_fast_alloc_sampled(struct mole_tcache *cache, void *key, size_t bytes)
{
    struct mole_draw *draw = &cache->draw;
    void *block = NULL;
    mole_tcache_enter(cache);
    if (likely(load_acq(&cache->owner.sampled_key_a) == key && /* HB-GATE-2 */
               draw->mean == load_rlx(&mole_set_sample_a) &&
               (uint64_t)draw->left >= bytes))
        block = mole_fast_pop(cache, key, bytes);
    if (likely(block))
        draw->left -= (int64_t)bytes;
    mole_tcache_leave(cache);
    return block;
}

/*
 * A block of a spied heap, of which the spies have heard; or NULL. Inside of an operation
 * that the spied key allowed; it ends.
 */
mole_hot void *mole_fast_alloc_inside(const struct mole_spy_view *view,
                                      struct mole_tcache *cache, void *key, size_t bytes)
{
    void *block = mole_fast_pop(cache, key, bytes);
    mole_tcache_leave(cache);
    if (unlikely(!block))
        return NULL;
    if (key == MOLE_MALLOC_KEY)
        bytes = cache->direct[(bytes - 1) / MOLE_ALIGN]->block_bytes;
    mole_spy_allocated_fast(view, mole_fast_spied(cache, key), block, bytes);
    return block;
}

/* The same from outside, of a cache as above. */
mole_hot void *mole_fast_alloc_spied(const struct mole_spy_view *view,
                                     struct mole_tcache *cache, void *key, size_t bytes)
{
    mole_tcache_enter(cache);
    if (likely(load_acq(&cache->owner.spied_key_a) == key)) /* HB-GATE-2 */
        return mole_fast_alloc_inside(view, cache, key, bytes);
    mole_tcache_leave(cache);
    return NULL;
}

/* The same for either kind. */
mole_hot void *mole_fast_alloc(const struct mole_spy_view *view,
                               struct mole_tcache *cache, void *key, size_t bytes)
{
    void *block = mole_fast_alloc_spied(view, cache, key, bytes);
    if (likely(block) || load_rlx(&cache->owner.sampled_key_a) != key)
        return block;
    return mole_fast_alloc_sampled(cache, key, bytes);
}

/* A live block of a spied heap, of a span whose owner the thread is; or false. */
mole_hot bool mole_fast_finds(const struct mole_span *span, const void *key,
                              struct mole_spy_block *block, size_t *index)
{
    struct mole_tcache *cache = (struct mole_tcache *)(void *)mole_span_owner(span);
    if (unlikely(load_rlx(&cache->owner.spied_key_a) != key ||
                 !mole_span_index(span, block->block, index) ||
                 (key != MOLE_MALLOC_KEY && span->class == MOLE_CLASS_LAST)))
        return false;
    uint16_t entry = load_rlx(&span->entry_a[*index]);
    block->bytes =
        key == MOLE_MALLOC_KEY ? span->block_bytes : entry & ~(unsigned)MOLE_LIVE;
    return likely(mole_span_entry_is_live(entry));
}

/* The heap has got another mode meanwhile, or the callback freed the block. */
static mole_slow bool mole_fast_free_late(struct mole_span *span, void *block,
                                          unsigned how)
{
    return mole_block_free(span, block, how);
}

/* The slab's countdown ended with this free. */
static mole_slow bool mole_fast_counted_down(struct mole_tcache *cache,
                                             struct mole_span *span)
{
    mole_tcache_counted_down(cache, mole_thread_slots(), span);
    mole_tcache_leave(cache);
    return true;
}

/*
 * Free the block that mole_fast_finds found, after the spies have heard of it. What can
 * be found again is not kept over the callback.
 */
mole_hot bool mole_fast_free(const struct mole_spy_view *view, struct mole_span *span,
                             void *key, const struct mole_spy_block *gone, size_t index,
                             unsigned how)
{
    struct mole_tcache *cache = (struct mole_tcache *)(void *)mole_span_owner(span);
    mole_spy_freed_fast(view, mole_fast_spied(cache, key), gone->block, gone->bytes);
    mole_forget(span);
    mole_forget(index);
    cache = (struct mole_tcache *)(void *)mole_span_owner(span);
    if (unlikely(mole_span_is_purged(span, &cache->owner)))
        return false;
    mole_tcache_enter(cache);
    if (unlikely(load_acq(&cache->owner.spied_key_a) != key || /* HB-GATE-2 */
                 !mole_span_entry_is_live(load_rlx(&span->entry_a[index])))) {
        mole_tcache_leave(cache);
        return mole_fast_free_late(span, gone->block, how);
    }
    bool goes_on = key == MOLE_MALLOC_KEY ? mole_head_push(span, index, gone->block)
                                          : mole_tcache_push(span, index);
    if (unlikely(!goes_on))
        return mole_fast_counted_down(cache, span);
    mole_tcache_leave(cache);
    return true;
}
