/* SPDX-License-Identifier: MIT */
/*
 * For storm.c: spies that come and go. Each kind of cycle is a function that attaches and
 * detaches and says how many times it did. What a spy writes down about itself is written
 * plainly when it is detached, so that ThreadSanitizer sees whoever is inside still.
 */
#pragma once

#include <dlfcn.h>
#include <molehill/spy.h>
#include <sched.h>

#include "race.h"
#include "storm_ledger.h"
#include "storm_library.h"
#include "storm_workers.h"

enum { CYCLERS = 3, OWN_SPIES = 4, COMMON_SPIES = 1, COM_SPIES = 64 };

enum life { NOT_YET, LIVE, GONE };

struct churn {
    struct mh_spy spy;
    volatile enum life life;
    void *scope;  /* where it is attached */
    uint64_t bit; /* in `inside` */
    atomic_ullong calls;
    atomic_bool is_to_detach; /* by itself, in its next callback */
    atomic_int result;        /* of that */
};

struct cycler {
    uint64_t random;
    struct churn spies[OWN_SPIES];
};

enum { NO_RESULT = 100 };

/*
 * Attached throughout and before those that keep books: what it allocates in a callback
 * must not be there in their books still.
 */
static struct churn noisy;
static struct churn common[COMMON_SPIES]; /* which all cyclers attach and detach */
static atomic_llong common_attached[COMMON_SPIES];
static const char *library_path; /* NULL: there is none */

static atomic_ullong cycles, calls, calls_of_library, detached_inside, detached_owning,
    lost_attaches, lost_detaches, gone_heaps, com_spies, pending_com_spies;

static bool is_heard(const struct churn *churn, const void *heap)
{
    return churn->scope == MH_SPY_ALL || churn->scope == heap;
}

/* Every callback of a spy that comes and goes. */
static void hear(struct churn *churn, void *heap)
{
    race_require(churn->life == LIVE, "a spy is called and is not attached: life %d",
                 (int)churn->life);
    race_require(is_heard(churn, heap), "a spy hears of %p, not of %p", heap,
                 churn->scope);
    race_require(!(inside & churn->bit), "a spy hears what it does itself");
    inside |= churn->bit;
    uint64_t random = atomic_fetch_add_explicit(&churn->calls, 1, memory_order_relaxed);
    if (random % 4096 == 0)
        sched_yield();
    if (random % 64 == 1 && !owns_lock)
        use_places(&random);
    if (atomic_load(&churn->is_to_detach) && atomic_exchange(&churn->is_to_detach, false))
        atomic_store(&churn->result, mh_spy_detach(&churn->spy));
    inside &= ~churn->bit;
    race_require(churn->life == LIVE, "a spy is detached, and a thread inside");
}

static void hear_block(void *context, void *heap, void *block, size_t bytes)
{
    (void)block, (void)bytes;
    hear(context, heap);
}

static void hear_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                             void *block, size_t bytes)
{
    (void)old_block, (void)old_bytes, (void)block, (void)bytes;
    hear(context, heap);
}

static void hear_heap(void *context, void *heap)
{
    hear(context, heap);
}

static int veto_some(void *context, void *heap, size_t bytes)
{
    hear(context, heap);
    if (bytes % 32)
        return 1;
    count(is_task ? &task_vetoes : &vetoes);
    return 0;
}

static void make_spy(struct churn *churn, void *scope, size_t sample_bytes,
                     bool vetoes_some)
{
    churn->spy = (struct mh_spy){
        .size = sizeof churn->spy,
        .name = "churn",
        .context = churn,
        .sample_bytes = sample_bytes,
        .allocated = hear_block,
        .freed = hear_block,
        .reallocated = hear_reallocated,
        .heap_created = hear_heap,
        .heap_destroyed = hear_heap,
        .may_allocate = vetoes_some ? veto_some : NULL,
    };
    churn->scope = scope;
    churn->life = LIVE;
    atomic_store(&churn->is_to_detach, false);
    atomic_store(&churn->result, NO_RESULT);
    atomic_store(&churn->calls, 0);
}

static void *some_scope(uint64_t *random)
{
    switch (race_below(random, 4)) {
    case 0:
        return MH_SPY_MALLOC;
    case 1:
        return heaps[race_below(random, HEAPS)];
    default:
        return MH_SPY_ALL;
    }
}

static void attach_some(struct churn *churn, uint64_t *random)
{
    size_t mean = race_below(random, 3) ? 0 : (size_t)16 << race_below(random, 12);
    make_spy(churn, some_scope(random), mean, race_below(random, 8) == 0);
    int result = mh_spy_attach(&churn->spy, churn->scope);
    race_require(result == 0, "mh_spy_attach returned %d", result);
}

/* It is detached: nobody may touch it any more. */
static void bury(struct churn *churn)
{
    churn->life = GONE;
    atomic_fetch_add(&calls, atomic_load(&churn->calls));
}

static void detach(struct churn *churn)
{
    int result = mh_spy_detach(&churn->spy);
    race_require(result == 0, "mh_spy_detach returned %d", result);
    bury(churn);
}

static void pause_some(uint64_t *random)
{
    size_t kind = race_below(random, 8);
    if (kind < 2)
        use_places(random);
    else if (kind == 2)
        race_sleep_ms(1);
    else if (kind < 5)
        sched_yield();
}

static size_t cycle_one(struct cycler *cycler)
{
    attach_some(&cycler->spies[0], &cycler->random);
    pause_some(&cycler->random);
    detach(&cycler->spies[0]);
    return 1;
}

static size_t cycle_several(struct cycler *cycler)
{
    for (size_t i = 0; i < OWN_SPIES; i++)
        attach_some(&cycler->spies[i], &cycler->random);
    pause_some(&cycler->random);
    size_t first = race_below(&cycler->random, OWN_SPIES);
    for (size_t i = 0; i < OWN_SPIES; i++)
        detach(&cycler->spies[(first + i) % OWN_SPIES]);
    return OWN_SPIES;
}

static void wait_for_pending(void)
{
    int result = mh_spy_wait();
    race_require(result == 0, "mh_spy_wait returned %d", result);
}

/* It detaches itself, in a callback on whatever thread comes first. */
static size_t cycle_from_inside(struct cycler *cycler)
{
    struct churn *churn = &cycler->spies[0];
    make_spy(churn, MH_SPY_ALL, 0, false);
    int result = mh_spy_attach(&churn->spy, MH_SPY_ALL);
    race_require(result == 0, "mh_spy_attach returned %d", result);
    atomic_store(&churn->is_to_detach, true);
    while (atomic_load(&churn->result) == NO_RESULT && !atomic_load(&race_failed))
        use_places(&cycler->random);
    result = atomic_load(&churn->result);
    race_require(result == MH_PENDING, "mh_spy_detach returned %d inside", result);
    wait_for_pending();
    bury(churn);
    count(&detached_inside);
    return 1;
}

/* All are detached under a lock, and waited for after it. */
static size_t cycle_owning(struct cycler *cycler)
{
    HANDLE heap = heaps[race_below(&cycler->random, HEAPS)];
    bool is_early = race_below(&cycler->random, 2);
    owns_lock = true;
    if (is_early)
        race_require(HeapLock(heap), "HeapLock failed");
    for (size_t i = 0; i < OWN_SPIES; i++)
        attach_some(&cycler->spies[i], &cycler->random);
    if (!is_early)
        race_require(HeapLock(heap), "HeapLock failed");
    for (size_t i = 0; i < OWN_SPIES; i++) {
        int result = mh_spy_detach(&cycler->spies[i].spy);
        race_require(result == MH_PENDING, "mh_spy_detach returned %d under a HeapLock",
                     result);
    }
    race_require(HeapUnlock(heap), "HeapUnlock failed");
    owns_lock = false;
    wait_for_pending();
    for (size_t i = 0; i < OWN_SPIES; i++)
        bury(&cycler->spies[i]);
    count(&detached_owning);
    return OWN_SPIES;
}

/* A spy that other threads attach and detach, too. */
static size_t cycle_common(struct cycler *cycler)
{
    size_t i = race_below(&cycler->random, COMMON_SPIES);
    int attached = mh_spy_attach(&common[i].spy, MH_SPY_ALL);
    race_require(attached == 0 || attached == MH_ATTACHED, "mh_spy_attach returned %d",
                 attached);
    if (attached == 0)
        atomic_fetch_add(&common_attached[i], 1);
    else
        count(&lost_attaches);
    pause_some(&cycler->random);
    int detached = mh_spy_detach(&common[i].spy);
    race_require(detached == 0 || detached == MH_DETACHED, "mh_spy_detach returned %d",
                 detached);
    if (detached == 0)
        atomic_fetch_sub(&common_attached[i], 1);
    else
        count(&lost_detaches);
    return detached == 0;
}

static size_t count_changes(void)
{
    pthread_mutex_lock(&tenant_lock);
    size_t changes = tenant_changes;
    pthread_mutex_unlock(&tenant_lock);
    return changes;
}

/* On a heap that may end meanwhile. */
static size_t cycle_on_tenant(struct cycler *cycler)
{
    struct churn *churn = &cycler->spies[0];
    pthread_mutex_lock(&tenant_lock);
    HANDLE heap = some_tenant;
    size_t changes = tenant_changes;
    make_spy(churn, heap, 0, false);
    int result = heap ? mh_spy_attach(&churn->spy, heap) : MH_INVALID;
    pthread_mutex_unlock(&tenant_lock);
    if (!heap)
        return 0;
    race_require(result == 0, "mh_spy_attach returned %d", result);
    pause_some(&cycler->random);
    detach(churn);
    if (count_changes() != changes)
        count(&gone_heaps);
    return 1;
}

/* Its code and data are gone when mh_spy_detach has returned. */
static size_t cycle_library(struct cycler *cycler)
{
    void *file = library_path ? dlopen(library_path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!file)
        return 0;
    storm_library_get *get = (storm_library_get *)(uintptr_t)dlsym(file, "storm_library");
    const struct storm_library *library = get();
    library->set_attached(true);
    int result = mh_spy_attach(&library->spy, MH_SPY_ALL);
    race_require(result == 0, "mh_spy_attach returned %d", result);
    pause_some(&cycler->random);
    unsigned long long heard = library->calls();
    result = mh_spy_detach(&library->spy);
    library->set_attached(false);
    race_require(dlclose(file) == 0, "dlclose failed");
    race_require(result == 0, "mh_spy_detach returned %d", result);
    atomic_fetch_add(&calls_of_library, heard);
    return 1;
}

/* Kinds of cycles. */
static size_t (*const kinds[])(struct cycler *) = {
    cycle_one,    cycle_one,    cycle_several,   cycle_from_inside,
    cycle_owning, cycle_common, cycle_on_tenant,
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void *cycle(void *argument)
{
    struct cycler *cycler = argument;
    while (!is_over()) {
        size_t kind = race_below(&cycler->random, KINDS);
        atomic_fetch_add(&cycles, kinds[kind](cycler));
    }
    return NULL;
}

/* COM spies, one after the other: the next may register when the last was released. */
static void *cycle_com(void *argument)
{
    static struct spy spies[COM_SPIES];
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    for (size_t i = 0; !is_over(); i++) {
        struct spy *spy = &spies[i % COM_SPIES];
        spy_init(spy, race_below(&random, 2), race_below(&random, 2));
        HRESULT result = CoRegisterMallocSpy(&spy->interface);
        race_require(result == S_OK, "CoRegisterMallocSpy returned 0x%x",
                     (unsigned)result);
        pause_some(&random);
        use_task(&random);
        result = CoRevokeMallocSpy();
        race_require(result == S_OK || result == E_ACCESSDENIED,
                     "CoRevokeMallocSpy returned 0x%x", (unsigned)result);
        while (!spy_is_released(spy) && !atomic_load(&race_failed))
            sched_yield();
        count(result == S_OK ? &com_spies : &pending_com_spies);
    }
    return NULL;
}

/* One thread has the library: two would not unload it. */
static void *cycle_libraries(void *argument)
{
    while (!is_over() && library_path)
        atomic_fetch_add(&cycles, cycle_library(argument));
    return NULL;
}

static void begin_noise(void)
{
    noisy.bit = (uint64_t)1 << 63;
    make_spy(&noisy, MH_SPY_ALL, 0, false);
    race_require(mh_spy_attach(&noisy.spy, MH_SPY_ALL) == 0, "mh_spy_attach failed");
}

static void begin_common(void)
{
    for (size_t i = 0; i < COMMON_SPIES; i++) {
        make_spy(&common[i], MH_SPY_ALL, i * 100, false);
        common[i].bit = (uint64_t)1 << i;
    }
}

/* Attached as often as detached; once more, maybe. */
static void end_common(void)
{
    for (size_t i = 0; i < COMMON_SPIES; i++) {
        long long left = atomic_load(&common_attached[i]);
        int result = mh_spy_detach(&common[i].spy);
        race_case(result == (left ? 0 : MH_DETACHED) && (left == 0 || left == 1),
                  "a spy was attached %lld times more than detached; then %d", left,
                  result);
        bury(&common[i]);
    }
}
