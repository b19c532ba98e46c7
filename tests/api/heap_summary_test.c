/* SPDX-License-Identifier: MIT */
/* HeapSummary: what it asks for and what it adds up. Spec 1.7, 2.13 and case 61. */
#include "support.h"

static_assert(offsetof(HEAP_SUMMARY, cb) == 0 &&
                  offsetof(HEAP_SUMMARY, cbAllocated) == 8 &&
                  offsetof(HEAP_SUMMARY, cbCommitted) == 16 &&
                  offsetof(HEAP_SUMMARY, cbReserved) == 24 &&
                  offsetof(HEAP_SUMMARY, cbMaxReserve) == 32 &&
                  sizeof(HEAP_SUMMARY) == 40,
              "the layout that Windows programs were compiled for");

static void check_order(const HEAP_SUMMARY *summary)
{
    require(summary->cbAllocated <= summary->cbCommitted, "allocated %zu, committed %zu",
            summary->cbAllocated, summary->cbCommitted);
    require(summary->cbCommitted <= summary->cbReserved, "committed %zu, reserved %zu",
            summary->cbCommitted, summary->cbReserved);
    require(summary->cbReserved <= summary->cbMaxReserve, "reserved %zu, maximum %zu",
            summary->cbReserved, summary->cbMaxReserve);
}

Test(heap_summary, case_061_other_structure_sizes_are_refused)
{
    const DWORD sizes[] = {0, 39, 41};
    HANDLE heap = create_heap(0);

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        HEAP_SUMMARY summary;
        const char *bytes = (const char *)&summary;
        char untouched[sizeof(summary)];
        memset(&summary, 0xCD, sizeof(summary));
        summary.cb = sizes[i];
        memcpy(untouched, bytes, sizeof(summary));
        arm_errors();
        BOOL done = HeapSummary(heap, 0, &summary);
        expect_error("HeapSummary with a wrong cb", ERROR_INVALID_PARAMETER, EINVAL);
        require(done == FALSE, "HeapSummary accepted the size %u", sizes[i]);
        require(memcmp(bytes, untouched, sizeof(summary)) == 0,
                "HeapSummary wrote in spite of the size %u", sizes[i]);
    }
    destroy_heap(heap);
}

Test(heap_summary, case_061_allocated_is_the_sum_of_heap_size)
{
    enum { COUNT = 2000 };
    static void *blocks[COUNT];
    HANDLE heap = create_heap(0);
    HEAP_SUMMARY summary = {.cb = 40};
    SIZE_T sum = 0;

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = take(heap, 0, i % 100 ? i * 3 : i * 300);
        sum += HeapSize(heap, 0, blocks[i]);
    }
    for (size_t i = 0; i < COUNT; i += 2) {
        sum -= HeapSize(heap, 0, blocks[i]);
        give_back(heap, blocks[i]);
    }
    for (size_t i = 1; i < COUNT; i += 4) {
        sum -= HeapSize(heap, 0, blocks[i]);
        blocks[i] = HeapReAlloc(heap, 0, blocks[i], i * 5);
        require(blocks[i] != NULL, "HeapReAlloc failed");
        sum += HeapSize(heap, 0, blocks[i]);
    }
    arm_errors();
    BOOL done = HeapSummary(heap, 0, &summary);
    expect_errors_kept("HeapSummary");
    require(done == TRUE, "HeapSummary failed");
    require(summary.cb == 40, "HeapSummary changed cb");
    require(summary.cbAllocated == sum, "allocated %zu, not %zu", summary.cbAllocated,
            sum);
    check_order(&summary);
    destroy_heap(heap);
}

Test(heap_summary, case_061_an_empty_heap_has_nothing_allocated)
{
    HANDLE heap = create_heap(0);
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};

    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    require(summary.cbAllocated == 0, "a new heap has %zu bytes", summary.cbAllocated);
    check_order(&summary);
    give_back(heap, take(heap, 0, 3 * MIB));
    give_back(heap, take(heap, 0, 30));
    require(allocated_bytes(heap) == 0, "an emptied heap has bytes allocated");
    destroy_heap(heap);
}

Test(heap_summary, case_061_large_blocks_are_in_every_figure)
{
    HANDLE heap = create_heap(0);
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};

    take(heap, 0, 32 * MIB);
    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    require(summary.cbAllocated == 32 * MIB, "allocated is %zu", summary.cbAllocated);
    check_order(&summary);
    destroy_heap(heap);
}

Test(heap_summary, null_structure_is_refused)
{
    arm_errors();
    BOOL done = HeapSummary(GetProcessHeap(), 0, NULL);
    expect_error("HeapSummary into NULL", ERROR_INVALID_PARAMETER, EINVAL);
    require(done == FALSE, "HeapSummary into NULL succeeded");
}

Test(heap_summary, a_bad_handle_is_refused)
{
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};

    arm_errors();
    BOOL done = HeapSummary(NULL, 0, &summary);
    expect_error("HeapSummary of no heap", ERROR_INVALID_HANDLE, EINVAL);
    require(done == FALSE, "HeapSummary of no heap succeeded");
}

Test(heap_summary, flags_are_ignored)
{
    HANDLE heap = create_heap(0);
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};

    take(heap, 0, 123);
    require(HeapSummary(heap, 0xFFFFFFFF, &summary), "HeapSummary refused flags");
    require(summary.cbAllocated == 123, "allocated is %zu", summary.cbAllocated);
    destroy_heap(heap);
}
