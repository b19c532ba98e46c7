/* SPDX-License-Identifier: MIT */
/* Misuse of HeapSize. */
#include "misuse.h"

Test(heap_size, freed_blocks_have_none)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = freed_block(heap, bytes);
        require(HeapSize(heap, 0, block) == FAILED_SIZE, "%zu freed bytes", bytes);
    }
}

Test(heap_size, interior_pointers_have_none)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        char *block = take_stamped(heap, bytes);
        for (size_t at = 1; at < bytes; at += at < 100 ? 1 : 16 + at / 64 * 16)
            require(HeapSize(heap, 0, block + at) == FAILED_SIZE, "%zu at %zu", bytes,
                    at);
        require_unharmed(heap, block, bytes);
    }
}

Test(heap_size, another_heaps_blocks_have_none)
{
    HANDLE owner = create_heap(0), stranger = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(owner, bytes);
        require(HeapSize(stranger, 0, block) == FAILED_SIZE, "%zu at a stranger", bytes);
        require_unharmed(owner, block, bytes);
    }
}

Test(heap_size, blocks_freed_by_another_thread_have_none)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = block_freed_by_another_thread(heap, bytes);
        require(HeapSize(heap, 0, block) == FAILED_SIZE, "%zu freed bytes", bytes);
    }
}
