/* SPDX-License-Identifier: MIT */
/* HeapQueryInformation and HeapOptimizeResources: what they find in a heap, and leave. */
#include <molehill/spy.h>
#include <stdatomic.h>

#include "asleep.h"
#include "information.h"
#include "workers.h"

/* 17 allocations are not enough, whatever becomes of the blocks, 18 are. */

typedef void pattern(HANDLE heap, size_t bytes, size_t count);

static void all_then_free(HANDLE heap, size_t bytes, size_t count)
{
    void *blocks[18];

    for (size_t i = 0; i < count; i++)
        blocks[i] = take(heap, 0, bytes);
    for (size_t i = 0; i < count; i++)
        give_back(heap, blocks[i]);
}

static void one_at_a_time(HANDLE heap, size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        give_back(heap, take(heap, 0, bytes));
}

static void none_freed(HANDLE heap, size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take(heap, 0, bytes);
}

static void compacted_each_time(HANDLE heap, size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        one_at_a_time(heap, bytes, 1);
        HeapCompact(heap, 0);
    }
}

struct foreign_use {
    HANDLE heap;
    size_t bytes, count;
    void *blocks[18];
};

static const char *take_there(struct worker *worker)
{
    struct foreign_use *use = worker->shared;
    for (size_t i = 0; i < use->count; i++)
        if (!(use->blocks[i] = HeapAlloc(use->heap, 0, use->bytes)))
            return "no memory";
    return NULL;
}

static const char *free_there(struct worker *worker)
{
    struct foreign_use *use = worker->shared;
    for (size_t i = 0; i < use->count; i++)
        if (!HeapFree(use->heap, 0, use->blocks[i]))
            return "HeapFree failed";
    return NULL;
}

static void freed_by_another_thread(HANDLE heap, size_t bytes, size_t count)
{
    struct foreign_use use = {.heap = heap, .bytes = bytes, .count = count};

    for (size_t i = 0; i < count; i++)
        use.blocks[i] = take(heap, 0, bytes);
    run_workers(1, free_there, &use);
}

static void taken_by_another_thread(HANDLE heap, size_t bytes, size_t count)
{
    struct foreign_use use = {.heap = heap, .bytes = bytes, .count = count};

    run_workers(1, take_there, &use);
    for (size_t i = 0; i < count; i++)
        give_back(heap, use.blocks[i]); /* in batches, some of them */
}

static void resized(HANDLE heap, size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *block = take(heap, 0, bytes);
        block = HeapReAlloc(heap, 0, block, bytes);
        require(block != NULL, "HeapReAlloc failed");
        give_back(heap, block);
    }
}

Test(heap_information_use, case_070_18_allocations_of_a_class_activate_it)
{
    static pattern *const uses[] = {
        all_then_free,           one_at_a_time,           none_freed, compacted_each_time,
        freed_by_another_thread, taken_by_another_thread, resized};
    static const size_t sizes[] = {0, 1, 16, 100, 1024, 1025, 5000, 8000, 12000, 16000};

    for (size_t i = 0; i < LENGTH(uses); i++)
        for (size_t j = 0; j < LENGTH(sizes); j++) {
            HANDLE heap = create_heap(0);
            uses[i](heap, sizes[j], 17);
            ULONG before = value_of(heap);
            require(before == 0, "use %zu: 17 blocks of %zu say %u", i, sizes[j], before);
            uses[i](heap, sizes[j], 1);
            ULONG after = value_of(heap);
            require(after == ACTIVE, "use %zu: 18 of %zu say %u", i, sizes[j], after);
            require(!set(heap, 0), "0 was set on an active heap");
            expect_error("HeapSetInformation", ERROR_GEN_FAILURE, EINVAL);
            destroy_heap(heap);
        }
}

/* 17 of each of many classes, and any number above 16 KiB. */
Test(heap_information_use, case_070_other_allocations_do_not)
{
    HANDLE heap = create_heap(0);

    for (size_t bytes = 16; bytes <= 16384; bytes *= 2)
        all_then_free(heap, bytes, 17);
    for (size_t i = 0; i < 40; i++) {
        give_back(heap, take(heap, 0, 30000));
        give_back(heap, take(heap, 0, 100000));
    }
    expect_value(heap, 0, "17 of each class");
    one_at_a_time(heap, 64, 1);
    expect_value(heap, ACTIVE, "18 of one");
    destroy_heap(heap);
}

static SIZE_T committed_bytes(HANDLE heap)
{
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};
    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    return summary.cbCommitted;
}

struct theft {
    HANDLE heap;
    void *blocks[17 + 11 + 11]; /* of three classes; the first slab of each is stolen */
};

/* Of classes that are not counted. The thief's first slab is less than what it steals. */
enum { THIEF_BYTES = 20000, THIEF_BLOCKS = 40, OTHER_BYTES = 18000 };

/*
 * The blocks' slabs come back whole while their owner does not act; a thread with a cache
 * of its own that needs memory steals them.
 */
static const char *free_and_steal(struct worker *worker)
{
    struct theft *theft = worker->shared;
    for (size_t i = 0; i < THIEF_BLOCKS; i++)
        if (!HeapFree(theft->heap, 0, HeapAlloc(theft->heap, 0, THIEF_BYTES)))
            return "HeapFree failed";
    for (size_t i = 0; i < LENGTH(theft->blocks); i++)
        if (!HeapFree(theft->heap, 0, theft->blocks[i]))
            return "HeapFree failed";
    SIZE_T before = committed_bytes(theft->heap);
    if (!HeapAlloc(theft->heap, 0, OTHER_BYTES))
        return "no memory";
    return committed_bytes(theft->heap) < before ? NULL : "nothing was stolen";
}

Test(heap_information_use, case_070_allocations_in_slabs_that_were_stolen_count)
{
    struct theft theft = {.heap = create_heap(0)};

    for (size_t i = 0; i < LENGTH(theft.blocks); i++)
        theft.blocks[i] = take(theft.heap, 0, i < 17 ? 16000 : i < 28 ? 14000 : 12000);
    run_workers(1, free_and_steal, &theft);
    expect_value(theft.heap, 0, "17 blocks in slabs that were stolen");
    one_at_a_time(theft.heap, 16000, 1);
    expect_value(theft.heap, ACTIVE, "and one more");
    destroy_heap(theft.heap);
}

Test(heap_information_use, asking_does_not_disturb_who_allocates)
{
    struct foreign_use uses = {.heap = create_heap(0), .bytes = 40000, .count = 18};

    for (size_t i = 0; i < 20; i++) {
        require(HeapLock(uses.heap), "HeapLock failed");
        expect_value(uses.heap, 0, "a locked heap");
        require(HeapUnlock(uses.heap), "HeapUnlock failed");
        run_workers(1, take_there, &uses);
        expect_value(uses.heap, 0, "a heap of large blocks");
        run_workers(1, free_there, &uses);
    }
    destroy_heap(uses.heap);
}

/* Blocks in this thread's batches; their slabs can only go when these are handed over. */
static void leave_batches(HANDLE heap)
{
    taken_by_another_thread(heap, 8000, 17);
    taken_by_another_thread(heap, 100, 17);
}

Test(heap_information_use, resources_of_one_heap_or_all_are_given_back)
{
    HEAP_OPTIMIZE_RESOURCES_INFORMATION good = {1, 0};
    HANDLE heaps[] = {create_heap(0), create_heap(0)};

    for (size_t i = 0; i < 2; i++) {
        none_freed(heaps[i], 64, 1); /* the thread has a cache of its own */
        leave_batches(heaps[i]);
    }
    SIZE_T before = committed_bytes(heaps[0]), others = committed_bytes(heaps[1]);
    require(HeapSetInformation(heaps[0], optimize, &good, sizeof good), "refused");
    require(committed_bytes(heaps[0]) < before, "nothing was given back");
    require(committed_bytes(heaps[1]) == others, "the other heap was changed");
    require(HeapSetInformation(NULL, optimize, &good, sizeof good), "refused");
    require(committed_bytes(heaps[1]) < others, "of all heaps nothing was given back");
    destroy_heap(heaps[0]);
    destroy_heap(heaps[1]);
}

static atomic_int stage; /* 1: locked; 2: may be unlocked */

static const char *lock_until_told(struct worker *worker)
{
    if (!HeapLock(worker->shared))
        return "HeapLock failed";
    atomic_store(&stage, 1);
    while (atomic_load(&stage) != 2)
        pause_shortly();
    return HeapUnlock(worker->shared) ? NULL : "HeapUnlock failed";
}

static void *optimize_all(void *locked)
{
    HEAP_OPTIMIZE_RESOURCES_INFORMATION good = {1, 0};
    while (atomic_load(&stage) != 1)
        pause_shortly();
    *(BOOL *)locked = HeapSetInformation(NULL, optimize, &good, sizeof good);
    atomic_store(&stage, 2);
    return NULL;
}

/* The lock is held until all heaps were optimized. */
Test(heap_information_use, optimizing_all_heaps_waits_for_no_locked_one)
{
    HANDLE locked = create_heap(0);
    BOOL is_done = FALSE;
    pthread_t thread;

    none_freed(locked, 64, 1);
    leave_batches(locked);
    SIZE_T before = committed_bytes(locked);
    require(pthread_create(&thread, NULL, optimize_all, &is_done) == 0, "no thread");
    run_workers(1, lock_until_told, locked);
    pthread_join(thread, NULL);
    require(is_done, "it was refused");
    require(committed_bytes(locked) == before, "the locked heap was changed");
    destroy_heap(locked);
}

/* In a callback, too: its errors are its own. */
static void optimize_in_callback(void *context, void *heap, void *block, size_t bytes)
{
    HEAP_OPTIMIZE_RESOURCES_INFORMATION good = {1, 0};
    (void)block, (void)bytes;
    SetLastError(LAST_ERROR_SENTINEL);
    bool is_good = HeapSetInformation(heap, optimize, &good, sizeof good) &&
                   HeapSetInformation(NULL, optimize, &good, sizeof good) &&
                   GetLastError() == LAST_ERROR_SENTINEL;
    is_good = is_good && !HeapSetInformation(&good, optimize, &good, sizeof good) &&
              GetLastError() == ERROR_INVALID_HANDLE;
    *(size_t *)context += is_good;
}

Test(heap_information_use, resources_are_optimized_from_a_callback)
{
    HANDLE heap = create_heap(0);
    size_t good = 0;
    struct mh_spy spy = {
        .size = sizeof spy, .context = &good, .allocated = optimize_in_callback};

    require(mh_spy_attach(&spy, heap) == 0, "mh_spy_attach failed");
    for (size_t i = 0; i < 40; i++)
        give_back(heap, take(heap, 0, i * 1000));
    require(mh_spy_detach(&spy) == 0, "mh_spy_detach failed");
    require(good == 40, "%zu of 40 callbacks could do it", good);
    destroy_heap(heap);
}
