/* SPDX-License-Identifier: MIT */
/* HeapCompact. Spec 2.8 and cases 62, 138. */
#include "callers.h"
#include "walking.h"
#include "workers.h"

Test(heap_compact, case_062_a_fresh_heap_has_room)
{
    HANDLE heap = create_heap(0);
    arm_errors();
    SIZE_T most = HeapCompact(heap, 0);
    expect_errors_kept("HeapCompact");
    require(most > 0, "nothing is free");
    destroy_heap(heap);
}

Test(heap_compact, case_062_bad_handles_are_refused)
{
    HANDLE dead = create_heap(0);
    destroy_heap(dead);
    HANDLE bad[] = {NULL, dead, (HANDLE)1, (HANDLE)&bad};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        arm_errors();
        SIZE_T most = HeapCompact(bad[i], 0);
        expect_error("HeapCompact of no heap", ERROR_INVALID_HANDLE, EINVAL);
        require(most == 0, "it has %zu bytes", most);
    }
}

/* The most that a walk shows as free. */
static SIZE_T largest_shown(HANDLE heap)
{
    struct walked walked = {0};
    SIZE_T most = 0;
    lock(heap);
    walk(heap, &walked);
    unlock(heap);
    for (size_t i = 1; i < walked.count; i++)
        if (!is_busy(&walked.entries[i]) && walked.entries[i].cbData > most)
            most = walked.entries[i].cbData;
    free(walked.entries);
    return most;
}

HEAP_CASE(heap_compact, case_062_it_tells_the_largest_free_piece)
{
    for (size_t i = 0; i < 3000; i++) {
        void *block = take(heap, 0, i % 5000);
        if (i % 3)
            give_back(heap, block);
        if (i % 300)
            continue;
        SIZE_T most = HeapCompact(heap, 0);
        require(most == largest_shown(heap), "%zu bytes, the walk shows %zu", most,
                largest_shown(heap));
        require(HeapCompact(heap, HEAP_NO_SERIALIZE) == most, "not without the lock");
    }
}

enum { BLOCKS = 10000 };

static void *blocks[2 * BLOCKS];

static size_t bytes_of(size_t i)
{
    return i % 500 ? i * 31 % 1200 : i * 17 % 200000;
}

/* Another thread's caches, batches and inboxes are full of what comes and goes. */
static const char *take_and_free(struct worker *worker)
{
    HANDLE heap = worker->shared;
    for (size_t i = worker->index; i < 2 * BLOCKS; i += 2) {
        blocks[i] = HeapAlloc(heap, 0, bytes_of(i));
        if (!blocks[i])
            return "HeapAlloc failed";
        stamp(blocks[i], bytes_of(i), i);
    }
    return NULL;
}

static const char *free_each_others(struct worker *worker)
{
    HANDLE heap = worker->shared;
    for (size_t i = 0; i < 40; i++)
        HeapFree(heap, 0, HeapAlloc(heap, 0, 100));
    for (size_t i = 1 - worker->index; i < 2 * BLOCKS; i += 2)
        if (i / 2 % 2 && !HeapFree(heap, 0, blocks[i]))
            return "HeapFree failed";
    return NULL;
}

HEAP_CASE(heap_compact, case_138_blocks_are_neither_moved_nor_changed)
{
    run_workers(2, take_and_free, heap);
    run_workers(2, free_each_others, heap);
    for (int round = 0; round < 3; round++) {
        HeapCompact(heap, 0);
        require(HeapValidate(heap, 0, NULL), "the heap is not in order");
        for (size_t i = 0; i < 2 * BLOCKS; i++) {
            if (i / 2 % 2)
                continue;
            require(HeapSize(heap, 0, blocks[i]) == bytes_of(i),
                    "block %zu has another size", i);
            require(stamp_is_intact(blocks[i], bytes_of(i), i), "block %zu was changed",
                    i);
        }
        give_back(heap, take(heap, 0, 1000));
    }
}

Test(heap_compact, memory_that_others_freed_comes_back)
{
    HANDLE heap = create_heap(0);
    HEAP_SUMMARY before = {.cb = sizeof before}, after = {.cb = sizeof after};
    run_workers(2, take_and_free, heap);
    run_workers(2, free_each_others, heap);
    for (size_t i = 0; i < 2 * BLOCKS; i++)
        if (i / 2 % 2 == 0)
            give_back(heap, blocks[i]);
    require(HeapSummary(heap, 0, &before), "HeapSummary failed");
    HeapCompact(heap, 0);
    require(HeapSummary(heap, 0, &after), "HeapSummary failed");
    require(after.cbAllocated == 0 && after.cbReserved == 0x10000,
            "an emptied heap keeps %zu bytes of %zu", after.cbReserved,
            before.cbReserved);
    require(HeapValidate(heap, 0, NULL), "the heap is not in order");
    give_back(heap, take(heap, 0, 64));
    destroy_heap(heap);
}

enum { BYTES = 8192, SLABS = 16 }; /* eight to a slab, which has 64 KiB for itself */

struct holder {
    HANDLE heap;
    void *blocks[SLABS];
    atomic_bool has_freed, may_end;
};

/* All but the last: one more than a batch takes, so that one waits in it. */
static const char *free_and_stay(struct worker *worker)
{
    struct holder *holder = worker->shared;
    if (worker->index == 0) {
        for (size_t i = 0; i < SLABS; i++)
            if (!(holder->blocks[i] = HeapAlloc(holder->heap, 0, BYTES)))
                return "HeapAlloc failed";
        atomic_store(&holder->may_end, false);
        while (!atomic_load(&holder->has_freed))
            pause_shortly();
        bool is_freed = HeapFree(holder->heap, 0, holder->blocks[SLABS - 1]);
        HEAP_SUMMARY summary = {.cb = sizeof summary};
        HeapCompact(holder->heap, 0);
        bool is_good = HeapSummary(holder->heap, 0, &summary);
        for (size_t i = 0; i < SLABS; i++) /* where what was freed has been */
            is_good = is_good && HeapAlloc(holder->heap, 0, BYTES);
        atomic_store(&holder->may_end, true);
        return !is_freed || !is_good || summary.cbAllocated ? "a call failed"
               : summary.cbReserved != 0x10000
                   ? "memory stays where another thread has a batch"
                   : NULL;
    }
    while (atomic_load(&holder->may_end))
        pause_shortly();
    for (size_t i = 0; i < 40; i++) /* a cache of its own, whose batches stay */
        HeapFree(holder->heap, 0, HeapAlloc(holder->heap, 0, 16));
    for (size_t i = 0; i < SLABS - 1; i++)
        if (!HeapFree(holder->heap, 0, holder->blocks[i]))
            return "HeapFree failed";
    atomic_store(&holder->has_freed, true);
    while (!atomic_load(&holder->may_end))
        pause_shortly();
    return NULL;
}

Test(heap_compact, another_threads_batches_come_back)
{
    struct holder holder = {.heap = create_heap(0), .may_end = true};
    run_workers(2, free_and_stay, &holder);
    require(HeapValidate(holder.heap, 0, NULL), "the heap is not in order");
    require(allocated_bytes(holder.heap) == (SIZE_T)SLABS * BYTES, "%zu bytes are live",
            allocated_bytes(holder.heap));
    destroy_heap(holder.heap);
}

/* Busy threads go on, also those whose calls pass a locked heap. */
struct busy {
    HANDLE heap;
    atomic_bool is_over;
};

static const char *compact_or_use(struct worker *worker)
{
    struct busy *busy = worker->shared;
    if (worker->index == 0) {
        for (size_t i = 0; i < repeats(300) + 5; i++)
            if (!HeapCompact(busy->heap, 0) || !HeapValidate(busy->heap, 0, NULL))
                return "HeapCompact or HeapValidate failed";
        atomic_store(&busy->is_over, true);
        return NULL;
    }
    DWORD flags = worker->index % 2 ? HEAP_NO_SERIALIZE : 0;
    void *held[50] = {NULL};
    for (size_t i = 0; !atomic_load(&busy->is_over); i++) {
        size_t at = i * 7 % LENGTH(held);
        if (held[at] && !HeapFree(busy->heap, flags, held[at]))
            return "HeapFree failed";
        held[at] = HeapAlloc(busy->heap, flags, i * 13 % 3000);
        if (!held[at])
            return "HeapAlloc failed";
    }
    for (size_t i = 0; i < LENGTH(held); i++)
        HeapFree(busy->heap, 0, held[i]);
    return NULL;
}

HEAP_CASE(heap_compact, a_heap_in_use_may_be_compacted)
{
    struct busy busy = {.heap = heap};
    SIZE_T before = allocated_bytes(heap);
    run_workers(5, compact_or_use, &busy);
    require(allocated_bytes(heap) == before, "%zu bytes are left", allocated_bytes(heap));
}

static uint64_t locks(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    require(mh_stats_get(&stats) == 0, "no counters");
    return stats.lock_acquisitions;
}

Test(heap_compact, a_heap_without_serialization_is_compacted_too)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(heap, 0, i % 2000);
    for (size_t i = 0; i < BLOCKS; i++)
        give_back(heap, blocks[i]);
    uint64_t first = locks(), to_ask = locks() - first;
    SIZE_T most = HeapCompact(heap, 0);
    bool is_valid = HeapValidate(heap, 0, NULL);
    uint64_t taken = locks() - first - 2 * to_ask;
    require(is_valid, "the heap is not in order");
    require(most == 0xF000, "the largest piece has %zu bytes", most);
    require(taken == 0, "%zu locks were taken", (size_t)taken);
    destroy_heap(heap);
}

static bool compact(struct caller *caller)
{
    return HeapCompact(caller->heap, 0) > 0;
}

HEAP_CASE(heap_compact, case_075_a_locked_heap_blocks_it)
{
    expect_to_wait(heap, compact, NULL);
}

HEAP_CASE(heap_compact, the_owner_of_the_lock_compacts)
{
    lock(heap);
    require(HeapCompact(heap, 0) > 0, "nothing is free");
    struct caller other = {.heap = heap, .call = compact};
    start(&other);
    expect_blocked(&other); /* still locked */
    unlock(heap);
    expect_through(&other);
}
