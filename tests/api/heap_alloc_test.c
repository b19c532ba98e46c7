/* SPDX-License-Identifier: MIT */
/*
 * HeapAlloc: sizes, alignment, zeroed memory, flags, errors. Spec 2.3, cases 11 to 15,
 * 24, 25, 27 and 50.
 */
#include "support.h"

HEAP_CASE(heap_alloc, case_011_zero_bytes_is_a_block_like_any)
{
    void *block = HeapAlloc(heap, 0, 0);

    require(block != NULL, "HeapAlloc of 0 bytes gave NULL");
    require(HeapSize(heap, 0, block) == 0, "its size is not 0");
    require(HeapValidate(heap, 0, block) == TRUE, "it does not validate");
    require(HeapFree(heap, 0, block) == TRUE, "it cannot be freed");
}

HEAP_CASE(heap_alloc, case_011_blocks_of_zero_bytes_are_distinct)
{
    enum { COUNT = 1000 };
    void *blocks[COUNT];

    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take(heap, 0, 0);
    require(all_distinct(blocks, COUNT), "two blocks of 0 bytes share an address");
    for (size_t i = 0; i < COUNT; i++)
        give_back(heap, blocks[i]);
}

HEAP_CASE(heap_alloc, case_012_size_27_is_exact)
{
    void *block = take(heap, 0, 27);

    require(HeapSize(heap, 0, block) == 27, "HeapSize of a block of 27 bytes is %zu",
            HeapSize(heap, 0, block));
    give_back(heap, block);
}

enum { SMALL_SIZES = 4097, CASE_SIZES = SMALL_SIZES + 3 };

static size_t case_size(size_t index)
{
    const size_t large[] = {CASE_SIZE, 4 * CASE_SIZE, 5 * CASE_SIZE + 1};

    return index < SMALL_SIZES ? index : large[index - SMALL_SIZES];
}

/* All are live at once. */
HEAP_CASE(heap_alloc, case_013_sizes_are_exact_and_addresses_aligned)
{
    static void *blocks[CASE_SIZES];

    for (size_t i = 0; i < CASE_SIZES; i++) {
        size_t bytes = case_size(i);
        blocks[i] = take(heap, 0, bytes);
        require((uintptr_t)blocks[i] % 16 == 0, "%zu bytes at %p", bytes, blocks[i]);
        require(HeapSize(heap, 0, blocks[i]) == bytes, "a block of %zu bytes has %zu",
                bytes, HeapSize(heap, 0, blocks[i]));
        stamp(blocks[i], bytes, i << 32);
    }
    for (size_t i = 0; i < CASE_SIZES; i++) {
        size_t bytes = case_size(i);
        require(HeapSize(heap, 0, blocks[i]) == bytes, "a block of %zu changed", bytes);
        require(stamp_is_intact(blocks[i], bytes, i << 32), "%zu bytes overlap", bytes);
        give_back(heap, blocks[i]);
    }
}

HEAP_CASE(heap_alloc, case_014_size_max_fails)
{
    arm_errors();
    void *block = HeapAlloc(heap, 0, SIZE_MAX);
    expect_compat_error("HeapAlloc of SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(block == NULL, "HeapAlloc of SIZE_MAX gave a block");
}

/* Dirty more blocks of the size than will be taken again; answers where the dirt is. */
enum { DIRTY = 16, TAKEN = 4 };

static void leave_dirt_at(HANDLE heap, size_t bytes, char *dirt[DIRTY])
{
    for (size_t i = 0; i < DIRTY; i++) {
        dirt[i] = take(heap, 0, bytes);
        memset(dirt[i], 0xDD, bytes);
    }
    for (size_t i = 0; i < DIRTY; i++)
        give_back(heap, dirt[i]);
}

/* Whether the block has a byte in common with one of those, which had the same size. */
static bool lies_in(const char *block, size_t bytes, char *const dirt[DIRTY])
{
    for (size_t i = 0; i < DIRTY; i++) {
        if (block < dirt[i] + bytes && dirt[i] < block + bytes)
            return true;
    }
    return false;
}

HEAP_CASE(heap_alloc, case_015_zeroed_memory_is_zero_where_dirt_was)
{
    enum { MOST = 10000 }; /* a slab may have as many others free */
    const size_t sizes[] = {1, 1 << 20, CASE_SIZE, 7, 16, 100, 1000, 5000, 20000, 70000};
    static char *blocks[MOST];
    char *dirt[DIRTY];

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t count = 0, in_dirt = 0;
        leave_dirt_at(heap, sizes[i], dirt);
        while (in_dirt < TAKEN && count < MOST) {
            char *block = take(heap, HEAP_ZERO_MEMORY, sizes[i]);
            require(is_all(block, sizes[i], 0), "%zu bytes are not 0", sizes[i]);
            in_dirt += lies_in(block, sizes[i], dirt);
            blocks[count++] = block;
        }
        require(in_dirt == TAKEN, "of %zu blocks of %zu bytes %zu lie where dirt was",
                count, sizes[i], in_dirt);
        while (count > 0)
            give_back(heap, blocks[--count]);
    }
}

Test(heap_alloc, case_024_null_heap_gives_null)
{
    arm_errors();
    void *block = HeapAlloc(NULL, 0, 16);
    expect_compat_error("HeapAlloc from NULL", ERROR_INVALID_HANDLE, EINVAL);
    require(block == NULL, "HeapAlloc from NULL gave a block");
}

/* Enough blocks of each size that refills and the system are needed, too. */
HEAP_CASE(heap_alloc, case_025_success_keeps_last_error_and_errno)
{
    enum { COUNT = 200 };
    const size_t sizes[] = {0, 1, 100, 1000, 10000, 100000, 1 << 20, 8 << 20};
    void *blocks[COUNT];

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t count = sizes[i] > 100000 ? 4 : COUNT;
        for (size_t k = 0; k < count; k++) {
            arm_errors();
            blocks[k] = HeapAlloc(heap, k % 2 ? HEAP_ZERO_MEMORY : 0, sizes[i]);
            expect_errors_kept("HeapAlloc");
            require(blocks[k] != NULL, "HeapAlloc of %zu bytes failed", sizes[i]);
            arm_errors();
            SIZE_T bytes = HeapSize(heap, 0, blocks[k]);
            expect_errors_kept("HeapSize");
            require(bytes == sizes[i], "HeapSize is %zu, not %zu", bytes, sizes[i]);
        }
        for (size_t k = 0; k < count; k++) {
            arm_errors();
            BOOL freed = HeapFree(heap, 0, blocks[k]);
            expect_errors_kept("HeapFree");
            require(freed == TRUE, "HeapFree of %zu bytes failed", sizes[i]);
        }
    }
}

HEAP_CASE(heap_alloc, case_027_unknown_flags_are_ignored)
{
    const DWORD flags[] = {
        0xC00 | 0x100,
        0x200 | 0x100,
        0x12000000,
        0x12, /* TagShift as wrappers pass it */
        HEAP_CREATE_ALIGN_16,
        HEAP_PSEUDO_TAG_FLAG,
        HEAP_MAXIMUM_TAG & 0xF00,
        0x80000000,
    };

    for (size_t i = 0; i < LENGTH(flags); i++) {
        void *block = HeapAlloc(heap, flags[i], 40);
        require(block != NULL, "HeapAlloc refused the flags %#x", flags[i]);
        require(HeapSize(heap, flags[i], block) == 40, "HeapSize with %#x", flags[i]);
        require(HeapValidate(heap, flags[i], block), "HeapValidate with %#x", flags[i]);
        require(HeapFree(heap, flags[i], block), "HeapFree with %#x", flags[i]);
    }
}

Test(heap_alloc, case_050_growable_heap_has_no_ceiling)
{
    HANDLE heap = create_heap(0);
    void *blocks[7];

    for (size_t i = 0; i < LENGTH(blocks); i++) {
        size_t bytes = (size_t)MIB << i;
        blocks[i] = take(heap, 0, bytes);
        require(HeapSize(heap, 0, blocks[i]) == bytes, "the size of %zu MiB",
                bytes >> 20);
        for (size_t at = 0; at < bytes; at += 4096)
            ((char *)blocks[i])[at] = (char)i;
        ((char *)blocks[i])[bytes - 1] = (char)i;
    }
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        size_t bytes = (size_t)MIB << i;
        for (size_t at = 0; at < bytes; at += 4096)
            require(((char *)blocks[i])[at] == (char)i, "%zu MiB: overlap", bytes >> 20);
        give_back(heap, blocks[i]);
    }
    destroy_heap(heap);
}

HEAP_CASE(heap_alloc, every_size_class_is_aligned)
{
    for (size_t bytes = 1; bytes <= 16 * MIB; bytes += 1 + bytes / 7) {
        void *blocks[3];
        for (size_t k = 0; k < 3; k++) {
            blocks[k] = take(heap, 0, bytes);
            require((uintptr_t)blocks[k] % MEMORY_ALLOCATION_ALIGNMENT == 0,
                    "%zu bytes at %p", bytes, blocks[k]);
        }
        for (size_t k = 0; k < 3; k++)
            give_back(heap, blocks[k]);
    }
}

HEAP_CASE(heap_alloc, large_blocks_keep_their_sizes_to_the_byte)
{
    for (size_t power = 16; power <= 23; power++) {
        for (size_t off = 0; off < 5; off++) {
            size_t bytes = ((size_t)1 << power) - 2 + off;
            void *block = take(heap, HEAP_ZERO_MEMORY, bytes);
            require(HeapSize(heap, 0, block) == bytes, "HeapSize of %zu", bytes);
            require(is_all(block, bytes, 0), "%zu bytes are not 0", bytes);
            memset(block, 0xFF, bytes);
            give_back(heap, block);
        }
    }
}

Test(heap_alloc, a_creation_flag_holds_for_every_call)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    leave_dirt(heap, 500);
    for (size_t i = 0; i < 16; i++) {
        void *block = take(heap, HEAP_ZERO_MEMORY | HEAP_NO_SERIALIZE, 500);
        require(is_all(block, 500, 0), "zeroed memory is not zero");
    }
    destroy_heap(heap);
}
