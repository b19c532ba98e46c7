/* SPDX-License-Identifier: MIT */
/* Misuse of HeapValidate. */
#include "misuse.h"

Test(heap_validate, freed_blocks_are_invalid)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = freed_block(heap, bytes);
        require(!HeapValidate(heap, 0, block), "a freed block of %zu is valid", bytes);
    }
}

Test(heap_validate, interior_pointers_are_invalid)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        char *block = take_stamped(heap, bytes);
        for (size_t at = 1; at < bytes; at += at < 100 ? 1 : 16 + at / 64 * 16)
            require(!HeapValidate(heap, 0, block + at), "%zu valid at %zu", bytes, at);
        require_unharmed(heap, block, bytes);
    }
}

Test(heap_validate, another_heaps_blocks_are_invalid)
{
    HANDLE owner = create_heap(0), stranger = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(owner, bytes);
        require(!HeapValidate(stranger, 0, block), "%zu valid at a stranger", bytes);
        require_unharmed(owner, block, bytes);
    }
}
