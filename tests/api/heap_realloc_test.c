/* SPDX-License-Identifier: MIT */
/*
 * HeapReAlloc: contents, zeroed growth, staying in place, failing without harm. Spec 2.4,
 * cases 28 to 40; the others are in heap_realloc_moves_test.c.
 */
#include "foreign.h"
#include "workers.h"

/* C-18, in both modes. errno tells a failing call; under compat:windows it mirrors the 0. */
static void expect_error_zero(const char *what)
{
    expect_last_error_and_errno(what, 0, compat_windows() ? 0 : EINVAL);
}

HEAP_CASE(heap_realloc, case_028_null_is_no_allocation_and_clears_the_last_error)
{
    arm_errors();
    void *block = HeapReAlloc(heap, 0, NULL, 1);
    expect_error_zero("HeapReAlloc of NULL");
    require(block == NULL, "HeapReAlloc of NULL allocated");
}

HEAP_CASE(heap_realloc, case_029_null_with_zero_memory_is_no_allocation)
{
    arm_errors();
    void *block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, NULL, 0x100);
    expect_error_zero("HeapReAlloc of NULL");
    require(block == NULL, "HeapReAlloc of NULL with HEAP_ZERO_MEMORY allocated");
}

HEAP_CASE(heap_realloc, case_030_zero_bytes_is_a_block_not_a_free)
{
    const size_t sizes[] = {1, 0, 100, 5000, 50000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = HeapReAlloc(heap, 0, take(heap, 0, sizes[i]), 0);
        require(block != NULL, "HeapReAlloc of %zu bytes to 0 gave NULL", sizes[i]);
        require(HeapSize(heap, 0, block) == 0, "the size is not 0");
        require(HeapFree(heap, 0, block) == TRUE, "a block of 0 bytes cannot be freed");
    }
}

HEAP_CASE(heap_realloc, case_031_impossible_sizes_leave_an_empty_block)
{
    const SIZE_T sizes[] = {SIZE_MAX - 7, SIZE_MAX};
    void *block = take(heap, 0, 0);

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        arm_errors();
        void *moved = HeapReAlloc(heap, 0, block, sizes[i]);
        expect_compat_error("HeapReAlloc to SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(moved == NULL, "HeapReAlloc to %zu succeeded", sizes[i]);
    }
    require(HeapValidate(heap, 0, block) == TRUE, "the block is gone");
    require(HeapSize(heap, 0, block) == 0, "its size is not 0");
    require(HeapFree(heap, 0, block) == TRUE, "it cannot be freed");
}

static void *grow_zeroed(HANDLE heap)
{
    void *block = take(heap, HEAP_ZERO_MEMORY, CASE_SIZE);

    require(is_all(block, CASE_SIZE, 0), "the block is not zero at first");
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 3 * CASE_SIZE);
    require(block != NULL, "HeapReAlloc to three times the size failed");
    require(is_all(block, 3 * CASE_SIZE, 0), "the grown block is not zero");
    require(HeapSize(heap, 0, block) == 3 * CASE_SIZE, "the size is %zu",
            HeapSize(heap, 0, block));
    return block;
}

HEAP_CASE(heap_realloc, case_032_zeroed_growth_is_zero)
{
    give_back(heap, grow_zeroed(heap));
}

HEAP_CASE(heap_realloc, case_033_shrinks_and_grows_again_in_place)
{
    const DWORD in_place = HEAP_REALLOC_IN_PLACE_ONLY;
    void *block = grow_zeroed(heap);

    require(HeapReAlloc(heap, in_place, block, 0x60000) == block, "shrinking moved");
    require(HeapSize(heap, 0, block) == 0x60000, "the size after shrinking");
    require(HeapReAlloc(heap, in_place, block, 0x80000) == block, "growing again moved");
    require(HeapSize(heap, 0, block) == 0x80000, "the size after growing again");
    require(is_all(block, 0x60000, 0), "the contents changed");
    memset(block, 0x55, 0x80000);
    give_back(heap, block);
}

HEAP_CASE(heap_realloc, case_034_growth_zeroes_from_the_requested_size)
{
    char *block = take(heap, 0, 32);

    memset(block, 0x7A, 32);
    block = HeapReAlloc(heap, 0, block, 17);
    require(block != NULL, "HeapReAlloc to 17 failed");
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 32);
    require(block != NULL, "HeapReAlloc to 32 failed");
    require(is_all(block, 17, 0x7A), "one of the 17 kept bytes changed");
    require(is_all(block + 17, 15, 0), "one of the 15 new bytes is not 0");
    give_back(heap, block);
}

static void *resize_zeroed_and_fill(HANDLE heap, char *block, size_t before, size_t bytes)
{
    size_t kept = before < bytes ? before : bytes;

    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes);
    require(block != NULL, "HeapReAlloc from %zu to %zu failed", before, bytes);
    require(HeapSize(heap, 0, block) == bytes, "the size is not %zu", bytes);
    require(is_all(block, kept, 0x7A), "from %zu to %zu: old bytes changed", before,
            bytes);
    require(is_all(block + kept, bytes - kept, 0), "from %zu to %zu: new bytes not 0",
            before, bytes);
    memset(block, 0x7A, bytes);
    return block;
}

HEAP_CASE(heap_realloc, case_035_steps_up_and_down_are_exact)
{
    enum { LOW = 0x78000, HIGH = 0x90000 };
    const size_t step = repeats(100) == 100 ? 0x100 : 0x800;
    char *block = take(heap, HEAP_ZERO_MEMORY, LOW);

    require(is_all(block, LOW, 0), "the block is not zero at first");
    memset(block, 0x7A, LOW);
    for (size_t bytes = LOW; bytes < HIGH; bytes += step)
        block = resize_zeroed_and_fill(heap, block, bytes, bytes + step);
    for (size_t bytes = HIGH; bytes > LOW; bytes -= step)
        block = resize_zeroed_and_fill(heap, block, bytes, bytes - step);
    give_back(heap, block);
}

HEAP_CASE(heap_realloc, case_035_small_steps_up_and_down_are_exact)
{
    char *block = take(heap, 0, 1);

    block[0] = 0x7A;
    for (size_t bytes = 1; bytes < 3000; bytes += 7)
        block = resize_zeroed_and_fill(heap, block, bytes, bytes + 7);
    for (size_t bytes = 3004; bytes > 13; bytes -= 11)
        block = resize_zeroed_and_fill(heap, block, HeapSize(heap, 0, block), bytes - 11);
    give_back(heap, block);
}

HEAP_CASE(heap_realloc, case_036_shrinking_with_zero_memory_changes_no_byte)
{
    const size_t sizes[] = {32, 500, 5000, 50000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t half = sizes[i] / 2 + 1;
        void *block = take(heap, 0, sizes[i]);
        stamp(block, sizes[i], i << 32);
        block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, half);
        require(block != NULL, "shrinking to %zu failed", half);
        require(stamp_is_intact(block, half, i << 32), "a byte of %zu changed", half);
        give_back(heap, block);
    }
}

HEAP_CASE(heap_realloc, case_037_a_mebibyte_shrinks_in_place)
{
    const DWORD in_place = HEAP_REALLOC_IN_PLACE_ONLY;
    void *block = take(heap, 0, MIB);

    stamp(block, MIB, 37);
    require(HeapReAlloc(heap, in_place, block, 0x60000) == block, "shrinking moved");
    require(HeapSize(heap, 0, block) == 0x60000, "the size after shrinking");
    require(stamp_is_intact(block, 0x60000, 37), "shrinking changed the contents");

    arm_errors();
    void *grown = HeapReAlloc(heap, in_place, block, 0x80000);
    if (grown == NULL)
        expect_compat_error("growing again", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    else
        expect_errors_kept("growing again");
    require(grown == NULL || grown == block, "growing again in place moved");
    require(HeapSize(heap, 0, block) == (grown != NULL ? 0x80000 : 0x60000), "the size");
    require(stamp_is_intact(block, 0x60000, 37), "growing again changed the contents");
    give_back(heap, block);
}

HEAP_CASE(heap_realloc, case_038_in_place_growth_without_room_fails)
{
    const size_t sizes[][2] = {
        {0, 5000},
        {16, MIB},
        {100, 100000},
        {1000, 30000},
        {9000, 500000},
        {50000, (size_t)1 << 40},
        {2 * MIB, (size_t)1 << 46},
        {3 * MIB, PTRDIFF_MAX - 5},
    };

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t bytes = sizes[i][0];
        void *block = take(heap, 0, bytes);
        stamp(block, bytes, i << 32);
        arm_errors();
        void *grown = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, sizes[i][1]);
        expect_compat_error("no room", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
        require(grown == NULL, "%zu bytes grew in place to %zu", bytes, sizes[i][1]);
        require(HeapSize(heap, 0, block) == bytes, "the size of %zu changed", bytes);
        require(stamp_is_intact(block, bytes, i << 32), "the contents changed");
        give_back(heap, block);
    }
}

HEAP_CASE(heap_realloc, case_039_17_to_14_stays_in_place)
{
    void *block = take(heap, 0, 17);

    stamp(block, 17, 39);
    void *shrunk = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 14);
    require(shrunk == block, "shrinking in place moved");
    require(HeapSize(heap, 0, block) == 14, "the size is %zu", HeapSize(heap, 0, block));
    require(stamp_is_intact(block, 14, 39), "the contents changed");
    give_back(heap, block);
}

HEAP_CASE(heap_realloc, case_039_shrinking_in_place_always_succeeds)
{
    for (size_t bytes = 8 * MIB; bytes > 0; bytes = bytes / 3 * 2) {
        const size_t targets[] = {bytes - 1, bytes / 2, bytes / 9, 1, 0};
        for (size_t i = 0; i < LENGTH(targets); i++) {
            void *block = take(heap, 0, bytes);
            size_t target = targets[i];
            stamp(block, bytes, bytes);
            require(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, target) == block,
                    "%zu did not shrink in place to %zu", bytes, target);
            require(HeapSize(heap, 0, block) == target, "the size is not %zu", target);
            require(stamp_is_intact(block, target, bytes), "the contents changed");
            give_back(heap, block);
        }
    }
}

HEAP_CASE(heap_realloc, case_040_freed_blocks_are_refused)
{
    const size_t sizes[] = {0, 1, 100, 5000, 50000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(heap, 0, sizes[i]);
        give_back(heap, block);
        arm_errors();
        void *moved = HeapReAlloc(heap, 0, block, 20);
        expect_compat_error("a freed block", ERROR_INVALID_PARAMETER, EINVAL);
        require(moved == NULL, "a freed block of %zu was resized", sizes[i]);
    }
}

HEAP_CASE(heap_realloc, case_040_foreign_and_other_heaps_pointers_are_refused)
{
    const DWORD flags[] = {0, HEAP_ZERO_MEMORY, HEAP_REALLOC_IN_PLACE_ONLY};
    struct foreign_set set;

    foreign_init(&set, heap);
    stamp(set.block, 256, 40);
    for (size_t i = 0; i < FOREIGN_COUNT * LENGTH(flags); i++) {
        const struct foreign *foreign = &set.foreign[i / LENGTH(flags)];
        arm_errors();
        void *moved = HeapReAlloc(heap, flags[i % LENGTH(flags)], foreign->pointer, 20);
        expect_compat_error(foreign->what, ERROR_INVALID_PARAMETER, EINVAL);
        require(moved == NULL, "%s was resized", foreign->what);
    }
    require(HeapSize(heap, 0, set.block) == 256, "a refused call changed a size");
    require(stamp_is_intact(set.block, 256, 40), "a refused call changed contents");
    foreign_finish(&set, heap);
}

HEAP_CASE(heap_realloc, shrunk_and_grown_blocks_are_zeroed_again)
{
    const size_t sizes[] = {64, 1000, 9000, 60000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t bytes = sizes[i], half = bytes / 2 + 3;
        char *block = take(heap, 0, bytes);
        memset(block, 0x7A, bytes);
        block = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, half);
        require(block != NULL, "shrinking %zu failed", bytes);
        block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes);
        require(block != NULL, "growing to %zu failed", bytes);
        require(is_all(block, half, 0x7A), "%zu: kept bytes changed", bytes);
        require(is_all(block + half, bytes - half, 0), "%zu: dropped bytes back", bytes);
        give_back(heap, block);
    }
}

HEAP_CASE(heap_realloc, impossible_growth_keeps_block_and_contents)
{
    const size_t sizes[] = {1, 100, 5000, 50000, 2 * MIB};
    const SIZE_T wishes[] = {SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2 + 1, PTRDIFF_MAX};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(heap, 0, sizes[i]);
        stamp(block, sizes[i], i << 32);
        for (size_t k = 0; k < LENGTH(wishes); k++) {
            arm_errors();
            void *grown = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, wishes[k]);
            expect_compat_error("HeapReAlloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
            require(grown == NULL, "%zu grew to %zu", sizes[i], wishes[k]);
            require(HeapSize(heap, 0, block) == sizes[i], "the size changed");
        }
        require(stamp_is_intact(block, sizes[i], i << 32), "the contents changed");
        give_back(heap, block);
    }
}

HEAP_CASE(heap_realloc, success_keeps_last_error_and_errno)
{
    void *block = take(heap, 0, 1);

    for (size_t bytes = 1; bytes < 16 * MIB; bytes *= 3) {
        arm_errors();
        block = HeapReAlloc(heap, bytes % 2 ? HEAP_ZERO_MEMORY : 0, block, bytes);
        expect_errors_kept("HeapReAlloc");
        require(block != NULL, "HeapReAlloc to %zu failed", bytes);
    }
    arm_errors();
    block = HeapReAlloc(heap, 0, block, 10);
    expect_errors_kept("HeapReAlloc to 10");
    require(block != NULL, "HeapReAlloc to 10 failed");
    give_back(heap, block);
}

Test(heap_realloc, a_bad_handle_is_an_error)
{
    void *block = take(GetProcessHeap(), 0, 10);

    arm_errors();
    void *moved = HeapReAlloc(NULL, 0, block, 20);
    expect_compat_error("HeapReAlloc in no heap", ERROR_INVALID_HANDLE, EINVAL);
    require(moved == NULL, "HeapReAlloc in no heap succeeded");
    require(HeapSize(GetProcessHeap(), 0, block) == 10, "the block's size changed");
    give_back(GetProcessHeap(), block);
}
