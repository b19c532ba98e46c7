/* SPDX-License-Identifier: MIT */
/*
 * What the misuse tests of the heap functions share. Each test commits one error and
 * shows that it is refused, that nothing faults, and that the heap works on.
 */
#pragma once

#include "../api/foreign.h"
#include "../api/workers.h"

/* Every kind of block: tiny, small, the largest in slabs, large. */
static const size_t misuse_sizes[] = {1, 64, 1000, 8000, 40000, 2 * MIB};

/* for (EACH_SIZE(bytes)) { ... } */
#define EACH_SIZE(bytes)                                                           \
    size_t bytes##_at = 0, bytes;                                                  \
    bytes##_at < LENGTH(misuse_sizes) && (bytes = misuse_sizes[bytes##_at], true); \
    bytes##_at++

/* A block as it was before a misuse, to compare with after it. */
static inline void *take_stamped(HANDLE heap, size_t bytes)
{
    void *block = take(heap, 0, bytes);

    stamp(block, bytes, bytes);
    return block;
}

static inline void require_unharmed(HANDLE heap, void *block, size_t bytes)
{
    require(HeapValidate(heap, 0, block), "a live block of %zu bytes is gone", bytes);
    require(HeapSize(heap, 0, block) == bytes, "a live block of %zu has %zu bytes", bytes,
            HeapSize(heap, 0, block));
    require(stamp_is_intact(block, bytes, bytes), "a live block of %zu changed", bytes);
}

static inline void *freed_block(HANDLE heap, size_t bytes)
{
    void *block = take(heap, 0, bytes);

    give_back(heap, block);
    return block;
}

static inline const char *free_in_worker(struct worker *worker)
{
    void **pair = worker->shared;

    return HeapFree(pair[0], 0, pair[1]) ? NULL : "HeapFree of a live block failed";
}

/* It may still be on its way to its owner, in a batch or an inbox. */
static inline void *block_freed_by_another_thread(HANDLE heap, size_t bytes)
{
    void *pair[] = {heap, take(heap, 0, bytes)};

    run_workers(1, free_in_worker, pair);
    return pair[1];
}

/* The heap still hands out blocks that do not overlap, of this size and others. */
static inline void require_heap_works(HANDLE heap, size_t bytes)
{
    enum { COUNT = 40 };
    void *blocks[COUNT];
    size_t sizes[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i % 8 ? bytes : i * 100;
        blocks[i] = take(heap, 0, sizes[i]);
        stamp(blocks[i], sizes[i], i << 32);
    }
    for (size_t i = 0; i < COUNT; i++) {
        require(stamp_is_intact(blocks[i], sizes[i], i << 32), "two blocks overlap");
        give_back(heap, blocks[i]);
    }
}

/* Every function that takes a block refuses this one, without a fault. */
static inline void require_refused(HANDLE heap, void *pointer, const char *what)
{
    require(!HeapFree(heap, 0, pointer), "HeapFree took %s", what);
    require(HeapSize(heap, 0, pointer) == FAILED_SIZE, "HeapSize took %s", what);
    require(!HeapReAlloc(heap, 0, pointer, 10), "HeapReAlloc took %s", what);
    require(!HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, pointer, 0),
            "HeapReAlloc in place took %s", what);
    require(!HeapValidate(heap, 0, pointer), "HeapValidate took %s", what);
    require(mh_usable_size(heap, pointer) == FAILED_SIZE, "mh_usable_size took %s", what);
}
