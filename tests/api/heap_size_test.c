/* SPDX-License-Identifier: MIT */
/* HeapSize: exact, and -1 for what is no live block. Spec 2.6 and case 23. */
#include "foreign.h"

HEAP_CASE(heap_size, case_023_freed_block_has_no_size)
{
    const size_t sizes[] = {0, 1, 100, 5000, 50000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(heap, 0, sizes[i]);
        give_back(heap, block);
        arm_errors();
        SIZE_T bytes = HeapSize(heap, 0, block);
        expect_compat_error("HeapSize of a freed block", ERROR_INVALID_PARAMETER, EINVAL);
        require(bytes == FAILED_SIZE, "a freed block of %zu has %zu bytes", sizes[i],
                bytes);
    }
}

HEAP_CASE(heap_size, case_023_foreign_pointers_have_no_size)
{
    struct foreign_set set;

    foreign_init(&set, heap);
    for (size_t i = 0; i < FOREIGN_COUNT; i++) {
        const struct foreign *foreign = &set.foreign[i];
        arm_errors();
        SIZE_T bytes = HeapSize(heap, 0, foreign->pointer);
        expect_compat_error(foreign->what, ERROR_INVALID_PARAMETER, EINVAL);
        require(bytes == FAILED_SIZE, "%s has %zu bytes", foreign->what, bytes);
    }
    foreign_finish(&set, heap);
}

HEAP_CASE(heap_size, case_023_null_has_no_size)
{
    arm_errors();
    SIZE_T bytes = HeapSize(heap, 0, NULL);
    expect_compat_error("HeapSize of NULL", ERROR_INVALID_PARAMETER, EINVAL);
    require(bytes == FAILED_SIZE, "NULL has %zu bytes", bytes);
}

HEAP_CASE(heap_size, it_follows_every_resize)
{
    void *block = take(heap, 0, 17);

    for (size_t bytes = 17; bytes < 3 * MIB; bytes += bytes / 3) {
        block = HeapReAlloc(heap, 0, block, bytes);
        require(block != NULL, "HeapReAlloc to %zu failed", bytes);
        require(HeapSize(heap, 0, block) == bytes, "grown to %zu, HeapSize %zu", bytes,
                HeapSize(heap, 0, block));
    }
    for (size_t bytes = 3 * MIB; bytes > 0; bytes -= bytes / 3 + 1) {
        block = HeapReAlloc(heap, 0, block, bytes);
        require(block != NULL, "HeapReAlloc to %zu failed", bytes);
        require(HeapSize(heap, 0, block) == bytes, "shrunk to %zu, HeapSize %zu", bytes,
                HeapSize(heap, 0, block));
    }
    give_back(heap, block);
}

Test(heap_size, a_bad_handle_is_an_error)
{
    void *block = take(GetProcessHeap(), 0, 10);

    arm_errors();
    SIZE_T bytes = HeapSize(NULL, 0, block);
    expect_compat_error("HeapSize with no heap", ERROR_INVALID_HANDLE, EINVAL);
    require(bytes == FAILED_SIZE, "HeapSize with no heap answered %zu", bytes);
    give_back(GetProcessHeap(), block);
}
