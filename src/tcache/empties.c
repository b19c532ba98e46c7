/* SPDX-License-Identifier: MIT */
#include "tcache/empties.h"

#include "arena/warmth.h"
#include "tcache/idle.h"
#include "tcache/slab.h"

/*
 * Slabs that are dear, for they are used up soon: of few blocks, larger than those that
 * programs have most of.
 */
static bool is_dear(const struct mole_span *span)
{
    enum { FEW_BLOCKS = 64, SMALL_BYTES = 512 };
    return span->capacity < FEW_BLOCKS && span->block_bytes > SMALL_BYTES;
}

bool mole_empties_put(struct mole_tcache *cache, struct mole_span *span, bool is_own)
{
    bool is_roomy = is_own && is_dear(span) && !mole_warmth_is_full();
    uint32_t most = is_roomy ? MOLE_EMPTY_MOST : MOLE_EMPTY_PAGES;
    if (cache->empty_pages + span->pages > most && !cache->keeps_all)
        return false;
    mole_slab_arm(cache, span, 0);
    cache->empty_pages += span->pages;
    mole_idle_count(cache, (int32_t)span->pages);
    span->next = cache->empties[span->class];
    cache->empties[span->class] = span;
    return true;
}

struct mole_span *mole_empties_take(struct mole_tcache *cache, unsigned class)
{
    struct mole_span *span = cache->empties[class];
    if (!span)
        return NULL;
    cache->empties[class] = span->next;
    cache->empty_pages -= span->pages;
    if (cache->empty_pages < cache->empty_least)
        cache->empty_least = cache->empty_pages;
    mole_idle_count(cache, -(int32_t)span->pages);
    span->next = NULL;
    return span;
}

void mole_empties_sweep(struct mole_tcache *cache)
{
    if (cache->empty_least > MOLE_EMPTY_PAGES)
        (void)mole_empties_drop(cache, NULL);
    cache->empty_least = cache->empty_pages;
}

bool mole_empties_drop(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    bool had_any = cache->empty_pages != 0;
    struct mole_span *span;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        while ((span = mole_empties_take(cache, class)))
            mole_slab_destroy(cache, slots, span);
    return had_any;
}
