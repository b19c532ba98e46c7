/* SPDX-License-Identifier: MIT */
/* Fixed-size heaps: their sizes and limits. Spec 2.1, 2.12, cases 10, 43 to 47 and 49. */
#include "fixed.h"

static void expect_no_memory(HANDLE heap, SIZE_T bytes)
{
    arm_errors();
    void *block = HeapAlloc(heap, 0, bytes);
    expect_compat_error("HeapAlloc of too much", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(!block, "there was room for %zu bytes", bytes);
}

Test(heap_fixed, case_010_initial_may_be_the_maximum)
{
    destroy_heap(create_fixed(0, CASE_SIZE, CASE_SIZE));
}

static HEAP_SUMMARY summarize(HANDLE heap)
{
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    require(summary.cbAllocated <= summary.cbCommitted &&
                summary.cbCommitted <= summary.cbReserved &&
                summary.cbReserved <= summary.cbMaxReserve,
            "%zu allocated, %zu committed, %zu reserved, %zu at most",
            summary.cbAllocated, summary.cbCommitted, summary.cbReserved,
            summary.cbMaxReserve);
    return summary;
}

Test(heap_fixed, sizes_are_rounded_up_to_pages)
{
    HANDLE heap = create_fixed(0, 5000, 100001);
    HEAP_SUMMARY summary = summarize(heap);
    require(summary.cbMaxReserve == 102400, "%zu at most", summary.cbMaxReserve);
    require(summary.cbCommitted == 8192, "%zu committed", summary.cbCommitted);
    destroy_heap(heap);
    heap = create_fixed(0, 3 * CASE_SIZE, CASE_SIZE); /* C-9 */
    require(summarize(heap).cbMaxReserve == 3 * CASE_SIZE, "initial does not win");
    destroy_heap(heap);
    heap = create_fixed(0, 0, 1);
    require(summarize(heap).cbMaxReserve == 4096, "less than a page");
    give_back(heap, take(heap, 0, 4096 - CHARGED_MOST));
    expect_no_memory(heap, 4096 - CHARGED_LEAST);
    destroy_heap(heap);
}

/* The same of a heap that grows: 2.1. */
Test(heap_fixed, initial_bytes_are_reported_as_committed)
{
    const SIZE_T sizes[] = {1, 4097, 100000, 5 * MIB, (SIZE_T)100 * MIB};
    for (size_t i = 0; i < 2 * LENGTH(sizes); i++) {
        SIZE_T bytes = sizes[i / 2], whole = (bytes + 4095) / 4096 * 4096;
        HANDLE heap = create_fixed(0, bytes, i % 2 ? bytes : 0);
        HEAP_SUMMARY summary = summarize(heap);
        require(summary.cbCommitted == whole, "%zu committed, not %zu",
                summary.cbCommitted, whole);
        PROCESS_HEAP_ENTRY entry = {0};
        require(HeapWalk(heap, &entry), "no walk");
        require(entry.Region.dwCommittedSize == whole, "the walk says %u, not %zu",
                entry.Region.dwCommittedSize, whole);
        give_back(heap, take(heap, 0, 1000));
        destroy_heap(heap);
    }
}

/* Of a heap as large as this the free memory is kept in parts of 4 GiB. */
Test(heap_fixed, memory_is_put_to_use_from_below)
{
    const char *brief = getenv("MOLE_BRIEF");
    if (brief && strcmp(brief, "2") == 0)
        cr_skip_test("SKIPPED: valgrind has no room for such a heap");
    HANDLE heap = create_fixed(0, 0, (SIZE_T)9 << 30);
    char *first = take(heap, 0, 100), *next = take(heap, 0, 100000);
    require(first < next && next < first + MIB, "they are far apart");
    for (size_t i = 0; i < 100; i++)
        (void)take(heap, 0, 70000);
    require(summarize(heap).cbCommitted < 8 * MIB, "%zu bytes are committed",
            summarize(heap).cbCommitted);
    require(HeapValidate(heap, 0, NULL), "the heap does not validate");
    give_back(heap, first);
    give_back(heap, next);
    require(HeapValidate(heap, 0, NULL), "the heap does not validate");
    destroy_heap(heap);
}

Test(heap_fixed, impossible_maxima_are_refused)
{
    const SIZE_T maxima[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2, (SIZE_T)1 << 46};
    for (size_t i = 0; i < LENGTH(maxima); i++) {
        arm_errors();
        HANDLE heap = HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, maxima[i]);
        expect_error("HeapCreate of too much", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(!heap, "there is a heap of %zu bytes", maxima[i]);
    }
}

Test(heap_fixed, case_043_bookkeeping_is_charged_and_no_more)
{
    HANDLE heap = create_fixed(0, CASE_SIZE, CASE_SIZE);
    for (int turn = 0; turn < 3; turn++) {
        void *block = take(heap, 0, CASE_SIZE - CHARGED_MOST);
        require(HeapSize(heap, 0, block) == CASE_SIZE - CHARGED_MOST, "not its size");
        stamp(block, CASE_SIZE - CHARGED_MOST, 1);
        give_back(heap, block);
        expect_no_memory(heap, CASE_SIZE - CHARGED_LEAST);
    }
    destroy_heap(heap);
}

Test(heap_fixed, case_044_a_mebibyte_is_too_much_for_a_block)
{
    HANDLE heap = create_fixed(0, 8 * CASE_SIZE, 8 * CASE_SIZE);
    void *none = take(heap, 0, 0);
    expect_no_memory(heap, 4 * CASE_SIZE);
    void *block = take(heap, 0, CASE_SIZE);
    expect_no_memory(heap, 4 * CASE_SIZE);
    require(HeapSize(heap, 0, none) == 0, "a block of no bytes has some");
    give_back(heap, block);
    give_back(heap, none);
    destroy_heap(heap);
}

Test(heap_fixed, case_045_a_block_regrows_where_it_is)
{
    SIZE_T large = compat_windows() ? 0x80000 : 0x7FFF0;
    HANDLE heap = create_fixed(0, 8 * CASE_SIZE, 8 * CASE_SIZE);
    leave_dirt(heap, CASE_SIZE / 8);
    void *block = take(heap, HEAP_ZERO_MEMORY, CASE_SIZE);
    require(is_all(block, CASE_SIZE, 0), "a new block is not clear");
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, large);
    require(block && is_all(block, large, 0), "growth is not clear");
    require(HeapSize(heap, 0, block) == large, "%zu bytes", HeapSize(heap, 0, block));
    void *same = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 0x60000);
    require(same == block, "it did not shrink where it is");
    same = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, large);
    require(same == block, "it did not regrow where it is");
    require(HeapSize(heap, 0, block) == large, "%zu bytes", HeapSize(heap, 0, block));
    give_back(heap, block);
    destroy_heap(heap);
}

/* What is at the ceiling fails, alone and by growth; what is below succeeds. */
static void expect_ceiling(HANDLE heap, SIZE_T limit, SIZE_T good)
{
    expect_no_memory(heap, limit);
    give_back(heap, take(heap, 0, good));
    void *small = take(heap, 0, 100);
    stamp(small, 100, 7);
    const SIZE_T bad[] = {limit, 0x100000, SIZE_MAX - 7, SIZE_MAX};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        arm_errors();
        void *moved = HeapReAlloc(heap, 0, small, bad[i]);
        expect_compat_error("HeapReAlloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(!moved, "it grew to %zu bytes", bad[i]);
        require(HeapValidate(heap, 0, small) && HeapSize(heap, 0, small) == 100 &&
                    stamp_is_intact(small, 100, 7),
                "a refused growth harmed the block");
    }
    void *moved = HeapReAlloc(heap, 0, small, good);
    require(moved && HeapSize(heap, 0, moved) == good, "no growth to %zu", good);
    require(stamp_is_intact(moved, 100, 7), "growth lost the contents");
    give_back(heap, moved);
}

Test(heap_fixed, case_046_the_ceiling_under_compat_windows)
{
    HANDLE heap = create_fixed(0, 0, 64 * MIB);
    if (compat_windows()) {
        give_back(heap, take(heap, 0, 0xFD000));
        expect_ceiling(heap, WINDOWS_CEILING, WINDOWS_CEILING - 1);
    } else {
        expect_no_memory(heap, 0xFD000);
    }
    destroy_heap(heap);
}

Test(heap_fixed, case_047_the_ceiling_by_default)
{
    HANDLE heap = create_fixed(0, 0, 64 * MIB);
    if (compat_windows())
        give_back(heap, take(heap, 0, CEILING));
    else
        expect_ceiling(heap, CEILING, CEILING - 1);
    destroy_heap(heap);
}

Test(heap_fixed, case_049_live_bytes_never_exceed_the_maximum)
{
    static void *blocks[MANY];
    const SIZE_T maximum = MIB;
    HANDLE heap = create_fixed(0, 0, maximum);
    uint64_t random = 49;
    for (size_t turn = 0; turn < 4 + repeats(40); turn++) {
        SIZE_T sum;
        size_t count = fill(heap, &random, blocks, &sum);
        require(sum <= maximum - CHARGED_LEAST, "%zu bytes are live", sum);
        require(sum > maximum / 2, "only %zu bytes fit", sum);
        require(allocated_bytes(heap) == sum, "HeapSummary says %zu, not %zu",
                allocated_bytes(heap), sum);
        require(HeapValidate(heap, 0, NULL), "the heap does not validate");
        for (size_t i = 0; i < count; i++)
            give_back(heap, blocks[turn % 2 ? i : count - 1 - i]);
        require(allocated_bytes(heap) == 0, "bytes are left");
    }
    give_back(heap, take(heap, 0, maximum / 4));
    destroy_heap(heap);
}

Test(heap_fixed, case_049_growth_does_not_exceed_the_maximum)
{
    HANDLE heap = create_fixed(0, 0, CASE_SIZE);
    void *blocks[4];
    SIZE_T sum = 0;
    for (size_t i = 0; i < LENGTH(blocks); i++)
        blocks[i] = take(heap, 0, 16);
    for (size_t failures = 0, i = 0; failures < LENGTH(blocks); i++) {
        SIZE_T old = HeapSize(heap, 0, blocks[i % LENGTH(blocks)]);
        void *grown = HeapReAlloc(heap, 0, blocks[i % LENGTH(blocks)], old + 4096);
        failures = grown ? 0 : failures + 1;
        blocks[i % LENGTH(blocks)] = grown ? grown : blocks[i % LENGTH(blocks)];
        sum = 0;
        for (size_t j = 0; j < LENGTH(blocks); j++)
            sum += HeapSize(heap, 0, blocks[j]);
        require(sum <= CASE_SIZE - CHARGED_LEAST, "%zu bytes are live", sum);
    }
    require(sum > CASE_SIZE / 3, "only %zu bytes fit", sum);
    destroy_heap(heap);
}
