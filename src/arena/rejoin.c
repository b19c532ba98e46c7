/* SPDX-License-Identifier: MIT */
#include "arena/rejoin.h"

#include "arena/bins.h"
#include "arena/hands.h"
#include "arena/pool.h"
#include "arena/region.h"

/*
 * count_a: see mole_rejoin_count.
 *   writers  rejoin, inside
 *   readers  mole_rejoin_count
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) count_a;

/*
 * Inside: nothing above `reach` chunks is to be had while `gives` runs have been given
 * back.
 */
static struct {
    uint64_t gives;
    size_t reach;
} known = {.reach = SIZE_MAX};

uint64_t mole_rejoin_count(void)
{
    return load_rlx(&count_a);
}

/* The best run in the hands, cut to size, or NULL. The others go back to the pool. */
static struct mole_run *pick(size_t chunks)
{
    struct mole_run *run = mole_hands_best(chunks);
    if (!run) {
        mole_hands_put_all();
        return NULL;
    }
    if (run->chunks > chunks) {
        struct mole_run *rest = mole_meta_take(MOLE_META_RUN, sizeof *rest);
        if (rest) { /* else it is wasted until the run comes back */
            mole_run_split(run, chunks, rest);
            mole_bins_push(rest);
        }
    }
    return mole_hands_keep();
}

/* A run from the bins, of the smallest sizes that will do. */
static struct mole_run *find(size_t chunks)
{
    for (unsigned bin = mole_bins_of(chunks); bin < MOLE_BINS; bin++) {
        struct mole_run *run;
        while ((run = mole_bins_pop_warm(bin)) || (run = mole_bins_pop_cold(bin))) {
            mole_hands_hold(run);
            if (run->chunks >= chunks)
                return pick(chunks);
        }
    }
    return pick(chunks); /* only those of the first bin that are too small */
}

/* One by one, for the sake of a fork's child; no new runs are made meanwhile. */
static void take_everything(void)
{
    mole_pool_drain_all();
    for (unsigned bin = 0; bin < MOLE_BINS; bin++) {
        struct mole_run *run;
        while ((run = mole_bins_pop_warm(bin)) || (run = mole_bins_pop_cold(bin)))
            mole_hands_hold(run);
    }
}

/* What joining would make. */
struct pieces {
    size_t largest;        /* chunks */
    size_t open;           /* chunks of the one that fresh chunks follow; 0: none */
    struct mole_run *last; /* the highest run */
};

static struct pieces measure(void)
{
    struct pieces all = {0};
    size_t chunks = 0;
    for (struct mole_run *run = mole_hands_first(); run; run = run->next) {
        bool is_joined = all.last && mole_run_end(all.last) == run->base;
        chunks = run->chunks + (is_joined ? chunks : 0);
        all.largest = chunks > all.largest ? chunks : all.largest;
        all.last = run;
    }
    if (all.last && !mole_region_holds(mole_run_end(all.last)))
        all.open = chunks;
    return all;
}

/*
 * Whether there is a piece of so many chunks, be it with fresh ones behind the last run.
 */
static bool has_piece(size_t chunks)
{
    struct pieces all = measure();
    size_t open = all.open ? all.open + mole_region_fresh() : 0;
    if (all.largest < chunks && open >= chunks) {
        struct mole_run *behind = mole_run_create(chunks - all.open);
        if (behind) {
            behind->next = NULL;
            fence_compiler();
            all.last->next = behind; /* if others took some too, not next to it */
        }
        all = measure();
        open = all.open;
    }
    known.reach = all.largest > open ? all.largest : open;
    return all.largest >= chunks;
}

static void join_neighbours(void)
{
    struct mole_run *run = mole_hands_first();
    while (run) {
        struct mole_run *next = run->next;
        if (next && mole_run_end(run) == next->base) {
            run->next = next->next;
            fence_compiler(); /* a fork's child must not find its chunks twice */
            mole_run_join(run, next);
        } else {
            run = next;
        }
    }
}

static struct mole_run *rejoin(size_t chunks)
{
    add_rlx(&count_a, 1);
    known.gives = mole_pool_gives(); /* first: what is given from now on counts as new */
    take_everything();
    mole_hands_sort();
    if (has_piece(chunks))
        join_neighbours();
    return pick(chunks);
}

struct mole_run *mole_rejoin_take(size_t chunks)
{
    if (chunks > mole_region_reserved() / MOLE_CHUNK)
        return NULL;
    mole_hands_enter();
    struct mole_run *run = find(chunks);
    if (!run)
        run = mole_run_create(chunks); /* the caller tried to have some more */
    if (!run && (chunks <= known.reach || mole_pool_gives() != known.gives))
        run = rejoin(chunks);
    mole_hands_leave();
    return run;
}

void mole_rejoin_repair(void)
{
    known.reach = SIZE_MAX;
    mole_hands_repair();
}
