/* SPDX-License-Identifier: MIT */
#include "tcache/sweep.h"

#include "arena/holes.h"
#include "os/thread.h"
#include "tcache/empties.h"

static uint32_t ticks(void)
{
    return (uint32_t)(mole_clock_ms() / MOLE_PASS_MS);
}

void mole_sweep_note(struct mole_tcache *cache, struct mole_span *span)
{
    if (unlikely(!cache->sweep.now)) /* else that of the last step will do */
        cache->sweep.now = ticks();
    span->listed = (uint16_t)cache->sweep.now;
    span->look_at = (uint16_t)(MOLE_SWEEP_LIVE * span->pages);
    span->purged = 0;
}

/* Of few live blocks, and fewer by a quarter than the last time. */
static size_t look_at(struct mole_span *span)
{
    if (span->countdown > span->look_at)
        return 0;
    span->look_at = (uint16_t)(span->countdown * 3 / 4);
    return mole_holes_purge(span);
}

static bool has_aged(const struct mole_sweep *sweep, const struct mole_span *span)
{
    return (uint16_t)(sweep->now - span->listed) >= MOLE_SWEEP_AGE;
}

/* The next slab that is old enough, of this class or a later one; NULL: that was all. */
static struct mole_span *next_old(struct mole_tcache *cache)
{
    struct mole_sweep *sweep = &cache->sweep;
    while (!sweep->next || !has_aged(sweep, sweep->next)) {
        if (++sweep->class >= MOLE_SLAB_CLASSES) {
            mole_sweep_end(cache);
            return NULL;
        }
        struct mole_span *newest = cache->partial[sweep->class];
        sweep->next = newest ? newest->prev : NULL;
    }
    struct mole_span *span = sweep->next;
    mole_sweep_forget(cache, span);
    return span;
}

void mole_sweep_step(struct mole_tcache *cache, uint32_t now)
{
    struct mole_sweep *sweep = &cache->sweep;
    sweep->now = now;
    if (sweep->class == MOLE_SLAB_CLASSES) {
        if (sweep->began == sweep->now)
            return;
        sweep->began = sweep->now;
        mole_empties_sweep(cache);
        sweep->class = UINT8_MAX; /* before the first */
    }
    size_t pages = 0;
    struct mole_span *span;
    for (int slabs = 0; slabs < MOLE_SWEEP_SLABS && pages < MOLE_SWEEP_PAGES; slabs++) {
        span = next_old(cache);
        if (!span)
            return;
        pages += look_at(span);
    }
}

void mole_sweep_go_on_slow(struct mole_tcache *cache)
{
    if (cache->keeps_all) {
        cache->sweep.wait = 1; /* not while the heap is paused: it takes system calls */
        return;
    }
    cache->sweep.wait = MOLE_SWEEP_EVERY;
    mole_sweep_step(cache, ticks());
}

size_t mole_sweep_all(struct mole_tcache *cache)
{
    size_t pages = 0;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        for (struct mole_span *span = cache->partial[class]; span; span = span->next)
            pages += mole_holes_purge(span);
    return pages;
}
