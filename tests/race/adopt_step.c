/* SPDX-License-Identifier: MIT */
/*
 * A heap's list of caches, adoption and keys, one instruction at a time: a thread adopts
 * an orphan, lets a cache go, puts a new one on the list or sets a mode, and another does
 * likewise. A cache is one thread's at most, none is lost from the list, and its key says
 * what the heap's word says.
 */
#include "arena/mode.h"
#include "scenario.h"

enum { OWNERS = 6, FIRST = 0x1000, OTHER = 0x2000 };

static struct mole_heap *record;
static struct mole_owner owners[OWNERS]; /* the first `made` are on the list, or soon */
static size_t made;
static struct mole_owner *adopted;        /* by the stepped thread */
static struct mole_owner *others[OWNERS]; /* by the other one, or made by it */
static size_t others_count;
static struct mole_owner *fresh; /* what is being put on the list */

static void reset(void)
{
    if (record) {
        (void)mole_heap_kill(record);
        mole_heap_finish(record, NULL);
    }
    record = mole_heap_create(0, NULL);
    if (!record)
        abort();
    made = others_count = 0;
    adopted = fresh = NULL;
}

/* A cache's head, on no list yet. */
static struct mole_owner *make(uintptr_t thread)
{
    struct mole_owner *owner = &owners[made++];
    memset(owner, 0, sizeof *owner);
    owner->heap = record;
    owner->id = mole_heap_id(record);
    mole_mode_deny(owner);
    store_rel(&owner->thread_a, thread);
    return owner;
}

static struct mole_owner *make_listed(uintptr_t thread)
{
    struct mole_owner *owner = make(thread);
    mole_heap_enlist(record, owner);
    return owner;
}

static size_t times_listed(const struct mole_owner *wanted)
{
    size_t times = 0, steps = 0;
    for (struct mole_owner *owner = mole_heap_owners(record); owner;
         owner = owner->next) {
        times += owner == wanted;
        if (++steps > OWNERS) {
            complain("acted at %zu, stop %zu: the list does not end", chosen, stop);
            break;
        }
    }
    return times;
}

static int orphans(void)
{
    int count = 0;
    for (size_t i = 0; i < made; i++)
        count += load_rlx(&owners[i].thread_a) == MOLE_ORPHAN;
    return count;
}

static void observe(void)
{
    for (size_t i = 0; i < made; i++)
        expect(times_listed(&owners[i]) == 1 || &owners[i] == fresh,
               "acted at %zu, stop %zu: cache %zu is on the list %zu times", chosen, stop,
               i, times_listed(&owners[i]));
    for (size_t i = 0; i < others_count; i++)
        expect(load_rlx(&others[i]->thread_a) == OTHER,
               "acted at %zu, stop %zu: a cache was taken away", chosen, stop);
    expect(load_rlx(&record->orphans_a) >= orphans(),
           "acted at %zu, stop %zu: %d orphans, but the hint is %d", chosen, stop,
           orphans(), (int)load_rlx(&record->orphans_a));
}

static void settle(void)
{
    fresh = NULL;
    observe();
    int mine = 0;
    for (size_t i = 0; i < made; i++)
        mine += load_rlx(&owners[i].thread_a) == FIRST;
    expect(mine == (adopted != NULL), "acted at %zu: %d caches for %d adoptions", chosen,
           mine, adopted != NULL);
    expect(!adopted || load_rlx(&adopted->thread_a) == FIRST,
           "acted at %zu: the adopted cache is another thread's", chosen);
    expect(load_rlx(&record->orphans_a) == orphans(), "acted at %zu: hint %d, orphans %d",
           chosen, (int)load_rlx(&record->orphans_a), orphans());
    expect(made == OWNERS ||
               (int)(others_count + (adopted != NULL)) + orphans() == (int)made,
           "acted at %zu: a cache is nobody's", chosen);
    void *handle = load_rlx(&record->handle_a);
    bool is_spied = mole_mode_of(record);
    for (size_t i = 0; i < made; i++)
        expect(load_rlx(&owners[i].alloc_key_a) == (is_spied ? MOLE_NO_KEY : handle) &&
                   load_rlx(&owners[i].free_key_a) == (is_spied ? MOLE_NO_KEY : handle) &&
                   load_rlx(&owners[i].spied_key_a) ==
                       (is_spied ? handle : MOLE_MALLOC_KEY),
               "acted at %zu: the key of cache %zu is not what the heap's word says",
               chosen, i);
}

/* Where an orphan was left all the time, the stepped thread got one. */
static void settle_with_spare(void)
{
    expect(adopted != NULL, "acted at %zu: an orphan was there, and not adopted", chosen);
    settle();
}

/* --- what is stopped, and what the other thread does -------------------------------- */

static void one_orphan_before(void)
{
    mole_heap_let_go(make_listed(FIRST));
}

static void two_orphans_before(void)
{
    one_orphan_before();
    one_orphan_before();
}

/* The other thread has one cache, and there is no orphan. */
static void others_before(void)
{
    others[others_count++] = make_listed(OTHER);
}

static void own_before(void)
{
    adopted = make_listed(FIRST);
}

/* Two caches on the list, and one to be put there. */
static void fresh_before(void)
{
    one_orphan_before();
    others_before();
    adopted = fresh = make(FIRST);
}

static void fresh_in_mode_before(void)
{
    (void)mole_mode_change(record, mole_heap_id(record), MOLE_MODE_SPIED, 0);
    fresh_before();
}

static void two_in_mode_before(void)
{
    two_orphans_before();
    (void)mole_mode_change(record, mole_heap_id(record), MOLE_MODE_SPIED, 0);
}

static void adopt(void)
{
    adopted = mole_heap_adopt(record, FIRST);
}

static void let_go(void)
{
    struct mole_owner *owner = adopted;
    adopted = NULL;
    mole_heap_let_go(owner);
}

static void enlist(void)
{
    mole_heap_enlist(record, fresh);
}

static void set_mode(void)
{
    (void)mole_mode_change(record, mole_heap_id(record), MOLE_MODE_SPIED, 0);
}

static void clear_mode(void)
{
    (void)mole_mode_change(record, mole_heap_id(record), 0, MOLE_MODE_SPIED);
}

static void other_adopts(void)
{
    struct mole_owner *owner = mole_heap_adopt(record, OTHER);
    if (owner)
        others[others_count++] = owner;
}

static void other_lets_go(void)
{
    if (others_count > 0)
        mole_heap_let_go(others[--others_count]);
}

static void other_adopts_and_lets_go(void)
{
    other_adopts();
    other_lets_go();
}

static void other_lists(void)
{
    if (made < OWNERS)
        others[others_count++] = make_listed(OTHER);
}

static void other_lists_and_lets_go(void)
{
    other_lists();
    other_lets_go();
}

/* --- scenarios ---------------------------------------------------------------------- */

static const struct scene caches = {reset, observe, settle};
static const struct scene spare = {reset, observe, settle_with_spare};

#define ONCE SCENARIO_ONCE

static const struct scenario adopt_scenarios[] = {
    {"adoption, another adopts", one_orphan_before, adopt, other_adopts, &caches, ONCE},
    {"adoption of two, another adopts", two_orphans_before, adopt, other_adopts, &spare,
     ONCE},
    {"adoption, another adopts and lets go", one_orphan_before, adopt,
     other_adopts_and_lets_go, &spare, 0},
    {"adoption, another lets go", others_before, adopt, other_lets_go, &caches, ONCE},
    {"adoption, another lists one", one_orphan_before, adopt, other_lists, &spare, 0},
    {"adoption, another lists one and lets it go", one_orphan_before, adopt,
     other_lists_and_lets_go, &spare, 0},
    {"letting go, another adopts", own_before, let_go, other_adopts, &caches, 0},
    {"letting go, another adopts and lets go", own_before, let_go,
     other_adopts_and_lets_go, &caches, 0},
    {"listing, another is listed", fresh_before, enlist, other_lists, &caches, ONCE},
    {"listing, another adopts", fresh_before, enlist, other_adopts, &caches, ONCE},
    {"listing, a mode is set", fresh_before, enlist, set_mode, &caches, ONCE},
    {"listing, a mode is cleared", fresh_in_mode_before, enlist, clear_mode, &caches,
     ONCE},
    {"setting a mode, another is listed", two_orphans_before, set_mode, other_lists,
     &caches, ONCE},
    {"clearing a mode, another is listed", two_in_mode_before, clear_mode, other_lists,
     &caches, ONCE},
};

static void set_up(void)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("adopt_step", adopt_scenarios,
                         sizeof adopt_scenarios / sizeof adopt_scenarios[0], set_up);
}
