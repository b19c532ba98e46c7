/* SPDX-License-Identifier: MIT */
/*
 * Pointers that are no live block of a heap, each with its name: what every function that
 * takes a block has to refuse without following it.
 */
#pragma once

#include "support.h"

struct foreign {
    const char *what;
    void *pointer;
};

enum { FOREIGN_COUNT = 12 };

/* Lives on the test's stack, which one of the pointers points to. */
struct foreign_set {
    alignas(64) char on_stack[256];
    HANDLE other_heap;
    void *block; /* live, of the heap itself; two of the pointers point into it */
    struct foreign foreign[FOREIGN_COUNT];
};

static inline void foreign_init(struct foreign_set *set, HANDLE heap)
{
    alignas(64) static char statics[256];
    static void *from_malloc; /* static, so that a leak checker finds it reachable */

    if (from_malloc == NULL)
        from_malloc = malloc(256);
    set->other_heap = create_heap(0);
    set->block = take(heap, 0, 256);
    const struct foreign all[FOREIGN_COUNT] = {
        {"a stack address", set->on_stack + 64},
        {"a static address", statics + 64},
        {"a block of malloc", from_malloc},
        {"a block of another heap", take(set->other_heap, 0, 256)},
        {"an interior pointer", (char *)set->block + 16},
        {"an unaligned interior pointer", (char *)set->block + 1},
        {"the heap's handle", heap},
        {"the address 1", (void *)1},
        {"an unmapped 32-bit address", (void *)0xdeadbe00},
        {"the highest user page", (void *)0x7ffffffff000},
        {"a non-canonical address", (void *)0x8000000000000010},
        {"the highest address", (void *)UINTPTR_MAX},
    };
    memcpy(set->foreign, all, sizeof(all));
}

static inline void foreign_finish(struct foreign_set *set, HANDLE heap)
{
    destroy_heap(set->other_heap);
    give_back(heap, set->block);
}
