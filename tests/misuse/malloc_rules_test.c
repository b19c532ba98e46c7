/* SPDX-License-Identifier: MIT */
/*
 * The rules of malloc at their edges, which are glibc's: impossible sizes, products that
 * overflow, bad alignments, size 0, NULL.
 */
#include "dying.h"

static void require_enomem(void *block, const char *what, size_t bytes)
{
    int errno_now = errno;

    require(block == NULL, "%s of %#zx succeeded", what, bytes);
    require(errno_now == ENOMEM, "%s of %#zx: errno %d", what, bytes, errno_now);
    errno = 0;
}

static void require_impossible(size_t bytes)
{
    void *block = get(100);

    stamp(block, 100, 100);
    errno = 0;
    require_enomem(mh_malloc(bytes), "malloc", bytes);
    require_enomem(mh_calloc(1, bytes), "calloc", bytes);
    require_enomem(mh_calloc(bytes, 1), "calloc", bytes);
    require_enomem(mh_realloc(NULL, bytes), "realloc of NULL", bytes);
    require_enomem(mh_realloc(block, bytes), "realloc", bytes);
    require_enomem(mh_reallocarray(block, 1, bytes), "reallocarray", bytes);
    require_enomem(mh_aligned_alloc(64, bytes), "aligned_alloc", bytes);
    require_enomem(mh_memalign(4096, bytes), "memalign", bytes);
    require_enomem(mh_valloc(bytes), "valloc", bytes);
    require_enomem(mh_pvalloc(bytes), "pvalloc", bytes);
    require(stamp_is_intact(block, 100, 100), "a failed realloc changed its block");
    mh_free(block);
}

Test(malloc_malloc, one_more_than_ptrdiff_max_is_enomem)
{
    require_impossible((size_t)PTRDIFF_MAX + 1);
}

Test(malloc_malloc, sizes_around_ptrdiff_max_are_enomem)
{
    for (size_t off = 0; off < 128; off++)
        require_impossible((size_t)PTRDIFF_MAX - 64 + off);
}

Test(malloc_malloc, sizes_near_size_max_are_enomem)
{
    for (size_t below = 0; below < 64; below++)
        require_impossible(SIZE_MAX - below);
}

Test(malloc_malloc, zero_bytes_are_blocks_of_their_own)
{
    void *blocks[100];

    for (size_t i = 0; i < LENGTH(blocks); i++)
        blocks[i] = i % 2 ? get(0) : mh_calloc(i, 0);
    require(all_distinct(blocks, LENGTH(blocks)), "two empty blocks share an address");
    require(blocks[0] != NULL, "an empty block is NULL");
    for (size_t i = 0; i < LENGTH(blocks); i++)
        mh_free(blocks[i]);
}

Test(malloc_calloc, a_product_that_overflows_is_enomem)
{
    const size_t pairs[][2] = {
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 2},
        {(size_t)1 << 32, (size_t)1 << 32},
        {((size_t)1 << 32) + 1, ((size_t)1 << 32) + 1},
        {SIZE_MAX / 16 + 1, 16},
        {SIZE_MAX, SIZE_MAX},
    };

    for (size_t i = 0; i < LENGTH(pairs); i++) {
        errno = 0;
        require_enomem(mh_calloc(pairs[i][0], pairs[i][1]), "calloc", pairs[i][0]);
    }
}

Test(malloc_calloc, memory_is_zero_where_dirt_was)
{
    for (EACH_SIZE(bytes)) {
        for (size_t i = 0; i < 20; i++) {
            void *block = mh_calloc(bytes, 1);
            require(block != NULL && is_all(block, bytes, 0), "%zu are not 0", bytes);
            memset(block, 0xDD, bytes);
            mh_free(block);
        }
    }
}

Test(malloc_reallocarray, a_product_that_overflows_keeps_the_block)
{
    void *block = get(100);

    stamp(block, 100, 100);
    errno = 0;
    require_enomem(mh_reallocarray(block, SIZE_MAX / 2 + 1, 2), "reallocarray", 2);
    require_enomem(mh_reallocarray(block, (size_t)1 << 32, (size_t)1 << 32), "it", 0);
    require_enomem(mh_reallocarray(NULL, SIZE_MAX, SIZE_MAX), "reallocarray", SIZE_MAX);
    require(stamp_is_intact(block, 100, 100), "the block changed");
    block = mh_reallocarray(block, 50, 40);
    require(block != NULL && stamp_is_intact(block, 100, 100), "growth lost contents");
    mh_free(block);
}

Test(malloc_realloc, to_0_frees_and_gives_null)
{
    for (EACH_SIZE(bytes)) {
        void *block = get(bytes);
        require(mh_realloc(block, 0) == NULL, "realloc of %zu to 0 gave a block", bytes);
        require_death(free_it, block, "free after realloc to 0");
    }
}

Test(malloc_realloc, null_is_an_allocation)
{
    void *empty = mh_realloc(NULL, 0), *block = mh_realloc(NULL, 100);

    require(empty != NULL && block != NULL, "realloc of NULL failed");
    require(mh_malloc_usable_size(block) >= 100, "its usable size");
    mh_free(empty);
    mh_free(block);
}

Test(malloc_realloc, contents_are_kept_up_and_down)
{
    size_t bytes = 1;
    void *block = get(bytes);

    stamp(block, bytes, 9);
    for (; bytes < 32 * MIB; bytes = bytes * 2 + 7) {
        block = mh_realloc(block, bytes * 2 + 7);
        require(block && stamp_is_intact(block, bytes, 9), "lost contents at %zu", bytes);
        stamp(block, bytes * 2 + 7, 9);
    }
    for (; bytes > 1; bytes /= 3) {
        block = mh_realloc(block, bytes / 3 + 1);
        require(block && stamp_is_intact(block, bytes / 3 + 1, 9), "lost at %zu", bytes);
    }
    mh_free(block);
}

Test(malloc_free_sized, it_frees_what_realloc_gave)
{
    for (EACH_SIZE(bytes)) {
        void *block = mh_realloc(get(10), bytes);
        require(block != NULL, "realloc to %zu failed", bytes);
        mh_free_sized(block, bytes);
        require_death(free_it, block, "free after free_sized");
    }
    mh_free_sized(NULL, 0);
    mh_free_sized(NULL, 100);
}

Test(malloc_free_sized, aligned_blocks_are_freed_by_their_sizes)
{
    for (EACH_SIZE(bytes)) {
        void *block = mh_aligned_alloc(256, bytes);
        require(block != NULL, "aligned_alloc of %zu failed", bytes);
        mh_free_aligned_sized(block, 256, bytes);
        require_death(free_it, block, "free after free_aligned_sized");
    }
    mh_free_aligned_sized(NULL, 64, 0);
}

Test(malloc_posix_memalign, bad_alignments_are_einval_and_store_nothing)
{
    const size_t bad[] = {0,  1,  2,  3,   4,    5,        7,      9,
                          12, 24, 48, 100, 4097, SIZE_MAX, 3 << 20};

    for (size_t i = 0; i < LENGTH(bad); i++) {
        void *untouched = &untouched;
        errno = ERRNO_SENTINEL;
        int answer = mh_posix_memalign(&untouched, bad[i], 100);
        require(answer == EINVAL, "alignment %zu: %d, not EINVAL", bad[i], answer);
        require(untouched == &untouched, "alignment %zu: something was stored", bad[i]);
        require(errno == ERRNO_SENTINEL, "alignment %zu: errno was set", bad[i]);
    }
}

Test(malloc_posix_memalign, impossible_sizes_are_enomem_and_store_nothing)
{
    const size_t bad[] = {SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1,
                          PTRDIFF_MAX};

    for (size_t i = 0; i < LENGTH(bad); i++) {
        void *untouched = &untouched;
        int answer = mh_posix_memalign(&untouched, 64, bad[i]);
        require(answer == ENOMEM, "%#zx bytes: %d, not ENOMEM", bad[i], answer);
        require(untouched == &untouched, "%#zx bytes: something was stored", bad[i]);
    }
}

Test(malloc_posix_memalign, powers_of_two_from_8_are_served)
{
    for (size_t alignment = 8; alignment <= 16 * MIB; alignment *= 2) {
        void *block = NULL, *empty = NULL;
        require(mh_posix_memalign(&block, alignment, 100) == 0, "align %zu", alignment);
        require(block && (uintptr_t)block % alignment == 0, "align %zu", alignment);
        require(mh_posix_memalign(&empty, alignment, 0) == 0, "empty, %zu", alignment);
        memset(block, 1, 100);
        mh_free(block);
        mh_free(empty);
    }
}

/* All sizes of one alignment are live together; every usable byte is written. */
static void align_matrix_row(size_t alignment)
{
    const size_t sizes[] = {0, 1, 16, 17, 100, 1000, 4096, 5000, 40000, 70000, 2 * MIB};
    void *blocks[LENGTH(sizes)];

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        blocks[i] = mh_aligned_alloc(alignment, sizes[i]);
        require(blocks[i] != NULL, "%zu bytes aligned to %zu failed", sizes[i],
                alignment);
        require((uintptr_t)blocks[i] % alignment == 0, "%zu at %p", alignment, blocks[i]);
        size_t usable = mh_malloc_usable_size(blocks[i]);
        require(usable >= sizes[i], "%zu bytes, %zu usable", sizes[i], usable);
        stamp(blocks[i], sizes[i], i << 40);
        memset((char *)blocks[i] + sizes[i], 0xEE, usable - sizes[i]);
    }
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        require(stamp_is_intact(blocks[i], sizes[i], i << 40), "blocks overlap");
        if (i % 2)
            mh_free_aligned_sized(blocks[i], alignment, sizes[i]);
        else
            mh_free(blocks[i]);
    }
}

Test(malloc_aligned_alloc, every_alignment_meets_every_size)
{
    for (unsigned bit = 0; bit <= 24; bit++)
        align_matrix_row((size_t)1 << bit);
}

Test(malloc_aligned_alloc, blocks_can_be_resized)
{
    for (size_t alignment = 1; alignment <= 16 * MIB; alignment *= 2) {
        void *block = mh_aligned_alloc(alignment, 3000);
        require(block != NULL, "alignment %zu failed", alignment);
        stamp(block, 3000, alignment);
        block = mh_realloc(block, 90000);
        require(block && stamp_is_intact(block, 3000, alignment), "lost contents");
        block = mh_realloc(block, 200);
        require(block && stamp_is_intact(block, 200, alignment), "lost contents");
        mh_free(block);
    }
}

/* Alignments that no address space has room for. */
Test(malloc_aligned_alloc, impossible_alignments_fail)
{
    for (unsigned bit = 48; bit < 64; bit++) {
        require(!mh_aligned_alloc((size_t)1 << bit, 100), "aligned to 2^%u", bit);
        require(!mh_memalign((size_t)1 << bit, 100), "memalign to 2^%u", bit);
    }
    mh_free(get(100));
}

Test(malloc_aligned_alloc, interior_free_of_an_aligned_block_dies)
{
    for (size_t alignment = 32; alignment <= MIB; alignment *= 4) {
        char *block = mh_aligned_alloc(alignment, 3000);
        require(block != NULL, "alignment %zu failed", alignment);
        require_death(free_it, block + 16, "interior free of an aligned block");
        mh_free(block);
        require_death(free_it, block, "double free of an aligned block");
    }
}

Test(malloc_valloc, pages_are_aligned_and_whole)
{
    for (EACH_SIZE(bytes)) {
        void *page = mh_valloc(bytes), *pages = mh_pvalloc(bytes);
        require(page && (uintptr_t)page % 4096 == 0, "valloc of %zu: %p", bytes, page);
        require(pages && (uintptr_t)pages % 4096 == 0, "pvalloc of %zu: %p", bytes,
                pages);
        require(mh_malloc_usable_size(pages) >= (bytes + 4095) / 4096 * 4096,
                "pvalloc of %zu gave part of a page", bytes);
        memset(page, 1, bytes);
        memset(pages, 2, (bytes + 4095) / 4096 * 4096);
        mh_free(page);
        mh_free(pages);
    }
}

Test(malloc_usable_size, it_is_0_for_null_and_all_of_it_is_usable)
{
    void *blocks[40];

    require(mh_malloc_usable_size(NULL) == 0, "NULL has a usable size");
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        blocks[i] = get(i * i * 7);
        require(mh_malloc_usable_size(blocks[i]) >= i * i * 7, "of %zu bytes", i * i * 7);
        stamp(blocks[i], mh_malloc_usable_size(blocks[i]), i << 40);
    }
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        size_t usable = mh_malloc_usable_size(blocks[i]);
        require(stamp_is_intact(blocks[i], usable, i << 40), "blocks overlap");
        mh_free(blocks[i]);
    }
}
