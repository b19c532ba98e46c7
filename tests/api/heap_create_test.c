/* SPDX-License-Identifier: MIT */
/* HeapCreate: handles, flags, impossible sizes. Spec 2.1 and cases 1, 9. */
#include "support.h"

Test(heap_create, case_001_handle_is_aligned_to_64_kib)
{
    HANDLE heap = create_heap(0);

    require(((uintptr_t)heap & 0xFFFF) == 0, "the handle %p has low bits", heap);
    destroy_heap(heap);
}

Test(heap_create, case_009_impossible_sizes_are_refused)
{
    arm_errors();
    HANDLE heap = HeapCreate(0, SIZE_MAX, 0);
    expect_error("an initial size of SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(heap == NULL, "an initial size of SIZE_MAX gave a heap");

    arm_errors();
    heap = HeapCreate(0, 0, SIZE_MAX);
    expect_error("a maximum of SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(heap == NULL, "a maximum of SIZE_MAX gave a heap");
}

Test(heap_create, initial_sizes_above_what_addresses_allow_are_refused)
{
    const SIZE_T most = (SIZE_T)1 << 47;
    const SIZE_T sizes[] = {most + 1, most * 2, (SIZE_T)1 << 62, PTRDIFF_MAX};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        arm_errors();
        HANDLE heap = HeapCreate(0, sizes[i], 0);
        expect_error("an initial size", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(heap == NULL, "an initial size of %#zx gave a heap", sizes[i]);
    }
    HANDLE heap = HeapCreate(0, most, 0);
    require(heap != NULL, "an initial size of %#zx, a hint, was refused", most);
    destroy_heap(heap);
}

Test(heap_create, sizes_that_overflow_when_rounded_are_refused)
{
    for (SIZE_T below = 0; below < 0x20000; below += 0xFFF) {
        arm_errors();
        HANDLE heap = HeapCreate(0, SIZE_MAX - below, 0);
        expect_error("an initial size near SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(heap == NULL, "an initial size of SIZE_MAX - %zu gave a heap", below);
        arm_errors();
        heap = HeapCreate(0, 0, SIZE_MAX - below);
        expect_error("a maximum near SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(heap == NULL, "a maximum of SIZE_MAX - %zu gave a heap", below);
    }
}

Test(heap_create, success_keeps_last_error_and_errno)
{
    arm_errors();
    HANDLE heap = HeapCreate(0, 0, 0);
    expect_errors_kept("HeapCreate");
    require(heap != NULL, "HeapCreate gave no heap");

    void *block = take(heap, 0, 5000);
    (void)block;
    arm_errors();
    BOOL destroyed = HeapDestroy(heap);
    expect_errors_kept("HeapDestroy");
    require(destroyed, "HeapDestroy refused the heap");
}

Test(heap_create, handles_are_unique_and_aligned)
{
    enum { COUNT = 500 };
    static HANDLE heaps[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        heaps[i] = create_heap(i % 2 ? HEAP_NO_SERIALIZE : 0);
        require(((uintptr_t)heaps[i] & 0xFFFF) == 0, "handle %p has low bits", heaps[i]);
        require(heaps[i] != GetProcessHeap(), "a new heap has the process heap's handle");
    }
    require(all_distinct(heaps, COUNT), "two live heaps have one handle");
    for (size_t i = 0; i < COUNT; i++)
        destroy_heap(heaps[i]);
}

Test(heap_create, initial_sizes_are_accepted)
{
    const SIZE_T sizes[] = {1, 4095, 4096, 4097, 65536, 1 << 20, 64 << 20};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        HANDLE heap = HeapCreate(0, sizes[i], 0);
        require(heap != NULL, "an initial size of %zu was refused", sizes[i]);
        void *block = take(heap, 0, sizes[i] + 1);
        stamp(block, sizes[i] + 1, i << 32);
        require(stamp_is_intact(block, sizes[i] + 1, i << 32), "contents lost");
        destroy_heap(heap);
    }
}

Test(heap_create, flags_without_a_meaning_here_are_accepted)
{
    const DWORD flags[] = {
        HEAP_GROWABLE,
        HEAP_GENERATE_EXCEPTIONS,
        HEAP_ZERO_MEMORY,
        HEAP_REALLOC_IN_PLACE_ONLY,
        HEAP_DISABLE_COALESCE_ON_FREE,
        HEAP_CREATE_SEGMENT_HEAP,
        HEAP_CREATE_ALIGN_16,
        HEAP_CREATE_ENABLE_TRACING,
        HEAP_TAG_SHIFT, /* what a wrapper may pass: GROWABLE and IN_PLACE_ONLY */
        HEAP_MAXIMUM_TAG & 0xC00,
        HEAP_PSEUDO_TAG_FLAG,
        0x12000000,
        0x80000000,
    };

    for (size_t i = 0; i < LENGTH(flags); i++) {
        HANDLE heap = HeapCreate(flags[i], 0, 0);
        require(heap != NULL, "HeapCreate refused the flags %#x", flags[i]);
        give_back(heap, take(heap, 0, 100));
        destroy_heap(heap);
    }
}

Test(heap_create, a_handle_used_again_names_an_empty_heap)
{
    for (size_t i = 0; i < 1000; i++) {
        HANDLE heap = create_heap(0);
        require(allocated_bytes(heap) == 0, "heap %zu was not empty at first", i);
        void *block = take(heap, HEAP_ZERO_MEMORY, 24 + i * 8);
        require(is_all(block, 24 + i * 8, 0), "heap %zu: the memory was not zeroed", i);
        memset(block, 0xFF, 24 + i * 8);
        destroy_heap(heap);
    }
}
