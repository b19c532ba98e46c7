/* SPDX-License-Identifier: MIT */
/*
 * HeapLock and HeapUnlock. That a thread is blocked is shown by what the system says of
 * it, asleep on a futex, and by the order of events, not by waiting for something not to
 * happen.
 */
#include "callers.h"
#include "runner.h"

static bool alloc_and_free(struct caller *caller)
{
    void *block = HeapAlloc(caller->heap, 0, 100);
    return block && HeapFree(caller->heap, 0, block);
}

static bool alloc_large(struct caller *caller)
{
    void *block = HeapAlloc(caller->heap, HEAP_ZERO_MEMORY, 200000);
    return block && HeapFree(caller->heap, 0, block);
}

/* And nothing else, which might wait in its place. */
static bool alloc_bytes(struct caller *caller)
{
    const SIZE_T *bytes = caller->block;
    return HeapAlloc(caller->heap, 0, *bytes) != NULL;
}

static bool free_block(struct caller *caller)
{
    return HeapFree(caller->heap, 0, caller->block);
}

static bool grow_block(struct caller *caller)
{
    caller->block = HeapReAlloc(caller->heap, 0, caller->block, 5000);
    return caller->block != NULL;
}

static bool shrink_in_place(struct caller *caller)
{
    return HeapReAlloc(caller->heap, HEAP_REALLOC_IN_PLACE_ONLY, caller->block, 90) ==
           caller->block;
}

static bool ask_size(struct caller *caller)
{
    return HeapSize(caller->heap, 0, caller->block) == 100;
}

static bool validate(struct caller *caller)
{
    return HeapValidate(caller->heap, 0, caller->block);
}

/* Warm: the thread has a cache of its own in the heap before the heap is locked. */
static void settle(HANDLE heap)
{
    for (int i = 0; i < 100; i++)
        give_back(heap, take(heap, 0, 100));
}

HEAP_CASE(heap_lock, case_074_a_locked_heap_cannot_be_locked_by_another_thread)
{
    expect_to_wait(heap, lock_and_unlock, NULL);
}

HEAP_CASE(heap_lock, case_075_a_locked_heap_blocks_alloc_and_free)
{
    SIZE_T small = 100, large = 200000;
    expect_to_wait(heap, alloc_and_free, NULL);
    expect_to_wait(heap, alloc_large, NULL);
    expect_to_wait(heap, alloc_bytes, &small);
    expect_to_wait(heap, alloc_bytes, &large);
    expect_to_wait(heap, free_block, take(heap, 0, 100));
    expect_to_wait(heap, free_block, take(heap, 0, 300000));
}

HEAP_CASE(heap_lock, case_075_a_locked_heap_blocks_the_other_calls)
{
    void *block = take(heap, 0, 100);
    expect_to_wait(heap, ask_size, block);
    expect_to_wait(heap, validate, block);
    expect_to_wait(heap, shrink_in_place, block);
    struct caller grower = {.heap = heap, .call = grow_block, .block = block};
    lock(heap);
    start(&grower);
    expect_blocked(&grower);
    require(HeapSize(heap, 0, block) == 90, "the block was resized");
    unlock(heap);
    expect_through(&grower);
    give_back(heap, grower.block);
}

static bool free_too_late(struct caller *caller)
{
    arm_errors();
    BOOL done = HeapFree(caller->heap, 0, caller->block);
    return !done && GetLastError() == ERROR_INVALID_PARAMETER;
}

static bool resize_too_late(struct caller *caller)
{
    arm_errors();
    void *at = HeapReAlloc(caller->heap, HEAP_ZERO_MEMORY, caller->block, 90000);
    DWORD expected = compat_windows() ? ERROR_INVALID_PARAMETER : LAST_ERROR_SENTINEL;
    return !at && GetLastError() == expected && errno != ERRNO_SENTINEL;
}

/* The block was live when the call came, and is not when the heap is open again. */
HEAP_CASE(heap_lock, a_call_that_waited_looks_at_its_block_again)
{
    bool (*const calls[])(struct caller *) = {free_too_late, resize_too_late};
    const SIZE_T sizes[] = {100, 8000, 100000};
    for (size_t i = 0; i < LENGTH(calls) * LENGTH(sizes); i++) {
        SIZE_T before = allocated_bytes(heap);
        struct caller caller = {.heap = heap, .call = calls[i % LENGTH(calls)]};
        caller.block = take(heap, 0, sizes[i / LENGTH(calls)]);
        lock(heap);
        start(&caller);
        expect_blocked(&caller);
        give_back(heap, caller.block);
        unlock(heap);
        expect_through(&caller);
        require(allocated_bytes(heap) == before, "%zu bytes, not %zu",
                allocated_bytes(heap), before);
    }
}

/* A thread with a warm cache, in the middle of its lock-free fast paths. */
HEAP_CASE(heap_lock, case_075_a_lock_stops_the_fast_path)
{
    struct runner runner = {.heap = heap};
    pthread_t thread;
    require(pthread_create(&thread, NULL, run_pairs, &runner) == 0, "no thread");
    size_t stopped = 0;
    for (size_t i = 0; i < repeats(200) + 2; i++) {
        unsigned long long before = atomic_load(&runner.pairs);
        while (atomic_load(&runner.pairs) < before + 100)
            pause_shortly();
        lock(heap);
        unsigned long long at_lock = atomic_load(&runner.pairs);
        for (int turns = 0; turns < 60000; turns++) {
            if (sleeps_on_futex(atomic_load(&runner.tid)))
                break;
            pause_shortly();
        }
        /* One call may have ended before the lock and be counted after it. */
        require(atomic_load(&runner.pairs) <= at_lock + 1,
                "pairs were made under the lock");
        stopped += sleeps_on_futex(atomic_load(&runner.tid));
        unlock(heap);
    }
    atomic_store(&runner.stop, true);
    pthread_join(thread, NULL);
    require(!runner.failure, "%s", runner.failure);
    require(stopped > repeats(200) / 2, "only %zu times was the thread asleep", stopped);
}

enum { COLD, WARM, LOCKED };
static atomic_int phase;

/* One call alone under the lock, by a thread that has what the fast paths need. */
static void wait_for_lock(void)
{
    atomic_store(&phase, WARM);
    while (atomic_load(&phase) != LOCKED)
        pause_shortly();
}

static bool alloc_warm(struct caller *caller)
{
    const SIZE_T *bytes = caller->block;
    for (int i = 0; i < 100; i++)
        if (!HeapFree(caller->heap, 0, HeapAlloc(caller->heap, HEAP_ZERO_MEMORY, *bytes)))
            return false;
    wait_for_lock();
    return HeapAlloc(caller->heap, HEAP_ZERO_MEMORY, *bytes) != NULL;
}

static bool resize_warm(struct caller *caller)
{
    const SIZE_T *bytes = caller->block;
    for (int i = 0; i < 100; i++)
        if (!HeapFree(caller->heap, 0, HeapAlloc(caller->heap, 0, *bytes)))
            return false;
    void *block = HeapAlloc(caller->heap, 0, *bytes);
    wait_for_lock();
    return HeapReAlloc(caller->heap, 0, block, *bytes - 10) == block;
}

static void expect_warm_waits(HANDLE heap, bool (*call)(struct caller *), SIZE_T bytes)
{
    struct caller caller = {.heap = heap, .call = call, .block = &bytes};
    atomic_store(&phase, COLD);
    start(&caller);
    while (atomic_load(&phase) != WARM)
        pause_shortly();
    lock(heap);
    atomic_store(&phase, LOCKED);
    expect_blocked(&caller);
    unlock(heap);
    expect_through(&caller);
}

HEAP_CASE(heap_lock, case_075_a_lock_stops_a_warm_thread_that_wants_zeros)
{
    SIZE_T sizes[] = {100, 5000, 32768};
    for (size_t i = 0; i < LENGTH(sizes); i++)
        expect_warm_waits(heap, alloc_warm, sizes[i]);
}

HEAP_CASE(heap_lock, case_075_a_lock_stops_a_warm_thread_that_resizes)
{
    SIZE_T sizes[] = {100, 5000, 32768, 200000};
    for (size_t i = 0; i < LENGTH(sizes); i++)
        expect_warm_waits(heap, resize_warm, sizes[i]);
}

static bool use_unserialized(struct caller *caller)
{
    void *block = HeapAlloc(caller->heap, HEAP_NO_SERIALIZE, 100);
    void *large = HeapAlloc(caller->heap, HEAP_NO_SERIALIZE, 100000);
    if (!block || !large || HeapSize(caller->heap, HEAP_NO_SERIALIZE, block) != 100 ||
        !HeapValidate(caller->heap, HEAP_NO_SERIALIZE, block))
        return false;
    block = HeapReAlloc(caller->heap, HEAP_NO_SERIALIZE, block, 5000);
    return block && HeapFree(caller->heap, HEAP_NO_SERIALIZE, block) &&
           HeapFree(caller->heap, HEAP_NO_SERIALIZE, large);
}

HEAP_CASE(heap_lock, case_076_calls_with_no_serialize_pass)
{
    expect_to_pass(heap, use_unserialized, NULL);
}

/* Blocks of a heap of a fixed size have other paths: a small one's, and a large one's. */
Test(heap_lock, case_075_a_heap_of_a_fixed_size_is_locked_alike)
{
    HANDLE heap = HeapCreate(0, 0, MIB);
    require(heap != NULL, "no heap of a fixed size");
    SIZE_T small = 100, large = 200000;
    settle(heap);
    expect_to_wait(heap, lock_and_unlock, NULL);
    expect_to_wait(heap, alloc_bytes, &small);
    expect_to_wait(heap, alloc_bytes, &large);
    expect_to_wait(heap, free_block, take(heap, 0, 100));
    expect_to_wait(heap, free_block, take(heap, 0, 300000));
    expect_to_pass(heap, use_unserialized, NULL);
    require(allocated_bytes(heap) == small + large, "it has %zu bytes",
            allocated_bytes(heap));
    destroy_heap(heap);
}

static bool use_all(struct caller *caller)
{
    return lock_and_unlock(caller) && alloc_and_free(caller) && HeapLock(caller->heap) &&
           alloc_large(caller) && HeapUnlock(caller->heap);
}

Test(heap_lock, case_077_a_heap_without_serialization_is_never_locked)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);
    expect_to_pass(heap, use_all, NULL);
    require(HeapUnlock(heap), "HeapUnlock failed");
    destroy_heap(heap);
}

HEAP_CASE(heap_lock, case_078_one_unlock_for_each_lock)
{
    settle(heap);
    struct caller caller = {.heap = heap, .call = alloc_and_free};
    lock(heap);
    lock(heap);
    lock(heap);
    start(&caller);
    expect_blocked(&caller);
    void *block = take(heap, HEAP_ZERO_MEMORY, 100);
    void *large = take(heap, 0, 100000);
    block = HeapReAlloc(heap, 0, block, 3000);
    require(block && HeapSize(heap, 0, block) == 3000, "the owner cannot resize");
    require(HeapValidate(heap, 0, large), "the owner cannot validate");
    give_back(heap, block);
    unlock(heap);
    expect_blocked(&caller);
    give_back(heap, large);
    unlock(heap);
    expect_blocked(&caller);
    unlock(heap);
    expect_through(&caller);
}

static void expect_not_owner(HANDLE heap)
{
    SetLastError(LAST_ERROR_SENTINEL);
    require(!HeapUnlock(heap), "HeapUnlock gave what the thread does not own");
    require(GetLastError() == ERROR_NOT_OWNER, "the last error is %u", GetLastError());
}

static bool unlock_of_another(struct caller *caller)
{
    SetLastError(LAST_ERROR_SENTINEL);
    return !HeapUnlock(caller->heap) && GetLastError() == ERROR_NOT_OWNER;
}

HEAP_CASE(heap_lock, case_079_only_the_owner_unlocks)
{
    expect_not_owner(heap);
    expect_to_pass(heap, unlock_of_another, NULL);
    expect_not_owner(heap);
    lock(heap);
    struct caller other = {.heap = heap, .call = unlock_of_another};
    start(&other);
    expect_through(&other);
    struct caller blocked = {.heap = heap, .call = alloc_and_free};
    start(&blocked);
    expect_blocked(&blocked); /* nothing changed */
    unlock(heap);
    expect_through(&blocked);
}

Test(heap_lock, case_081_bad_handles_are_refused)
{
    HANDLE dead = create_heap(0);
    destroy_heap(dead);
    HANDLE bad[] = {NULL, dead, (HANDLE)1, (HANDLE)&bad};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        SetLastError(LAST_ERROR_SENTINEL);
        require(!HeapLock(bad[i]), "HeapLock took the handle %zu", i);
        require(GetLastError() == ERROR_INVALID_HANDLE, "HeapLock: %u", GetLastError());
        SetLastError(LAST_ERROR_SENTINEL);
        require(!HeapUnlock(bad[i]), "HeapUnlock took the handle %zu", i);
        require(GetLastError() == ERROR_INVALID_HANDLE, "HeapUnlock: %u", GetLastError());
    }
}

static bool lock_only(struct caller *caller)
{
    return HeapLock(caller->heap);
}

HEAP_CASE(heap_lock, success_keeps_the_last_error_and_errno)
{
    SetLastError(LAST_ERROR_SENTINEL);
    errno = ERRNO_SENTINEL;
    lock(heap);
    unlock(heap);
    require(GetLastError() == LAST_ERROR_SENTINEL, "the last error is %u",
            GetLastError());
    require(errno == ERRNO_SENTINEL, "errno is %d", errno);
}

/*
 * As on Windows; a thread that comes later, with the same thread pointer, is not the
 * owner.
 */
Test(heap_lock, a_thread_that_ends_leaves_the_heap_locked)
{
    HANDLE heap = create_heap(0);
    struct caller owner = {.heap = heap, .call = lock_only};
    start(&owner);
    expect_through(&owner);
    expect_not_owner(heap);
    struct caller next = {.heap = heap, .call = alloc_and_free};
    start(&next);
    expect_blocked(&next);
}

Test(heap_lock, an_owner_may_destroy_its_heap)
{
    for (int i = 0; i < 20; i++) {
        HANDLE heap = create_heap(0);
        lock(heap);
        destroy_heap(heap);
        heap = create_heap(0); /* with the record of the first, most likely */
        struct caller caller = {.heap = heap, .call = use_all};
        start(&caller);
        expect_through(&caller);
        destroy_heap(heap);
    }
}
