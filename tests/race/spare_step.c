/* SPDX-License-Identifier: MIT */
/*
 * Heaps that a thread keeps, one instruction at a time: it destroys one, or creates one
 * that it kept, while another thread gives back all that is kept, or sets and clears
 * modes of all heaps as spies do. A heap lives, is kept, or was given back: never two of
 * these. Its keys say what its word says.
 */
#include "arena/hold.h"
#include "arena/mode.h"
#include "scenario.h"
#include "tcache/thread.h"

static HANDLE heap;
static struct mole_heap *record;
static struct mole_thread *maker;

/* Whether the heap is kept, in one place. */
static bool is_kept(void)
{
    size_t places = 0;
    for (unsigned i = 0; i < MOLE_SPARES; i++)
        places += load_rlx(&maker->spares.heap_a[1][i]) == record;
    expect(places <= 1, "acted at %zu, stop %zu: it is in %zu places", chosen, stop,
           places);
    return places;
}

static void set_modes(unsigned set, unsigned clear)
{
    mole_hold_begin();
    mole_mode_change_to_come(set, clear);
    for (struct mole_heap *each = mole_heap_first(); each; each = mole_heap_next(each))
        if (load_acq(&each->word_a))
            (void)mole_mode_change(each, mole_heap_id(each), set, clear);
    mole_hold_end();
}

/* One heap with a block in it, and none kept. */
static void reset(void)
{
    set_modes(0, MOLE_MODE_SPIED);
    (void)mole_spare_release(true);
    heap = HeapCreate(0, 0, 0);
    if (!heap || !HeapAlloc(heap, 0, 100))
        abort();
    record = mole_heap_find(heap);
    maker = mole_tls.thread;
}

static void kept_before(void)
{
    (void)HeapDestroy(heap);
    heap = NULL;
}

static void destroy(void)
{
    (void)HeapDestroy(heap);
    heap = NULL;
}

static void create(void)
{
    heap = HeapCreate(0, 0, 0);
}

/* At any moment: what lives is not kept, what is kept does not live. */
static void observe(void)
{
    bool lives = load_acq(&record->word_a);
    expect(!lives || !is_kept(), "acted at %zu, stop %zu: it lives and is kept", chosen,
           stop);
}

static void settle_keys(void)
{
    struct mole_owner *owner = mole_heap_owners(record);
    void *handle = load_rlx(&record->handle_a);
    bool lives = load_acq(&record->word_a), is_spied = mole_mode_of(record);
    for (; owner; owner = owner->next) {
        void *alloc = load_rlx(&owner->alloc_key_a);
        expect(alloc == (lives && !is_spied ? handle : MOLE_NO_KEY),
               "acted at %zu: the heap %s%s, its key is %p", chosen,
               lives ? "lives" : "is at rest", is_spied ? ", spied" : "", alloc);
    }
}

/* A heap that is there is whole, and can be used. */
static void settle(void)
{
    observe();
    settle_keys();
    if (!heap)
        return;
    void *block = HeapAlloc(heap, 0, 100);
    expect(block && HeapValidate(heap, 0, NULL) && HeapSize(heap, 0, block) == 100,
           "acted at %zu: the heap is not usable", chosen);
    expect(HeapDestroy(heap), "acted at %zu: it cannot be destroyed", chosen);
    heap = NULL;
}

/* The modes set last are those of a heap that lives. */
static void settle_modes(void)
{
    bool has_acted = chosen <= stop;
    unsigned modes =
        heap && has_acted ? mole_mode_of(mole_heap_find(heap)) : MOLE_MODE_SPIED;
    expect(modes == MOLE_MODE_SPIED, "acted at %zu: the heap's modes are %u", chosen,
           modes);
    settle();
}

static void release(void)
{
    (void)mole_spare_release(true);
}

static void pass(void)
{
    (void)mole_pool_pass();
}

static void spy(void)
{
    set_modes(MOLE_MODE_SPIED, 0);
}

static void spy_and_leave(void)
{
    set_modes(MOLE_MODE_SPIED, 0);
    set_modes(0, MOLE_MODE_SPIED);
}

static const struct scene spares = {reset, observe, settle};
static const struct scene modes = {reset, observe, settle_modes};

#define ONCE SCENARIO_ONCE
#define COARSE (SCENARIO_ONCE | SCENARIO_COARSE)

static const struct scenario spare_scenarios[] = {
    {"destroying, another gives back", NULL, destroy, release, &spares, COARSE},
    {"destroying, a spy comes", NULL, destroy, spy, &modes, COARSE},
    {"destroying, a spy comes and goes", NULL, destroy, spy_and_leave, &spares, COARSE},
    {"creating, another gives back", kept_before, create, release, &spares, ONCE},
    {"creating, passes are made", kept_before, create, pass, &spares, COARSE},
    {"creating, a spy comes", kept_before, create, spy, &modes, COARSE},
    {"creating, a spy comes and goes", kept_before, create, spy_and_leave, &spares,
     COARSE},
};

static void set_up(void)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("spare_step", spare_scenarios,
                         sizeof spare_scenarios / sizeof spare_scenarios[0], set_up);
}
