/* SPDX-License-Identifier: MIT */
/*
 * HeapReAlloc: contents, zeroed growth, failing without harm. Spec 2.4, cases 28 to 41
 * and 140; staying in place and case 42 have files of their own.
 */
#include "foreign.h"

/*
 * C-18, in both modes. errno tells a failing call; under compat:windows it mirrors the 0.
 */
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

static void require_aligned(const void *block)
{
    require((uintptr_t)block % MEMORY_ALLOCATION_ALIGNMENT == 0,
            "HeapReAlloc gave %p, which is not aligned", block);
}

static void *resize_zeroed_and_fill(HANDLE heap, char *block, size_t before, size_t bytes)
{
    size_t kept = before < bytes ? before : bytes;

    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes);
    require(block != NULL, "HeapReAlloc from %zu to %zu failed", before, bytes);
    require_aligned(block);
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

/* From 16 bytes to 64 MiB; answers how often the block moved. */
static size_t climb(HANDLE heap)
{
    char *block = take(heap, 0, 16);
    size_t moves = 0;

    stamp(block, 16, 41);
    for (size_t bytes = 16; bytes < 64 * MIB; bytes *= 2) {
        char *grown = HeapReAlloc(heap, 0, block, bytes * 2);
        require(grown != NULL, "growth to %zu failed", bytes * 2);
        require_aligned(grown);
        require(HeapSize(heap, 0, grown) == bytes * 2, "the size after growth");
        require(stamp_is_intact(grown, bytes, 41), "%zu bytes were not kept", bytes);
        moves += grown != block;
        block = grown;
        stamp(block, bytes * 2, 41);
    }
    give_back(heap, block);
    return moves;
}

HEAP_CASE(heap_realloc, case_041_contents_survive_doubling_up_to_64_mib)
{
    climb(heap);
}

Test(heap_realloc, case_140_the_ladder_moves_at_least_once)
{
    HANDLE heap = create_heap(0);

    require(climb(heap) >= 1, "16 bytes grew to 64 MiB without moving");
    destroy_heap(heap);
}

/* Large blocks grow by moving their pages, with neighbours of all kinds about. */
HEAP_CASE(heap_realloc, large_blocks_climb_together_and_come_down)
{
    enum { COUNT = 3 };
    void *blocks[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = take(heap, 0, MIB);
        stamp(blocks[i], MIB, i << 40);
    }
    for (size_t bytes = MIB; bytes < 16 * MIB; bytes *= 2) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = HeapReAlloc(heap, HEAP_ZERO_MEMORY, blocks[i], bytes * 2);
            require(blocks[i] != NULL, "growth to %zu failed", bytes * 2);
            require(stamp_is_intact(blocks[i], bytes, i << 40), "%zu not kept", bytes);
            require(is_all((char *)blocks[i] + bytes, bytes, 0), "growth is not zero");
            stamp(blocks[i], bytes * 2, i << 40);
        }
    }
    for (size_t bytes = 16 * MIB; bytes > 1000; bytes /= 4) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = HeapReAlloc(heap, 0, blocks[i], bytes / 4);
            require(blocks[i] != NULL, "shrinking to %zu failed", bytes / 4);
            require(stamp_is_intact(blocks[i], bytes / 4, i << 40), "lost contents");
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        give_back(heap, blocks[i]);
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

/* It moves now and then only: what it gets beyond its size must not show. */
HEAP_CASE(heap_realloc, what_grows_by_little_has_its_exact_size_and_is_cleared)
{
    for (size_t step = 1; step < 100000; step = step * 7 + 3) {
        size_t bytes = step;
        char *block = take(heap, HEAP_ZERO_MEMORY, bytes);
        for (int i = 0; i < 200; i++, bytes += step) {
            require(is_all(block, bytes, 0), "%zu bytes are not all cleared", bytes);
            memset(block, 0xDD, bytes);
            block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes + step);
            require(block != NULL, "no %zu bytes", bytes + step);
            require(HeapSize(heap, 0, block) == bytes + step, "%zu bytes have %zu",
                    bytes + step, HeapSize(heap, 0, block));
            require(is_all(block, bytes, 0xDD), "%zu bytes changed", bytes);
            memset(block, 0, bytes);
        }
        block = HeapReAlloc(heap, 0, block, 10);
        require(HeapSize(heap, 0, block) == 10, "10 bytes have another size");
        require(HeapFree(heap, 0, block) == TRUE, "it cannot be freed");
    }
}
