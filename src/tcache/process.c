/* SPDX-License-Identifier: MIT */
#include "tcache/process.h"

#include <string.h>
#include <unistd.h>

#include "arena/census.h"
#include "arena/group.h"
#include "arena/hold.h"
#include "arena/region.h"
#include "arena/rejoin.h"
#include "base/check.h"
#include "os/twin.h"
#include "tcache/empties.h"
#include "tcache/fixed_cache.h"
#include "tcache/guarding.h"
#include "tcache/page_run.h"
#include "tcache/purger.h"
#include "tcache/rebuild.h"
#include "tcache/thread.h"

static struct mole_heap *process_heap; /* const after mole_process_start */
static struct mole_heap *malloc_heap;  /* const after mole_process_start */

struct mole_heap *mole_process_heap(void)
{
    return process_heap;
}

struct mole_heap *mole_process_malloc_heap(void)
{
    return malloc_heap;
}

size_t mole_process_malloc_bytes(void)
{
    if (!mole_process_start())
        return 0;
    struct mole_census census;
    mole_census_take(malloc_heap, &census);
    return census.live_bytes;
}

/* Whether the forking thread was inside an operation: a signal handler forked. */
static bool is_interrupted(struct mole_heap *heap)
{
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next)
        if (load_rlx(&owner->thread_a) != MOLE_SHARED && mole_thread_owns(owner) &&
            load_rlx(&owner->busy_a))
            return true;
    return false;
}

/*
 * Mark the caches of threads that the child does not have; they are rebuilt. So is that
 * of a HEAP_NO_SERIALIZE heap, for whose turn it was is not known, and all of a heap that
 * a vanished thread had stopped: it may have worked with any of them.
 */
static void mark_torn(struct mole_heap *heap, bool was_stopped)
{
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        bool is_shared = load_rlx(&owner->thread_a) == MOLE_SHARED;
        cache->is_torn = is_shared || was_stopped || !mole_thread_owns(owner);
        /*
         * Blocks in the batches of the thread that forked are found again in the tables.
         */
        if (!cache->is_torn)
            memset(cache->batch, 0, sizeof cache->batch);
    }
}

/*
 * A heap whose operation the fork interrupted is left as it is: the child may only exec
 * or exit. Without another thread so far, there is nothing to put right.
 */
static void repair(struct mole_heap *heap, bool was_alone)
{
    mole_arena_repair(&heap->arena);
    mole_lock_init(&heap->mode_lock);
    bool was_stopped = mole_gate_is_shut(heap, true);
    mole_gate_repair(heap);
    if (was_alone || !load_rlx(&heap->word_a) || is_interrupted(heap))
        return;
    mark_torn(heap, was_stopped && !heap->fixed); /* all of a fixed one's are made anew */
    if (heap->fixed)
        mole_fixed_cache_repair(heap);
    else
        mole_rebuild_torn(heap, NULL);
}

/*
 * hooks_a: what else is to be called in a fork's child.
 *   writers  mole_process_call_in_child
 *   readers  the same; a fork's child
 *   orders   relaxed: the child is ordered by fork
 *   keeps    an entry that is set stays
 */
static _Atomic(mole_process_hook) hooks_a[MOLE_PROCESS_HOOKS];

void mole_process_call_in_child(mole_process_hook hook)
{
    for (size_t i = 0; i < MOLE_PROCESS_HOOKS; i++) {
        mole_process_hook none = NULL;
        if (cas_rel(&hooks_a[i], &none, hook) || none == hook)
            return;
    }
    check(false);
}

static void in_child_of_fork(void)
{
    bool was_alone = mole_thread_is_alone();
    mole_purger_forget();
    mole_region_repair();
    if (!was_alone)
        mole_group_repair();
    mole_rejoin_repair();
    mole_hold_repair();
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        repair(heap, was_alone);
    mole_guarding_repair();
    mole_thread_forget_others();
    if (!was_alone)
        mole_empties_recount(); /* some was a heap's that nobody goes on to destroy */
    for (size_t i = 0; i < MOLE_PROCESS_HOOKS; i++) {
        mole_process_hook hook = load_rlx(&hooks_a[i]);
        if (hook)
            hook();
    }
}

/* The process heap, with a cache that its first user adopts. */
static struct mole_heap *create_process_heap(void)
{
    struct mole_heap *heap = mole_heap_create(0, NULL);
    if (!heap)
        return NULL;
    struct mole_tcache *home = mole_tcache_create(heap, MOLE_ORPHAN, NULL);
    if (!home) {
        (void)mole_heap_kill(heap);
        mole_heap_finish(heap, NULL);
        return NULL;
    }
    mole_page_run_list(home, heap->home);
    add_rlx(&heap->orphans_a, 1);
    heap->is_private = false;
    return heap;
}

/* What is laid by outside of the pool. */
static size_t release(bool all)
{
    return mole_spare_release(all) + mole_large_cache_pass(all);
}

/* Bring everything up, or what is still missing after an earlier failure. */
static bool start(void)
{
    static bool has_hooks;
    if (!mole_region_init() || !mole_meta_init())
        return false;
    mole_pool_call_for_spares(release);
    if (!process_heap)
        process_heap = create_process_heap();
    if (!malloc_heap)
        malloc_heap = mole_heap_create_nameless();
    if (!has_hooks)
        has_hooks = mole_thread_setup(mole_thread_exit, in_child_of_fork);
    return process_heap && malloc_heap && has_hooks;
}

__attribute__((constructor)) static void look_for_twin(void)
{
    mole_twin_warn();
}

enum { NOT_YET = 0, UP = -1 };

/*
 * starter_a: the thread that starts molehill.
 *   writers  that thread
 *   readers  threads that find it being started
 *   orders   relaxed: only the thread itself can find its own value
 *   keeps    0 before and after
 *
 * state_a: how far molehill is: not yet up, being started by a thread of the process with
 * this id, up. One word, so that nobody sees a start without knowing whose.
 *   writers  the thread that moves it on from NOT_YET or from a process that is not here
 *   readers  every slow path
 *   orders   UP is stored release and loaded acquire: HB-START-1
 *   keeps    UP for good; a failed start may be tried again
 */
static _Atomic(uintptr_t) starter_a;
static _Atomic(pid_t) state_a;

bool mole_process_start(void)
{
    pid_t state = load_acq(&state_a); /* HB-START-1 */
    if (likely(state == UP))
        return true;
    pid_t process = getpid();
    for (; state != UP; state = load_acq(&state_a)) { /* HB-START-1 */
        /*
         * The system may call back into malloc while it starts us: that call gets NULL.
         */
        if (load_rlx(&starter_a) == mole_thread_self())
            return false;
        if (state == process) {
            mole_thread_yield();
            continue;
        }
        /* Another process's: forked while another thread was at it, which is not here. */
        if (!cas_acq(&state_a, &state, process))
            continue;
        store_rlx(&starter_a, mole_thread_self());
        bool is_up = start();
        store_rlx(&starter_a, 0);
        store_rel(&state_a, is_up ? UP : NOT_YET); /* HB-START-1 */
        return is_up;
    }
    return true;
}
