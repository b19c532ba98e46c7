/* SPDX-License-Identifier: MIT */
/*
 * A thread's slots in the pool, one instruction at a time: the thread takes or gives a
 * run while another empties the slots or makes passes, and the other way round; and two
 * threads' slots are listed at once. In the end every run is somewhere, once.
 */
#include "arena/pool.h"
#include "scenario.h"

enum { RUNS = MOLE_POOL_SLOTS + 1, NOBODY = RUNS };

static struct mole_pool_slots slots;
static struct mole_run *runs[RUNS];
static unsigned times[RUNS];   /* how often each was found in the end */
static struct mole_run *ready; /* what the stepped thread gives */
static struct mole_run *taken; /* what it took */
static struct mole_run *others[RUNS];
static size_t others_count; /* what the other thread took */

static size_t number_of(const struct mole_run *run)
{
    size_t i = 0;
    while (i < RUNS && runs[i] != run)
        i++;
    return i;
}

/* All runs out of the pool, which has no other ones of one chunk. */
static void reset(void)
{
    for (size_t i = 0; i < RUNS; i++) {
        times[i] = 0;
        if (!runs[i])
            runs[i] = mole_pool_take(NULL, 1);
        if (!runs[i])
            abort();
    }
    ready = taken = NULL;
    others_count = 0;
}

static void find(const struct mole_run *run)
{
    size_t number = number_of(run);
    expect(number != NOBODY, "acted at %zu: a run that nobody gave", chosen);
    if (number != NOBODY)
        times[number]++;
}

static void observe(void)
{
    bool is_seen[RUNS] = {false};
    for (size_t i = 0; i < MOLE_POOL_SLOTS; i++) {
        size_t number = number_of(load_acq(&slots.slot_a[i]));
        if (number == NOBODY)
            continue;
        expect(!is_seen[number], "acted at %zu, stop %zu: run %zu is in two slots",
               chosen, stop, number);
        is_seen[number] = true;
        for (size_t k = 0; k < others_count; k++)
            expect(others[k] != runs[number],
                   "acted at %zu, stop %zu: run %zu is in a slot and taken", chosen, stop,
                   number);
    }
}

/* New memory comes only when the pool has nothing left. That run is not given back. */
static void settle(void)
{
    enum { MOST = 3 * RUNS };
    if (taken)
        find(taken);
    for (size_t i = 0; i < others_count; i++)
        find(others[i]);
    size_t count = 0;
    for (;;) {
        struct mole_run *run = mole_pool_take(&slots, 1);
        if (number_of(run) == NOBODY)
            break;
        find(run);
        if (count++ > MOST) {
            complain("acted at %zu: the pool does not end", chosen);
            break;
        }
    }
    for (size_t i = 0; i < RUNS; i++)
        expect(times[i] == 1, "acted at %zu: run %zu is there %u times", chosen, i,
               times[i]);
}

/* --- what is stopped, and what the other thread does -------------------------------- */

static void give(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        mole_pool_give(&slots, runs[i]);
}

/* Every slot has a run, and so has the pool. */
static void filled_before(void)
{
    give(0, RUNS);
}

/* The same, with that last run in the stepped thread's hands. */
static void ready_before(void)
{
    give(0, RUNS - 1);
    ready = runs[RUNS - 1];
}

/* One run in a slot, and one to be given; the others are in no slot. */
static void nearly_empty_before(void)
{
    for (size_t i = 2; i < RUNS; i++)
        mole_pool_give(NULL, runs[i]);
    give(1, 2);
    ready = runs[0];
}

static void take(void)
{
    taken = mole_pool_take(&slots, 1);
}

static void give_ready(void)
{
    mole_pool_give(&slots, ready);
}

static void drain(void)
{
    mole_pool_drain(&slots);
}

/*
 * So that slots filled before the first are emptied by the second, and purged by the
 * third.
 */
static void make_passes(void)
{
    for (unsigned i = 0; i < 3; i++)
        (void)mole_pool_pass();
}

/*
 * What there is: never new memory, for the pool has more runs than one run of this takes.
 */
static void take_other(struct mole_pool_slots *from)
{
    if (others_count < RUNS)
        others[others_count++] = mole_pool_take(from, 1);
}

static void drain_and_take(void)
{
    drain();
    take_other(NULL);
}

static void owner_takes(void)
{
    take_other(&slots);
}

static void owner_gives(void)
{
    if (others_count > 0)
        mole_pool_give(&slots, others[--others_count]);
}

static void owner_takes_and_gives(void)
{
    owner_takes();
    owner_gives();
}

/* A few slots have a run, the pool the others. */
static void few_before(void)
{
    give(0, 2);
    for (size_t i = 2; i < RUNS; i++)
        mole_pool_give(NULL, runs[i]);
}

/* The same, but for two that the other thread has. */
static void given_before(void)
{
    give(0, 2);
    for (size_t i = 4; i < RUNS; i++)
        mole_pool_give(NULL, runs[i]);
    others[0] = runs[2];
    others[1] = runs[3];
    others_count = 2;
}

/* --- listing of slots --------------------------------------------------------------- */

enum { LISTED_MOST = 1000 };

static struct mole_pool_slots listed[LISTED_MOST];
static atomic_size_t listed_count; /* records are listed once, for good */
static size_t listed_before;

static void list_reset(void)
{
    reset();
    listed_before = atomic_load(&listed_count);
    if (listed_before + 100 > LISTED_MOST)
        abort();
}

static void list_one(void)
{
    mole_pool_enlist(&listed[atomic_fetch_add(&listed_count, 1)]);
}

/* Passes find them all: a run in each of the new ones is taken out. */
static void list_settle(void)
{
    size_t end = atomic_load(&listed_count);
    for (size_t i = listed_before; i < end; i++)
        mole_pool_give(&listed[i], runs[(i - listed_before) % RUNS]);
    make_passes();
    for (size_t i = listed_before; i < end; i++)
        expect(!load_rlx(&listed[i].slot_a[0]), "acted at %zu: slots were not listed",
               chosen);
    for (size_t i = end - listed_before; i < RUNS; i++)
        mole_pool_give(NULL, runs[i]);
    settle();
}

/* --- scenarios ---------------------------------------------------------------------- */

static const struct scene slots_scene = {reset, observe, settle};
static const struct scene list_scene = {list_reset, NULL, list_settle};

static const struct scenario pool_scenarios[] = {
    {"take, another empties the slots", filled_before, take, drain, &slots_scene, 0},
    {"take, another empties the slots and takes", filled_before, take, drain_and_take,
     &slots_scene, SCENARIO_ONCE},
    {"take, another makes passes", filled_before, take, make_passes, &slots_scene,
     SCENARIO_ONCE},
    {"give to full slots, another empties them", ready_before, give_ready, drain,
     &slots_scene, SCENARIO_ONCE},
    {"give, another empties the slots", nearly_empty_before, give_ready, drain,
     &slots_scene, 0},
    {"give, another empties the slots and takes", nearly_empty_before, give_ready,
     drain_and_take, &slots_scene, SCENARIO_ONCE},
    {"give, another makes passes", nearly_empty_before, give_ready, make_passes,
     &slots_scene, SCENARIO_ONCE},
    {"emptying, another empties the slots", few_before, drain, drain, &slots_scene, 0},
    {"emptying, the owner takes", few_before, drain, owner_takes, &slots_scene,
     SCENARIO_ONCE},
    {"emptying, the owner takes and gives", few_before, drain, owner_takes_and_gives,
     &slots_scene, SCENARIO_ONCE},
    {"emptying, the owner gives", given_before, drain, owner_gives, &slots_scene, 0},
    {"listing, another is listed", NULL, list_one, list_one, &list_scene, SCENARIO_ONCE},
};

/* Passes are those of the test, and the pool's runs too. */
static void set_up(void)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
    mole_pool_enlist(&slots);
}

int main(void)
{
    return scenario_main("pool_step", pool_scenarios,
                         sizeof pool_scenarios / sizeof pool_scenarios[0], set_up);
}
