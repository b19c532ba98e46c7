/* SPDX-License-Identifier: MIT */
#include "arena/pool.h"

#include "arena/bins.h"
#include "arena/hands.h"
#include "arena/region.h"
#include "arena/rejoin.h"
#include "arena/warmth.h"
#include "os/pages.h"
#include "os/thread.h"

/*
 * pass_a: passes made. tick_ms_a: when the last one began. purged_a: runs purged.
 *   writers  mole_pool_pass; tick, by the one thread that moves it on; purge
 *   readers  the same; mole_pool_purged
 *   orders   relaxed: figures, and times that need not be exact
 *   keeps    none falls
 */
static _Atomic(uint32_t) pass_a;
static _Atomic(uint64_t) tick_ms_a;
static _Atomic(uint64_t) purged_a;

/*
 * has_purger_a: somebody else makes the passes. was_fed_a: runs were given back.
 *   writers  the purger
 *   readers  give; the purger
 *   orders   relaxed: a pass more or less is no error
 *   keeps    nothing
 */
static _Atomic(bool) has_purger_a;
static _Atomic(bool) was_fed_a;

/*
 * all_slots_a: the slots of all threads there ever were, linked by all_next.
 *   writers  mole_pool_enlist pushes
 *   readers  passes
 *   orders   push CAS release, load acquire: HB-POOL-2
 *   keeps    only grows
 */
static _Atomic(struct mole_pool_slots *) all_slots_a;

/*
 * release_a: what gives back what is laid by elsewhere; or NULL.
 *   writers  mole_pool_call_for_spares, once
 *   readers  passes; who looks through all that is free
 *   orders   relaxed: a function of this library
 *   keeps    never NULL again
 */
static _Atomic(mole_pool_release) release_a;

/*
 * gives_a: times runs were given back without slots, or moved out of them.
 *   writers  count_give
 *   readers  mole_pool_gives
 *   orders   add release, load acquire: HB-POOL-3
 *   keeps    rises after the run is where it can be found
 */
static _Atomic(uint64_t) gives_a;

void mole_pool_leave_passes(bool to_purger)
{
    store_rlx(&has_purger_a, to_purger);
}

bool mole_pool_was_fed(void)
{
    bool was_fed = load_rlx(&was_fed_a);
    store_rlx(&was_fed_a, false);
    return was_fed;
}

void mole_pool_enlist(struct mole_pool_slots *slots)
{
    struct mole_pool_slots *head = load_rlx(&all_slots_a);
    do {
        slots->all_next = head;
    } while (!cas_weak_rel(&all_slots_a, &head, slots)); /* HB-POOL-2 */
}

size_t mole_pool_round(size_t chunks)
{
    return mole_bins_chunks(mole_bins_for(chunks));
}

/* A run that was warm once, and comes late. */
static struct mole_run *pop_cold(unsigned bin)
{
    struct mole_run *run = mole_bins_pop_cold(bin);
    if (run)
        mole_warmth_missed(run->chunks);
    return run;
}

struct mole_run *mole_pool_take(struct mole_pool_slots *slots, size_t chunks)
{
    struct mole_run *run;
    if (chunks == 1 && slots)
        for (unsigned i = 0; i < MOLE_POOL_SLOTS; i++) {
            run = load_rlx(&slots->slot_a[i]);
            if (run && (run = swap_acq(&slots->slot_a[i], NULL))) /* HB-POOL-1 */
                return run;
        }
    unsigned bin = mole_bins_for(chunks);
    if (bin >= MOLE_BINS)
        return NULL;
    run = mole_bins_pop_warm(bin);
    if (!run && bin + 1 < MOLE_BINS && mole_region_fresh() >= chunks)
        run = mole_bins_pop_warm(bin + 1);
    if (!run)
        run = pop_cold(bin);
    if (!run)
        run = mole_run_create(mole_bins_chunks(bin));
    return run ? run : mole_rejoin_take(chunks);
}

/* Make a pass now and then, by one thread at a time, unless the purger does. */
static void tick(void)
{
    if (load_rlx(&has_purger_a)) {
        store_rlx(&was_fed_a, true);
        return;
    }
    uint64_t now = mole_clock_ms();
    uint64_t last = load_rlx(&tick_ms_a);
    if (now - last >= MOLE_PASS_MS && cas_weak_rlx(&tick_ms_a, &last, now))
        (void)mole_pool_pass();
}

static void count_give(struct mole_pool_slots *slots)
{
    if (slots)
        store_rel(&slots->gives_a, load_rlx(&slots->gives_a) + 1); /* HB-POOL-3 */
    else
        add_rel(&gives_a, 1); /* HB-POOL-3 */
}

uint64_t mole_pool_gives(void)
{
    uint64_t sum = load_acq(&gives_a);                                  /* HB-POOL-3 */
    for (struct mole_pool_slots *slots = load_acq(&all_slots_a); slots; /* HB-POOL-2 */
         slots = slots->all_next)
        sum += load_acq(&slots->gives_a); /* HB-POOL-3 */
    return sum;
}

/* The run's contents go. False: the system refuses, it stays warm. */
static bool purge(struct mole_run *run)
{
    if (!mole_pages_purge(run->base, (size_t)run->chunks * MOLE_CHUNK))
        return false;
    run->is_zero = 1;
    add_rlx(&purged_a, 1);
    return true;
}

void mole_pool_give(struct mole_pool_slots *slots, struct mole_run *run)
{
    run->is_zero = run->is_zero == MOLE_RUN_EMPTIED;
    run->given = load_rlx(&pass_a);
    if (run->chunks == 1 && slots)
        for (unsigned i = 0; i < MOLE_POOL_SLOTS; i++) {
            struct mole_run *empty = NULL;
            if (load_rlx(&slots->slot_a[i]) || !cas_rel(&slots->slot_a[i], &empty, run))
                continue; /* HB-POOL-1 */
            store_rlx(&slots->touched_a, true);
            count_give(slots);
            return;
        }
    if (!run->is_zero && !mole_warmth_allows(run->chunks))
        (void)purge(run);
    mole_bins_push(run);
    count_give(slots);
    tick();
}

/* Returns whether there was a run. */
static bool empty(struct mole_pool_slots *slots)
{
    bool had_run = false;
    for (unsigned i = 0; i < MOLE_POOL_SLOTS; i++) {
        struct mole_run *run = swap_acq(&slots->slot_a[i], NULL); /* HB-POOL-1 */
        if (!run)
            continue;
        mole_bins_push(run);
        had_run = true;
    }
    return had_run;
}

void mole_pool_drain(struct mole_pool_slots *slots)
{
    if (empty(slots))
        count_give(NULL); /* meanwhile a run was in no place where it is looked for */
}

void mole_pool_call_for_spares(mole_pool_release release)
{
    store_rlx(&release_a, release);
}

static size_t release_spares(bool all)
{
    mole_pool_release release = load_rlx(&release_a);
    return release ? release(all) : 0;
}

void mole_pool_count_spare(struct mole_pool_slots *slots)
{
    count_give(slots);
}

void mole_pool_drain_all(void)
{
    (void)release_spares(true);
    for (struct mole_pool_slots *slots = load_acq(&all_slots_a); slots; /* HB-POOL-2 */
         slots = slots->all_next)
        empty(slots);
}

/* Purge the runs of one bin that were given before `since`; the others stay, in order. */
static size_t purge_before(unsigned bin, uint32_t since, size_t *kept)
{
    size_t count = 0;
    struct mole_run *run;
    mole_hands_take_warm(bin);
    for (; (run = mole_hands_first()); mole_hands_put()) {
        if ((int32_t)(since - run->given) > 0)
            count += purge(run);
        else
            ++*kept;
    }
    return count;
}

/* Slots that a thread did not fill since the last pass are emptied. */
static size_t pass_over_slots(void)
{
    size_t kept = 0;
    for (struct mole_pool_slots *slots = load_acq(&all_slots_a); slots; /* HB-POOL-2 */
         slots = slots->all_next) {
        if (load_rlx(&slots->touched_a)) {
            store_rlx(&slots->touched_a, false);
            kept++;
        } else {
            (void)empty(slots);
        }
    }
    return kept;
}

size_t mole_pool_pass(void)
{
    if (!mole_hands_try())
        return 1;
    uint32_t pass = add_rlx(&pass_a, 1) + 1;
    size_t kept = release_spares(false) + pass_over_slots();
    for (unsigned bin = 0; bin < MOLE_BINS; bin++)
        (void)purge_before(bin, pass - 1, &kept);
    mole_hands_leave();
    mole_warmth_pass();
    return kept;
}

size_t mole_pool_purge(void)
{
    size_t count = 0;
    size_t kept = release_spares(true);
    mole_hands_enter();
    for (unsigned bin = 0; bin < MOLE_BINS; bin++)
        count += purge_before(bin, load_rlx(&pass_a) + 1, &kept);
    mole_hands_leave();
    return count;
}

uint64_t mole_pool_purged(void)
{
    return load_rlx(&purged_a);
}
