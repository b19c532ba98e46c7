/* SPDX-License-Identifier: MIT */
/*
 * Misuse of another thread's blocks by a thread that works in their heap itself, and so
 * frees them into a batch.
 */
#include "dying.h"

enum { OPERATIONS_TO_SETTLE = 200 };

struct theft {
    HANDLE heap, other;
    char *block; /* of main's, in `other` or `heap` */
};

/* From now on the thread has a cache in the heap. */
static void settle(HANDLE heap)
{
    for (size_t i = 0; i < OPERATIONS_TO_SETTLE; i++)
        give_back(heap, take(heap, HEAP_ZERO_MEMORY, 64));
}

static const char *free_twice(struct worker *worker)
{
    struct theft *theft = worker->shared;

    settle(theft->heap);
    if (!HeapFree(theft->heap, 0, theft->block))
        return "HeapFree of a live block failed";
    if (HeapFree(theft->heap, 0, theft->block))
        return "HeapFree freed a block twice";
    return NULL;
}

static const char *free_interior(struct worker *worker)
{
    struct theft *theft = worker->shared;

    settle(theft->heap);
    for (size_t at = 1; at < 64; at++)
        if (HeapFree(theft->heap, 0, theft->block + at))
            return "HeapFree took an interior pointer";
    return NULL;
}

static const char *free_from_wrong_heap(struct worker *worker)
{
    struct theft *theft = worker->shared;

    settle(theft->heap);
    settle(theft->other);
    if (HeapFree(theft->heap, 0, theft->block))
        return "HeapFree freed another heap's block";
    return NULL;
}

Test(remote_free, double_free_is_refused)
{
    HANDLE heap = create_heap(0);
    void *neighbour = take_stamped(heap, 64);
    struct theft theft = {heap, heap, take_stamped(heap, 64)};

    run_workers(1, free_twice, &theft);
    require_unharmed(heap, neighbour, 64);
    require_heap_works(heap, 64);
    require(allocated_bytes(heap) == 64, "%zu bytes are left", allocated_bytes(heap));
    destroy_heap(heap);
}

Test(remote_free, interior_pointers_are_refused)
{
    HANDLE heap = create_heap(0);
    struct theft theft = {heap, heap, take_stamped(heap, 64)};

    run_workers(1, free_interior, &theft);
    require_unharmed(heap, theft.block, 64);
    require_heap_works(heap, 64);
    destroy_heap(heap);
}

Test(remote_free, another_heaps_block_is_refused)
{
    HANDLE heap = create_heap(0), other = create_heap(0);
    struct theft theft = {heap, other, take_stamped(other, 64)};

    run_workers(1, free_from_wrong_heap, &theft);
    require_unharmed(other, theft.block, 64);
    require_heap_works(heap, 64);
    require_heap_works(other, 64);
    destroy_heap(heap);
    destroy_heap(other);
}

/* The second block keeps the first one's slab. */
static const char *allocate_from_malloc(struct worker *worker)
{
    void **blocks = worker->shared;

    blocks[0] = mh_malloc(64);
    blocks[1] = mh_malloc(64);
    return NULL;
}

/*
 * A block of malloc's that another thread allocated, while this one has a cache as well.
 */
static void *block_of_another_thread(void)
{
    void *blocks[2] = {NULL, NULL};

    for (size_t i = 0; i < OPERATIONS_TO_SETTLE; i++)
        mh_free(get(64));
    run_workers(1, allocate_from_malloc, blocks);
    require(blocks[0] && blocks[1], "the other thread got no blocks");
    return blocks[0];
}

Test(remote_free, double_free_of_a_malloc_block_dies)
{
    void *block = block_of_another_thread();

    mh_free(block);
    require_death(free_it, block, "double free of another thread's block");
}

Test(remote_free, interior_free_of_a_malloc_block_dies)
{
    char *block = block_of_another_thread();

    require_death(free_it, block + 16, "interior free of another thread's block");
    mh_free(block);
}
