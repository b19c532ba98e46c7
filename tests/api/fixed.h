/* SPDX-License-Identifier: MIT */
/* What the tests of fixed-size heaps share. */
#pragma once

#include "support.h"

enum {
    CEILING = 0x7FFF8,         /* C-7: requests from here on fail, */
    WINDOWS_CEILING = 0xFFFF0, /* and under compat:windows from here on */
    CHARGED_LEAST = 0x600,     /* of the maximum, for bookkeeping */
    CHARGED_MOST = 0xC00,
};

static inline HANDLE create_fixed(DWORD flags, SIZE_T initial, SIZE_T maximum)
{
    HANDLE heap = HeapCreate(flags, initial, maximum);
    require(heap != NULL, "HeapCreate of %zu bytes gave no heap", maximum);
    return heap;
}

static inline SIZE_T ceiling(void)
{
    return compat_windows() ? WINDOWS_CEILING : CEILING;
}

/* Sizes that make a heap's blocks differ by orders of magnitude. */
static inline SIZE_T some_size(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    unsigned bits = (unsigned)(*random >> 40) % 19;
    return (*random >> 44) % ((SIZE_T)1 << bits);
}

enum { MANY = 4096 };

/* Fill the heap with blocks of random sizes until nothing fits; how many there are. */
static inline size_t fill(HANDLE heap, uint64_t *random, void **blocks, SIZE_T *sum)
{
    size_t count = 0;
    *sum = 0;
    for (size_t failures = 0; failures < 50 && count < MANY;) {
        SIZE_T bytes = some_size(random);
        void *block = HeapAlloc(heap, 0, bytes);
        if (!block) {
            failures++;
            continue;
        }
        require((uintptr_t)block % 16 == 0, "%p is not aligned", block);
        require(HeapSize(heap, 0, block) == bytes, "%zu bytes, not %zu",
                HeapSize(heap, 0, block), bytes);
        memset(block, (int)count, bytes);
        blocks[count++] = block;
        *sum += bytes;
    }
    return count;
}
