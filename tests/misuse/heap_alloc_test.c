/* SPDX-License-Identifier: MIT */
/* Misuse of HeapAlloc: sizes that no machine has. */
#include "misuse.h"

static void require_no_block(HANDLE heap, SIZE_T bytes)
{
    require(!HeapAlloc(heap, 0, bytes), "%#zx bytes were allocated", bytes);
    require(!HeapAlloc(heap, HEAP_ZERO_MEMORY, bytes), "%#zx zeroed bytes", bytes);
}

Test(heap_alloc, sizes_near_size_max_fail)
{
    HANDLE heap = create_heap(0);

    for (SIZE_T below = 0; below < 64; below++)
        require_no_block(heap, SIZE_MAX - below);
    require(allocated_bytes(heap) == 0, "failed calls left bytes allocated");
    require_heap_works(heap, 64);
}

Test(heap_alloc, sizes_near_ptrdiff_max_fail)
{
    HANDLE heap = create_heap(0);

    for (SIZE_T off = 0; off < 128; off++)
        require_no_block(heap, (SIZE_T)PTRDIFF_MAX - 64 + off);
    require(allocated_bytes(heap) == 0, "failed calls left bytes allocated");
    require_heap_works(heap, 64);
}

/* What rounding up to pages, chunks or larger units would turn into something small. */
Test(heap_alloc, sizes_that_wrap_when_rounded_fail)
{
    HANDLE heap = create_heap(0);

    for (unsigned bit = 6; bit < 48; bit++) {
        require_no_block(heap, SIZE_MAX - ((SIZE_T)1 << bit));
        require_no_block(heap, SIZE_MAX - ((SIZE_T)1 << bit) + 1);
        require_no_block(heap, SIZE_MAX - ((SIZE_T)1 << bit) + 2);
    }
    require_heap_works(heap, 64);
}

Test(heap_alloc, sizes_near_size_max_fail_on_a_heap_without_lock)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    for (SIZE_T below = 0; below < 64; below++)
        require_no_block(heap, SIZE_MAX - below);
    require_heap_works(heap, 64);
}

/* More than the address space has, less than PTRDIFF_MAX: the system's to refuse. */
Test(heap_alloc, sizes_above_the_address_space_fail)
{
    HANDLE heap = create_heap(0);

    for (unsigned bit = 47; bit < 63; bit++)
        require_no_block(heap, (SIZE_T)1 << bit);
    require_heap_works(heap, 64);
}
