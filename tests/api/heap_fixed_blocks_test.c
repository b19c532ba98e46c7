/* SPDX-License-Identifier: MIT */
/*
 * Blocks of fixed-size heaps: refusals, walks, contents, locks. Cases 48, 62 and 133 by
 * one thread.
 */
#include <molehill/molehill.h>

#include "fixed.h"
#include "oracle.h"
#include "walking.h"

Test(heap_fixed_blocks, case_062_a_full_heap_has_nothing_free)
{
    HANDLE heap = create_fixed(0, 0, CASE_SIZE);
    require(HeapCompact(heap, 0) >= CASE_SIZE - CHARGED_MOST, "not all is free");
    size_t count = 0;
    void *last = NULL;
    for (void *block; (block = HeapAlloc(heap, 0, 16)); count++)
        last = block;
    SIZE_T room = 16 + guard_bytes(); /* tails count against the maximum */
    require(count * room >= CASE_SIZE - CHARGED_MOST, "only %zu blocks fit", count);
    arm_errors();
    SIZE_T most = HeapCompact(heap, 0);
    require(GetLastError() == NO_ERROR, "the last error is %u", GetLastError());
    require(most == 0, "%zu bytes are free", most);
    give_back(heap, last);
    require(HeapCompact(heap, 0) == room, "not the block that was freed");
    destroy_heap(heap);
}

/* Blocks that a thread's cache took hold of are had by one that needs them all. */
Test(heap_fixed_blocks, case_048_what_a_cache_holds_is_not_lost)
{
    enum { BLOCKS = 1000 };
    void *blocks[BLOCKS];
    HANDLE heap = create_fixed(0, 0, CASE_SIZE);
    for (int turn = 0; turn < 10; turn++) {
        DWORD flags = turn % 2 ? HEAP_NO_SERIALIZE : 0;
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i] = take(heap, 0, 200);
        for (size_t i = 0; i < BLOCKS; i++)
            give_back(heap, blocks[i]);
        give_back(heap, take(heap, flags, CASE_SIZE - CHARGED_MOST));
    }
    destroy_heap(heap);
}

Test(heap_fixed_blocks, foreign_interior_and_freed_pointers_are_refused)
{
    HANDLE heap = create_fixed(0, 0, MIB), other = create_fixed(0, 0, MIB);
    for (SIZE_T bytes = 0; bytes < 3000; bytes += bytes < 40 ? 1 : 97) {
        char *block = take(heap, 0, bytes);
        char *bad[] = {block + 1,         block + 8,    block + 16,
                       block - 16,        block + 4096, (char *)heap,
                       (char *)heap + 16, (char *)1,    (char *)heap + 2 * MIB,
                       (char *)&block};
        for (size_t i = 0; i < LENGTH(bad); i++) {
            require(!HeapFree(heap, 0, bad[i]), "free of %p was accepted", bad[i]);
            require(!HeapValidate(heap, 0, bad[i]), "%p is valid", bad[i]);
            require(HeapSize(heap, 0, bad[i]) == FAILED_SIZE, "%p has a size", bad[i]);
            require(!HeapReAlloc(heap, 0, bad[i], 5), "%p can be resized", bad[i]);
        }
        require(!HeapFree(other, 0, block), "another heap freed it");
        require(HeapSize(heap, 0, block) == bytes, "not %zu bytes any more", bytes);
        give_back(heap, block);
        arm_errors();
        require(!HeapFree(heap, 0, block), "a second free was accepted");
        expect_error("HeapFree", ERROR_INVALID_PARAMETER, EINVAL);
        require(HeapSize(heap, 0, block) == FAILED_SIZE, "a freed block has a size");
    }
    require(HeapValidate(heap, 0, NULL), "the heap does not validate");
    destroy_heap(heap);
    destroy_heap(other);
}

/* What a walk shows: the region first, then all of it by address, without a gap. */
static void expect_whole_walk(HANDLE heap, SIZE_T maximum)
{
    struct walked walked = {0};
    require(HeapLock(heap), "HeapLock failed");
    walk(heap, &walked);
    require(HeapUnlock(heap), "HeapUnlock failed");
    const PROCESS_HEAP_ENTRY *first = &walked.entries[0];
    require(first->wFlags == PROCESS_HEAP_REGION && first->lpData == heap,
            "the first entry is no region at the handle");
    char *start = first->Region.lpFirstBlock, *last = first->Region.lpLastBlock;
    require((SIZE_T)(last - start) == maximum, "the region has %td bytes", last - start);
    require(first->Region.dwCommittedSize + first->Region.dwUnCommittedSize == maximum,
            "committed and uncommitted are not all");
    char *next = start;
    for (size_t i = 1; i < walked.count; i++) {
        const PROCESS_HEAP_ENTRY *entry = &walked.entries[i];
        require(entry->lpData == next, "%p follows %p", entry->lpData, (void *)next);
        require(!!HeapValidate(heap, 0, entry->lpData) == is_busy(entry),
                "entry %zu is valid, or not", i);
        SIZE_T room = entry->cbData + guard_bytes(); /* a tail lies between */
        next += is_busy(entry) ? (room + 15 + !room) / 16 * 16 : entry->cbData;
        require(is_busy(entry) || i + 1 == walked.count ||
                    is_busy(&walked.entries[i + 1]) ||
                    walked.entries[i + 1].wFlags == PROCESS_HEAP_UNCOMMITTED_RANGE,
                "free entries %zu and %zu touch", i, i + 1);
    }
    require(next <= last && last - next <= CHARGED_MOST, "%td bytes are not shown",
            last - next);
    free(walked.entries);
}

Test(heap_fixed_blocks, a_walk_shows_all_of_it)
{
    static void *blocks[MANY];
    HANDLE heap = create_fixed(0, 3 * 4096, MIB);
    expect_whole_walk(heap, MIB);
    uint64_t random = 5;
    SIZE_T sum;
    size_t count = fill(heap, &random, blocks, &sum);
    expect_whole_walk(heap, MIB);
    for (size_t i = 0; i < count; i += 3)
        give_back(heap, blocks[i]);
    expect_whole_walk(heap, MIB);
    PROCESS_HEAP_ENTRY entry = {.lpData = (char *)blocks[1] + 1};
    require(!HeapWalk(heap, &entry) && GetLastError() == ERROR_INVALID_PARAMETER,
            "a walk goes on from where no block is");
    destroy_heap(heap);
}

static void run_oracle(HANDLE heap, DWORD flags)
{
    static struct oracle oracle;
    oracle_init(&oracle, heap, flags, 3);
    oracle.most = ceiling() - 1;
    const char *failure = NULL;
    for (int turn = 0; turn < 10 && !failure; turn++) {
        failure = oracle_run(&oracle, 1000 + repeats(50000));
        require(HeapValidate(heap, 0, NULL), "the heap does not validate");
    }
    require(!failure, "%s", failure);
    failure = oracle_finish(&oracle);
    require(!failure, "%s", failure);
    require(allocated_bytes(heap) == 0, "%zu bytes are left", allocated_bytes(heap));
    require(HeapValidate(heap, 0, NULL), "the heap does not validate");
}

Test(heap_fixed_blocks, random_calls_keep_all_contents)
{
    HANDLE heap = create_fixed(0, 0, 64 * MIB);
    run_oracle(heap, 0);
    run_oracle(heap, HEAP_NO_SERIALIZE);
    destroy_heap(heap);
    heap = create_fixed(HEAP_NO_SERIALIZE, 0, 64 * MIB);
    run_oracle(heap, 0);
    destroy_heap(heap);
}

static uint64_t lock_count(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    require(mh_stats_get(&stats) == 0, "no counters");
    return stats.lock_acquisitions;
}

/* The counters themselves take some. */
static uint64_t locks_since(uint64_t before)
{
    uint64_t now = lock_count();
    return now - before - (lock_count() - now);
}

/* The purger's locks are no operation's: none is to be started. */
static void keep_purger_out(void)
{
    require(mh_configure("purger:calls") == 0, "the purger cannot be switched off");
}

Test(heap_fixed_blocks, case_133_without_serialization_it_takes_no_lock)
{
    static struct oracle oracle;
    static void *blocks[MANY];
    keep_purger_out();
    uint64_t random = 1, before = lock_count();
    HANDLE heap = create_fixed(HEAP_NO_SERIALIZE, 0, 64 * MIB);
    oracle_init(&oracle, heap, 0, 1);
    oracle.most = ceiling() - 1;
    const char *failure = oracle_run(&oracle, 1000 + repeats(1000000));
    require(!failure, "%s", failure);
    failure = oracle_finish(&oracle);
    require(!failure, "%s", failure);
    destroy_heap(heap);
    heap = create_fixed(HEAP_NO_SERIALIZE, 0, MIB);
    for (int turn = 0; turn < 3; turn++) { /* and until nothing is left */
        SIZE_T sum;
        size_t count = fill(heap, &random, blocks, &sum);
        require(HeapCompact(heap, 0) < MIB && HeapValidate(heap, 0, NULL), "not right");
        while (count > 0)
            give_back(heap, blocks[--count]);
    }
    destroy_heap(heap);
    require(locks_since(before) == 0, "%zu locks were taken",
            (size_t)locks_since(before));
}

Test(heap_fixed_blocks, case_133_warm_pairs_take_no_lock)
{
    if (has_global_flag(0x70))
        cr_skip_test("SKIPPED: heaps with checks have no caches");
    keep_purger_out();
    HANDLE heap = create_fixed(0, 0, MIB);
    for (SIZE_T bytes = 1; bytes <= 1024; bytes += 341) {
        for (int pair = 0; pair < 100; pair++)
            give_back(heap, take(heap, 0, bytes));
        uint64_t before = lock_count();
        for (int pair = 0; pair < 10000; pair++)
            give_back(heap, take(heap, 0, bytes));
        require(locks_since(before) == 0, "%zu locks in pairs of %zu bytes",
                (size_t)locks_since(before), bytes);
    }
    destroy_heap(heap);
}

/* Free extents have 28 bits for their length: larger heaps begin with several. */
Test(heap_fixed_blocks, a_heap_of_more_than_4_gib_stays_valid)
{
    static const SIZE_T sizes[] = {1, 3200, 70000, 0x7FFF7};
    HANDLE heap = HeapCreate(0, 0, ((SIZE_T)1 << 32) + 4096);
    require(heap != NULL, "no such heap");
    void *blocks[LENGTH(sizes)];
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        blocks[i] = take(heap, 0, sizes[i]);
        require(HeapValidate(heap, 0, NULL), "not valid with %zu bytes", sizes[i]);
    }
    blocks[3] = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, blocks[3], 3000);
    require(blocks[3] && HeapValidate(heap, 0, NULL), "not valid with a shorter block");
    blocks[3] = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, blocks[3], 9000);
    require(blocks[3] && HeapValidate(heap, 0, NULL), "not valid with a longer block");
    for (size_t i = 0; i < LENGTH(sizes); i++)
        give_back(heap, blocks[i]);
    require(HeapValidate(heap, 0, NULL), "not valid when all is free");
    destroy_heap(heap);
}
