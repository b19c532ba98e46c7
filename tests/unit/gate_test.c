/* SPDX-License-Identifier: MIT */
#include "arena/gate.h"

#include "../api/asleep.h"
#include "arena/mode.h"
#include "os/barrier.h"
#include "tcache/steal.h"
#include "unit.h"

#include <sys/wait.h>

enum { FENCERS = 2 };

static atomic_int tids[FENCERS];
static atomic_int done;

static void *go_fenced(void *tid)
{
    atomic_store((atomic_int *)tid, (int)syscall(SYS_gettid));
    mole_mode_go_fenced();
    atomic_fetch_add(&done, 1);
    return NULL;
}

/* The thread waits, and none of them has done what it came for. */
static void expect_asleep(int thread, int call)
{
    for (int turns = 0; !sleeps_in(atomic_load(&tids[thread]), call); turns++) {
        require(atomic_load(&done) == 0, "it did not wait");
        require(turns < 60000, "a thread neither sleeps nor goes on");
        pause_shortly();
    }
}

static unsigned modes_of(HANDLE handle)
{
    return (unsigned)(load_rlx(&inside(handle)->word_a) & MOLE_MODE_MASK);
}

/*
 * The first is held up in the middle of it: a second that went on then would look for
 * operations under way in heaps that are not fenced yet.
 */
Test(gate, who_goes_fenced_waits_for_another_that_is_at_it)
{
    HANDLE handle = create_heap(0);
    struct mole_heap *heap = inside(handle);
    pthread_t threads[FENCERS];
    mole_lock_acquire(&heap->mode_lock);
    for (int i = 0; i < FENCERS; i++)
        require(pthread_create(&threads[i], NULL, go_fenced, &tids[i]) == 0, "no thread");
    for (int i = 0; i < FENCERS; i++)
        expect_asleep(i, SYS_futex);
    require(modes_of(handle) == 0, "the test does not hold the thread up");
    mole_lock_release(&heap->mode_lock);
    for (int i = 0; i < FENCERS; i++)
        pthread_join(threads[i], NULL);
    require(modes_of(handle) == MOLE_MODE_FENCED, "modes are %x", modes_of(handle));
}

Test(gate, only_heaps_with_a_gate_are_fenced)
{
    HANDLE without = create_heap(HEAP_NO_SERIALIZE), with = create_heap(0);
    mole_mode_go_fenced();
    require(modes_of(with) == MOLE_MODE_FENCED, "modes are %x", modes_of(with));
    require(modes_of(without) == 0, "a heap without a gate has modes %x",
            modes_of(without));
    uint64_t locks = mole_lock_count();
    HANDLE later = create_heap(HEAP_NO_SERIALIZE);
    require(modes_of(later) == 0, "a later one has modes %x", modes_of(later));
    require(mole_lock_count() == locks, "HeapCreate took a lock for it");
    require(modes_of(create_heap(0)) == MOLE_MODE_FENCED, "a later one is not fenced");
}

static bool child_has_uncached(struct mole_heap *heap, uint32_t count)
{
    pid_t child = fork();
    if (child == 0)
        _exit(load_rlx(&heap->gate.uncached_a) == count ? 0 : 1);
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* As if another thread had been about to find the gate shut. */
Test(gate, a_forks_child_awaits_no_vanished_thread)
{
    HANDLE handle = create_heap(0);
    struct mole_heap *heap = inside(handle);
    require(HeapLock(handle), "HeapLock failed");
    add_seq_cst(&heap->gate.uncached_a, 1);
    require(child_has_uncached(heap, 0), "the owner's child would wait for ever");
    sub_rel(&heap->gate.uncached_a, 1);
    require(HeapUnlock(handle), "HeapUnlock failed");
    add_seq_cst(&heap->gate.uncached_a, 1);
    require(child_has_uncached(heap, 0), "a child would wait for ever");
}

enum { BYTES = 8192, SLAB = 8 }; /* a slab that has a run for itself */

static HANDLE robbed;
static void *blocks[2 * SLAB];
static size_t stolen;

static const char *free_a_slab(struct worker *worker)
{
    (void)worker;
    for (size_t i = 0; i < SLAB; i++)
        answer_unless(HeapFree(robbed, 0, blocks[i]), "HeapFree failed");
    return NULL;
}

static const char *steal(struct worker *worker)
{
    (void)worker;
    stolen = mole_steal(mole_heap_find(robbed), NULL);
    return NULL;
}

Test(gate, a_shut_gate_keeps_thieves_out)
{
    stop_passes();
    robbed = create_heap(0);
    for (size_t i = 0; i < 2 * SLAB; i++)
        blocks[i] = take(robbed, 0, BYTES);
    run_workers(1, free_a_slab, NULL);
    require(HeapLock(robbed), "HeapLock failed");
    run_workers(1, steal, NULL);
    require(stolen == 0 && is_mapped(blocks[0]), "a slab was stolen from a locked heap");
    require(HeapUnlock(robbed), "HeapUnlock failed");
    run_workers(1, steal, NULL);
    require(stolen == 1 && !is_mapped(blocks[0]), "the test has no slab to steal");
}

static void *lock_and_unlock(void *tid)
{
    atomic_store((atomic_int *)tid, (int)syscall(SYS_gettid));
    if (HeapLock(robbed))
        atomic_fetch_add(&done, 1);
    return HeapUnlock(robbed) ? NULL : tid;
}

static pthread_t start_locking(void)
{
    pthread_t thread;
    require(pthread_create(&thread, NULL, lock_and_unlock, &tids[0]) == 0, "no thread");
    return thread;
}

static void expect_locked(pthread_t thread)
{
    void *failure = NULL;
    pthread_join(thread, &failure);
    require(!failure && atomic_load(&done) == 1, "HeapLock or HeapUnlock failed");
}

/* A thief that came first is waited for. */
Test(gate, closing_waits_for_who_has_the_arenas_lock)
{
    robbed = create_heap(0);
    struct mole_arena *arena = &inside(robbed)->arena;
    mole_arena_enter(arena);
    pthread_t thread = start_locking();
    expect_asleep(0, SYS_futex);
    mole_arena_leave(arena);
    expect_locked(thread);
}

/* As if this thread were in the middle of an operation. */
Test(gate, closing_waits_for_an_operation_in_a_cache)
{
    robbed = create_heap(0);
    struct mole_tcache *cache = mole_thread_cache(inside(robbed));
    require(cache != NULL, "the thread has no cache");
    mole_tcache_enter(cache);
    pthread_t thread = start_locking();
    expect_asleep(0, SYS_clock_nanosleep);
    mole_tcache_leave(cache);
    expect_locked(thread);
}

Test(gate, closing_waits_for_an_operation_without_a_cache)
{
    robbed = create_heap(0);
    add_seq_cst(&inside(robbed)->gate.uncached_a, 1);
    pthread_t thread = start_locking();
    expect_asleep(0, SYS_clock_nanosleep);
    sub_rel(&inside(robbed)->gate.uncached_a, 1);
    expect_locked(thread);
}

/* Which is how a thread that never allocated frees: it is counted, and waits. */
static void *free_one(void *tid)
{
    atomic_store((atomic_int *)tid, (int)syscall(SYS_gettid));
    bool is_freed = HeapFree(robbed, 0, blocks[0]);
    atomic_fetch_add(&done, 1);
    return is_freed ? NULL : tid;
}

Test(gate, a_thread_without_a_cache_waits_too)
{
    robbed = create_heap(0);
    blocks[0] = take(robbed, 0, 100);
    pthread_t thread;
    require(HeapLock(robbed), "HeapLock failed");
    require(pthread_create(&thread, NULL, free_one, &tids[0]) == 0, "no thread");
    expect_asleep(0, SYS_futex);
    require(load_rlx(&inside(robbed)->gate.uncached_a) == 0, "it counts as inside");
    require(HeapSize(robbed, 0, blocks[0]) == 100, "it freed the block");
    require(HeapUnlock(robbed), "HeapUnlock failed");
    void *failure = NULL;
    pthread_join(thread, &failure);
    require(!failure, "HeapFree failed");
}

/* A call that passes a locked heap waits while it is stopped, and only then. */
static void *use_unserialized(void *tid)
{
    atomic_store((atomic_int *)tid, (int)syscall(SYS_gettid));
    void *block = HeapAlloc(robbed, HEAP_NO_SERIALIZE, 100);
    atomic_fetch_add(&done, 1);
    return block && HeapFree(robbed, HEAP_NO_SERIALIZE, block) ? NULL : tid;
}

Test(gate, a_stopped_heap_keeps_calls_out_that_pass_a_locked_one)
{
    robbed = create_heap(0);
    pthread_t thread;
    void *failure = NULL;
    require(HeapLock(robbed) && mole_gate_stop(inside(robbed)), "it cannot be stopped");
    require(pthread_create(&thread, NULL, use_unserialized, &tids[0]) == 0, "no thread");
    expect_asleep(0, SYS_clock_nanosleep);
    give_back(robbed, take(robbed, 0, 100)); /* the owner goes on */
    mole_gate_resume(inside(robbed));
    pthread_join(thread, &failure); /* it is still locked */
    require(!failure, "the call failed");
    require(modes_of(robbed) & MOLE_MODE_CLOSED, "the heap is not locked any more");
    require(HeapUnlock(robbed) && !HeapUnlock(robbed), "the lock was lost");
}

static atomic_bool is_locked, may_stop;

static void *lock_then_stop(void *tid)
{
    struct mole_heap *heap = mole_heap_find(robbed);
    bool is_good = HeapLock(robbed);
    atomic_store(&is_locked, true);
    while (!atomic_load(&may_stop))
        pause_shortly();
    atomic_store((atomic_int *)tid, (int)syscall(SYS_gettid));
    is_good = is_good && mole_gate_stop(heap);
    atomic_fetch_add(&done, 1);
    if (!is_good)
        return tid;
    mole_gate_resume(heap);
    return HeapUnlock(robbed) ? NULL : tid;
}

/* As if this thread were in a call that passed the locked heap. */
Test(gate, stopping_waits_for_calls_that_passed)
{
    robbed = create_heap(0);
    struct mole_tcache *cache = mole_thread_cache(inside(robbed));
    pthread_t thread;
    require(cache != NULL, "the thread has no cache");
    require(pthread_create(&thread, NULL, lock_then_stop, &tids[0]) == 0, "no thread");
    while (!atomic_load(&is_locked))
        pause_shortly();
    mole_tcache_enter(cache);
    atomic_store(&may_stop, true);
    while (!atomic_load(&tids[0]))
        pause_shortly();
    while (!(modes_of(robbed) & MOLE_MODE_STOPPED) && !atomic_load(&done))
        pause_shortly();
    expect_asleep(0, SYS_clock_nanosleep);
    mole_tcache_leave(cache);
    void *failure = NULL;
    pthread_join(thread, &failure);
    require(!failure, "it cannot be stopped");
}

static const char *expect_not_stopped(struct worker *worker)
{
    struct mole_heap *heap = inside(worker->shared);
    answer_unless(!mole_gate_try_stop(heap), "it was stopped under another's lock");
    answer_unless(!mole_gate_is_any_mine(), "the thread says that it owns a gate");
    return NULL;
}

Test(gate, a_try_to_stop_a_heap_does_not_wait_for_its_owner)
{
    HANDLE handle = create_heap(0), gone = create_heap(0);
    struct mole_heap *heap = inside(handle), *dead = inside(gone);
    const unsigned stopped = MOLE_MODE_CLOSED | MOLE_MODE_STOPPED;

    require(mole_gate_try_stop(heap), "an open heap was not stopped");
    require(modes_of(handle) == stopped, "modes are %x", modes_of(handle));
    run_workers(1, expect_not_stopped, handle);
    mole_gate_resume(heap);
    require(modes_of(handle) == 0, "modes are %x", modes_of(handle));
    require(HeapLock(handle) && mole_gate_try_stop(heap), "its owner cannot stop it");
    run_workers(1, expect_not_stopped, handle);
    mole_gate_resume(heap);
    require(modes_of(handle) == MOLE_MODE_CLOSED, "modes are %x", modes_of(handle));
    require(HeapUnlock(handle) && modes_of(handle) == 0, "HeapUnlock");
    destroy_heap(gone);
    require(!mole_gate_try_stop(dead), "a dead heap was stopped");
    require(!mole_gate_is_any_mine(), "a gate is left");
}

static const char *pause_and_look(struct worker *worker)
{
    struct mole_heap *heap = inside(worker->shared);
    struct mole_owner *owner = mole_heap_owners(heap);
    answer_unless(mole_gate_try_pause(heap), "it waited, or gave up");
    bool is_quiet = mole_gate_has_quiet(owner);
    mole_gate_resume(heap);
    answer_unless(!is_quiet, "a cache in use is called quiet");
    return NULL;
}

/* As if this thread were in an operation. */
Test(gate, a_pause_waits_for_nobody)
{
    if (!mole_barrier_all())
        mole_mode_go_fenced();
    HANDLE handle = create_heap(0), gone = create_heap(0);
    struct mole_heap *dead = inside(gone);
    struct mole_tcache *cache = mole_thread_cache(inside(handle));
    mole_tcache_enter(cache);
    run_workers(1, pause_and_look, handle);
    mole_tcache_leave(cache);
    require(mole_gate_try_pause(inside(handle)), "an open heap was not paused");
    require(mole_gate_has_quiet(&cache->owner), "a quiet cache is called in use");
    run_workers(1, expect_not_stopped, handle);
    mole_gate_resume(inside(handle));
    destroy_heap(gone);
    require(!mole_gate_try_pause(dead), "a dead heap was paused");
    require(!mole_gate_is_any_mine(), "a gate is left");
}
