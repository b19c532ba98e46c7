/* SPDX-License-Identifier: MIT */
/*
 * HeapReAlloc with HEAP_REALLOC_IN_PLACE_ONLY, also together with HEAP_ZERO_MEMORY. Spec
 * 2.4, cases 32, 33 and 37 to 39.
 */
#include "support.h"

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

/*
 * Shrink a dirty block in place, and grow it again: what was dropped must not come back.
 */
static void regrow(HANDLE heap, size_t full, size_t less, size_t bytes, bool must_grow)
{
    const DWORD both = HEAP_REALLOC_IN_PLACE_ONLY | HEAP_ZERO_MEMORY;
    char *block = take(heap, 0, full);

    memset(block, 0x7A, full);
    require(HeapReAlloc(heap, both, block, less) == block, "%zu did not shrink to %zu",
            full, less);
    require(is_all(block, less, 0x7A), "%zu: shrinking changed what was kept", full);
    arm_errors();
    void *grown = HeapReAlloc(heap, both, block, bytes);
    if (grown == NULL)
        expect_compat_error("growing again", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    else
        expect_errors_kept("growing again");
    require(grown == block || (grown == NULL && !must_grow),
            "%zu did not grow in place to %zu", less, bytes);
    size_t now = grown != NULL ? bytes : less;
    require(HeapSize(heap, 0, block) == now, "the size is not %zu", now);
    require(is_all(block, less, 0x7A), "%zu to %zu: kept bytes changed", less, bytes);
    require(is_all(block + less, now - less, 0), "%zu to %zu: dropped bytes are back",
            less, bytes);
    memset(block, 0x55, now);
    give_back(heap, block);
}

HEAP_CASE(heap_realloc, growth_in_place_is_zeroed)
{
    regrow(heap, 32, 17, 32, true);
    regrow(heap, 9000, 4000, 9000, true);
    regrow(heap, 9000, 0, 9000, true);
    regrow(heap, 30000, 29999, 30000, true);
    regrow(heap, 0x80000, 0x60000, 0x80000, true);
    regrow(heap, 0xC0000, 0x60000, 0x80000, true);
    /* Case 37 allows both answers for a former mebibyte. */
    regrow(heap, MIB, 0x60000, 0x80000, false);
    regrow(heap, MIB, MIB - 0x1234, MIB, false);
}
