/* SPDX-License-Identifier: MIT */
/* Misuse of HeapReAlloc. */
#include "misuse.h"

Test(heap_realloc, freed_blocks_are_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = freed_block(heap, bytes);
        require(!HeapReAlloc(heap, 0, block, bytes), "%zu: the same size", bytes);
        require(!HeapReAlloc(heap, 0, block, bytes * 3), "%zu: three times", bytes);
        require(!HeapReAlloc(heap, 0, block, 0), "%zu: to 0", bytes);
        require_heap_works(heap, bytes);
    }
}

Test(heap_realloc, interior_pointers_are_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        char *block = take_stamped(heap, bytes);
        for (size_t at = 1; at < bytes; at += at < 100 ? 1 : 16 + at / 64 * 16)
            require(!HeapReAlloc(heap, 0, block + at, 10), "%zu at %zu", bytes, at);
        require_unharmed(heap, block, bytes);
    }
}

Test(heap_realloc, another_heaps_blocks_are_refused)
{
    HANDLE owner = create_heap(0), stranger = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(owner, bytes);
        require(!HeapReAlloc(stranger, 0, block, bytes + 1), "%zu grown", bytes);
        require(!HeapReAlloc(stranger, 0, block, bytes / 2), "%zu shrunk", bytes);
        require_unharmed(owner, block, bytes);
    }
}

Test(heap_realloc, the_old_pointer_of_a_moved_block_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *old = take(heap, 0, bytes);
        void *moved = HeapReAlloc(heap, 0, old, bytes * 4 + 100);
        require(moved != NULL, "HeapReAlloc failed");
        stamp(moved, bytes * 4 + 100, bytes * 4 + 100);
        if (moved != old)
            require(!HeapReAlloc(heap, 0, old, 10), "the old pointer of %zu", bytes);
        require_unharmed(heap, moved, bytes * 4 + 100);
    }
}

static void require_growth_fails(HANDLE heap, void *block, size_t bytes, SIZE_T wish)
{
    const DWORD flags[] = {0, HEAP_ZERO_MEMORY, HEAP_REALLOC_IN_PLACE_ONLY};

    for (size_t i = 0; i < LENGTH(flags); i++)
        require(!HeapReAlloc(heap, flags[i], block, wish), "%zu grew to %#zx", bytes,
                wish);
}

Test(heap_realloc, sizes_near_size_max_fail_and_harm_nothing)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(heap, bytes);
        for (SIZE_T below = 0; below < 64; below++)
            require_growth_fails(heap, block, bytes, SIZE_MAX - below);
        require_unharmed(heap, block, bytes);
    }
}

Test(heap_realloc, sizes_near_ptrdiff_max_fail_and_harm_nothing)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(heap, bytes);
        for (SIZE_T off = 0; off < 128; off++)
            require_growth_fails(heap, block, bytes, (SIZE_T)PTRDIFF_MAX - 64 + off);
        require_unharmed(heap, block, bytes);
    }
}
