/* SPDX-License-Identifier: MIT */
#include <molehill/spy.h>

#include "support.h"

static size_t told_old, told_new;

static void note_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                             void *block, size_t bytes)
{
    (void)context, (void)heap, (void)old_block, (void)block;
    told_old = old_bytes;
    told_new = bytes;
}

static void note_freed(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block;
    told_old = bytes;
}

/* The one that picks is elsewhere, and the one that is here takes next to nothing. */
Test(spy_mark, a_block_that_leaves_every_sample_keeps_its_right_size)
{
    HANDLE heap = HeapCreate(0, 0, 0), elsewhere = HeapCreate(0, 0, 0);
    struct mh_spy all = {
        .size = sizeof all, .reallocated = note_reallocated, .freed = note_freed};
    struct mh_spy first = {.size = sizeof first, .sample_bytes = 1};
    struct mh_spy seldom = {.size = sizeof seldom, .sample_bytes = (size_t)1 << 60};
    require(mh_spy_attach(&all, heap) == 0, "a spy cannot be attached");
    require(mh_spy_attach(&first, heap) == 0, "a spy cannot be attached");
    void *block = HeapAlloc(heap, 0, 40000);
    require(mh_spy_detach(&first) == 0, "a spy cannot be detached");
    require(mh_spy_attach(&seldom, heap) == 0, "a spy cannot be attached");
    require(mh_spy_attach(&first, elsewhere) == 0, "a spy cannot be attached");
    for (size_t bytes = 40100; bytes <= 40800; bytes += 100) {
        block = HeapReAlloc(heap, 0, block, bytes);
        require(told_old == bytes - 100, "%zu bytes, not %zu", told_old, bytes - 100);
        require(told_new == bytes, "%zu bytes, not %zu", told_new, bytes);
    }
    require(HeapFree(heap, 0, block), "HeapFree failed");
    require(told_old == 40800, "%zu bytes, not 40800", told_old);
    require(mh_spy_detach(&first) == 0, "a spy cannot be detached");
    require(mh_spy_detach(&seldom) == 0, "a spy cannot be detached");
    require(mh_spy_detach(&all) == 0, "a spy cannot be detached");
}
