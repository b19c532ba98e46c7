/* SPDX-License-Identifier: MIT */
/* HEAP_GENERATE_EXCEPTIONS: what raises which exception, and what does not. */
#include "exceptions.h"
#include "foreign.h"

static const SIZE_T impossible[] = {SIZE_MAX,        SIZE_MAX - 7,    SIZE_MAX - 4096,
                                    (SIZE_T)1 << 63, (SIZE_T)1 << 47, PTRDIFF_MAX};
static const DWORD raising = HEAP_GENERATE_EXCEPTIONS;

Test(exception, case_082_heap_alloc_of_a_raising_heap_raises)
{
    static const DWORD flags[] = {0, HEAP_ZERO_MEMORY, HEAP_NO_SERIALIZE,
                                  HEAP_GENERATE_EXCEPTIONS, 0xC00 | 0x100};
    HANDLE heap = create_heap(raising);

    for (size_t i = 0; i < LENGTH(impossible); i++)
        for (size_t j = 0; j < LENGTH(flags); j++) {
            expect_raise(alloc_call(heap, flags[j], impossible[i]), no_memory,
                         "HeapAlloc");
            give_back(heap, take(heap, flags[j], 100));
        }
    require(allocated_bytes(heap) == 0, "%zu bytes stay", allocated_bytes(heap));
    destroy_heap(heap);
}

Test(exception, case_082_also_on_a_heap_without_lock)
{
    HANDLE heap = create_heap(raising | HEAP_NO_SERIALIZE);

    expect_raise(alloc_call(heap, 0, SIZE_MAX), no_memory, "HeapAlloc");
    give_back(heap, take(heap, 0, 100));
    destroy_heap(heap);
}

HEAP_CASE(exception, case_083_the_flag_of_a_call_raises_and_the_block_stays)
{
    for (size_t bytes = 0; bytes < 100000; bytes = 3 * bytes + 1) {
        void *block = take(heap, 0, bytes);
        stamp(block, bytes, bytes);
        for (size_t i = 0; i < LENGTH(impossible); i++)
            expect_raise(resize_call(heap, raising, block, impossible[i]), no_memory,
                         "HeapReAlloc");
        require(HeapValidate(heap, 0, block), "the block of %zu bytes is gone", bytes);
        require(HeapSize(heap, 0, block) == bytes, "the size is not %zu", bytes);
        require(stamp_is_intact(block, bytes, bytes), "the contents changed");
        give_back(heap, block);
    }
}

HEAP_CASE(exception, case_084_a_foreign_pointer_raises_access_violation)
{
    struct foreign_set set;

    foreign_init(&set, heap);
    for (size_t i = 0; i < FOREIGN_COUNT; i++)
        expect_raise(resize_call(heap, raising, set.foreign[i].pointer, 16),
                     access_violation, set.foreign[i].what);
    void *freed = take(heap, 0, 100);
    give_back(heap, freed);
    expect_raise(resize_call(heap, raising, freed, 16), access_violation,
                 "a freed block");
    foreign_finish(&set, heap);
}

Test(exception, case_084_a_bad_handle_raises_access_violation)
{
    HANDLE gone = create_heap(raising), good = create_heap(0);
    destroy_heap(gone);
    HANDLE bad[] = {
        NULL, gone, &gone, (HANDLE)1, (HANDLE)0xdeadbe00, (HANDLE)UINTPTR_MAX};
    void *block = take(good, 0, 16);

    for (size_t i = 0; i < LENGTH(bad); i++) {
        expect_raise(alloc_call(bad[i], raising, 16), access_violation, "HeapAlloc");
        expect_raise(resize_call(bad[i], raising, block, 16), access_violation,
                     "HeapReAlloc");
        expect_null(alloc_call(bad[i], 0, 16), "HeapAlloc without the flag");
        expect_null(resize_call(bad[i], 0, block, 16), "HeapReAlloc without the flag");
    }
    destroy_heap(good);
}

Test(exception, case_127_the_flag_of_the_heap_holds_for_heap_realloc)
{
    HANDLE heap = create_heap(raising);
    void *block = take(heap, 0, 100);

    expect_raise(resize_call(heap, 0, block, SIZE_MAX), no_memory, "HeapReAlloc");
    expect_raise(resize_call(heap, 0, (char *)block + 16, 16), access_violation,
                 "HeapReAlloc of an interior pointer");
    require(HeapSize(heap, 0, block) == 100, "the block's size changed");
    destroy_heap(heap);
}

HEAP_CASE(exception, case_128_generate_exceptions_raises_for_one_call)
{
    void *block = take(heap, 0, 100);

    for (size_t i = 0; i < 3; i++) {
        expect_raise(alloc_call(heap, raising, SIZE_MAX), no_memory, "HeapAlloc");
        expect_null(alloc_call(heap, 0, SIZE_MAX), "the next HeapAlloc");
        expect_raise(resize_call(heap, raising, block, SIZE_MAX), no_memory,
                     "HeapReAlloc");
        expect_null(resize_call(heap, 0, block, SIZE_MAX), "the next HeapReAlloc");
    }
    give_back(heap, block);
}

Test(exception, case_135_the_limit_of_a_fixed_heap_raises)
{
    const SIZE_T limit = compat_windows() ? 0xFFFF0 : 0x7FFF8;
    HANDLE heap = HeapCreate(0, 0, 8 * MIB);

    require(heap != NULL, "no heap of a fixed size");
    void *block = take(heap, raising, limit - 1);
    give_back(heap, block);
    block = take(heap, 0, 100);
    expect_raise(alloc_call(heap, raising, limit), no_memory, "HeapAlloc");
    expect_raise(resize_call(heap, raising, block, limit), no_memory, "HeapReAlloc");
    require(HeapSize(heap, 0, block) == 100, "the block's size changed");
    expect_null(alloc_call(heap, 0, limit), "HeapAlloc without the flag");
    destroy_heap(heap);
    heap = HeapCreate(raising, 0, 8 * MIB);
    require(heap != NULL, "no raising heap of a fixed size");
    expect_raise(alloc_call(heap, 0, limit), no_memory, "HeapAlloc of a raising heap");
    destroy_heap(heap);
}

HEAP_CASE(exception, case_136_no_block_to_resize_raises_access_violation)
{
    static const SIZE_T sizes[] = {0, 1, 100, SIZE_MAX};

    for (size_t i = 0; i < LENGTH(sizes); i++)
        expect_raise(resize_call(heap, raising, NULL, sizes[i]), access_violation,
                     "NULL");
    expect_null(resize_call(heap, 0, NULL, 1), "NULL without the flag");
    require(GetLastError() == ERROR_SUCCESS, "the last error is %u", GetLastError());
}

HEAP_CASE(exception, case_137_no_room_in_place_raises_no_memory)
{
    for (size_t bytes = 1; bytes < 100000; bytes = 3 * bytes + 1) {
        void *block = take(heap, 0, bytes);
        size_t more = mh_usable_size(heap, block) + 64 * MIB;
        stamp(block, bytes, bytes);
        expect_raise(resize_call(heap, raising | HEAP_REALLOC_IN_PLACE_ONLY, block, more),
                     no_memory, "HeapReAlloc in place");
        require(HeapSize(heap, 0, block) == bytes, "the size is not %zu", bytes);
        require(stamp_is_intact(block, bytes, bytes), "the contents changed");
        expect_null(resize_call(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, more),
                    "HeapReAlloc in place without the flag");
        give_back(heap, block);
    }
}

/* Only the two functions raise, whatever flags they are given. */
Test(exception, other_functions_do_not_raise)
{
    HANDLE heap = create_heap(raising);
    void *freed = take(heap, 0, 100);
    volatile bool is_raised = false;

    give_back(heap, freed);
    MH_TRY
    {
        require(!HeapCreate(raising, SIZE_MAX, 0), "HeapCreate of SIZE_MAX succeeded");
        require(!HeapFree(heap, raising, freed), "HeapFree took a freed block");
        require(HeapSize(heap, raising, freed) == FAILED_SIZE, "HeapSize took it");
        require(!HeapValidate(heap, raising, freed), "HeapValidate took it");
        require(!HeapDestroy(NULL), "HeapDestroy took NULL");
        require(!HeapUnlock(heap), "HeapUnlock of an open heap succeeded");
    }
    MH_EXCEPT
    {
        is_raised = true;
    }
    MH_END_TRY
    require(!is_raised, "one of them raised");
    destroy_heap(heap);
}

HEAP_CASE(exception, success_raises_nothing_and_keeps_the_errors)
{
    struct call call = alloc_call(heap, raising, 100);

    arm_errors();
    require(code_of(&call) == 0 && call.result, "HeapAlloc raised");
    expect_errors_kept("HeapAlloc");
    call = resize_call(heap, raising, call.result, 200);
    require(code_of(&call) == 0 && call.result, "HeapReAlloc raised");
    expect_errors_kept("HeapReAlloc");
    give_back(heap, call.result);
}
