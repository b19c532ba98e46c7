/* SPDX-License-Identifier: MIT */
#include "tcache/empties.h"

#include "tcache/idle.h"
#include "tcache/slab.h"

bool mole_empties_put(struct mole_tcache *cache, struct mole_span *span)
{
    if (cache->empty_pages + span->pages > MOLE_EMPTY_PAGES && !cache->keeps_all)
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
    mole_idle_count(cache, -(int32_t)span->pages);
    span->next = NULL;
    return span;
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
