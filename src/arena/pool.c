/* SPDX-License-Identifier: MIT */
#include "arena/pool.h"

#include "arena/region.h"
#include "os/pages.h"
#include "os/thread.h"

/* Run sizes: 1 to 8 chunks by one, then four sizes an octave. */
enum { ORDER_COUNT = 8 + 4 * 22 };

static struct mole_meta_stack warm[ORDER_COUNT];
static struct mole_meta_stack cold[ORDER_COUNT];

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

static unsigned order_of(size_t chunks)
{
    size_t last = chunks - 1;
    if (last < 8)
        return (unsigned)last;
    unsigned octave = 63u - (unsigned)__builtin_clzl(last); /* 3.. */
    return 8 + 4 * (octave - 3) + (unsigned)(last >> (octave - 2)) - 4;
}

static size_t chunks_of(unsigned order)
{
    if (order < 8)
        return order + 1;
    unsigned octave = (order - 8) / 4 + 3;
    return (size_t)((order - 8) % 4 + 5) << (octave - 2);
}

size_t mole_pool_round(size_t chunks)
{
    return chunks_of(order_of(chunks));
}

static struct mole_run *run_of(struct mole_meta *meta)
{
    return (struct mole_run *)(void *)meta;
}

static struct mole_run *take_new(unsigned order)
{
    struct mole_run *run = mole_meta_take(MOLE_META_RUN, sizeof *run);
    if (!run)
        return NULL;
    size_t chunks = chunks_of(order);
    run->base = mole_region_take(chunks);
    if (!run->base) {
        mole_meta_give(run);
        return NULL;
    }
    run->chunks = (uint32_t)chunks;
    run->seam = 0;
    run->is_zero = 1;
    return run;
}

/* Out of fresh address space: any larger run will do. */
static struct mole_run *take_larger(unsigned order)
{
    for (unsigned larger = order + 1; larger < ORDER_COUNT; larger++) {
        struct mole_meta *meta = mole_meta_pop(&warm[larger]);
        if (!meta)
            meta = mole_meta_pop(&cold[larger]);
        if (meta)
            return run_of(meta);
    }
    return NULL;
}

struct mole_run *mole_pool_take(struct mole_pool_slots *slots, size_t chunks)
{
    unsigned order = order_of(chunks);
    if (order >= ORDER_COUNT)
        return NULL;
    if (order == 0 && slots)
        for (unsigned i = 0; i < MOLE_POOL_SLOTS; i++) {
            struct mole_run *run = load_rlx(&slots->slot_a[i]);
            if (run && (run = swap_acq(&slots->slot_a[i], NULL))) /* HB-POOL-1 */
                return run;
        }
    struct mole_meta *meta = mole_meta_pop(&warm[order]);
    if (!meta && order + 1 < ORDER_COUNT)
        meta = mole_meta_pop(&warm[order + 1]);
    if (!meta)
        meta = mole_meta_pop(&cold[order]);
    if (meta)
        return run_of(meta);
    struct mole_run *run = take_new(order);
    return run ? run : take_larger(order);
}

static void push_warm(struct mole_run *run)
{
    mole_meta_push(&warm[order_of(run->chunks)], &run->meta);
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

void mole_pool_give(struct mole_pool_slots *slots, struct mole_run *run)
{
    run->is_zero = 0;
    run->given = load_rlx(&pass_a);
    if (run->chunks == 1 && slots)
        for (unsigned i = 0; i < MOLE_POOL_SLOTS; i++) {
            struct mole_run *empty = NULL;
            if (load_rlx(&slots->slot_a[i]) || !cas_rel(&slots->slot_a[i], &empty, run))
                continue; /* HB-POOL-1 */
            store_rlx(&slots->touched_a, true);
            return;
        }
    push_warm(run);
    tick();
}

void mole_pool_drain(struct mole_pool_slots *slots)
{
    for (unsigned i = 0; i < MOLE_POOL_SLOTS; i++) {
        struct mole_run *run = swap_acq(&slots->slot_a[i], NULL); /* HB-POOL-1 */
        if (run)
            push_warm(run);
    }
}

/* The contents go; the run becomes cold, or stays warm if the system refuses. */
static bool purge(struct mole_run *run)
{
    if (!mole_pages_purge(run->base, (size_t)run->chunks * MOLE_CHUNK)) {
        push_warm(run);
        return false;
    }
    run->is_zero = 1;
    add_rlx(&purged_a, 1);
    mole_meta_push(&cold[order_of(run->chunks)], &run->meta);
    return true;
}

/*
 * Purge the runs of one size that were given before `since`; the others stay, in order.
 */
static size_t purge_before(unsigned order, uint32_t since, size_t *kept)
{
    size_t count = 0;
    struct mole_run *young = NULL;
    struct mole_meta *meta = mole_meta_pop_all(&warm[order]);
    while (meta) {
        struct mole_run *run = run_of(meta);
        meta = mole_meta_below(meta);
        if ((int32_t)(since - run->given) > 0) {
            count += purge(run);
        } else {
            run->next = young;
            young = run;
            ++*kept;
        }
    }
    while (young) {
        struct mole_run *run = young;
        young = run->next;
        push_warm(run);
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
            mole_pool_drain(slots);
        }
    }
    return kept;
}

size_t mole_pool_pass(void)
{
    uint32_t pass = add_rlx(&pass_a, 1) + 1;
    size_t kept = pass_over_slots();
    for (unsigned order = 0; order < ORDER_COUNT; order++)
        (void)purge_before(order, pass - 1, &kept);
    return kept;
}

size_t mole_pool_purge(void)
{
    size_t count = 0;
    size_t kept = 0;
    for (unsigned order = 0; order < ORDER_COUNT; order++)
        count += purge_before(order, load_rlx(&pass_a) + 1, &kept);
    return count;
}

uint64_t mole_pool_purged(void)
{
    return load_rlx(&purged_a);
}
