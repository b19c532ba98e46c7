/* SPDX-License-Identifier: MIT */
/* Misuse of HeapFree. */
#include "misuse.h"

Test(heap_free, double_free_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = freed_block(heap, bytes);
        require(!HeapFree(heap, 0, block), "%zu bytes were freed twice", bytes);
        require(!HeapFree(heap, 0, block), "%zu bytes were freed three times", bytes);
        require_heap_works(heap, bytes);
    }
}

Test(heap_free, double_free_on_a_heap_without_lock_is_refused)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    for (EACH_SIZE(bytes)) {
        void *block = freed_block(heap, bytes);
        require(!HeapFree(heap, 0, block), "%zu bytes were freed twice", bytes);
        require_heap_works(heap, bytes);
    }
}

Test(heap_free, double_free_with_neighbours_alive_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *before = take_stamped(heap, bytes), *block = freed_block(heap, bytes);
        void *after = take_stamped(heap, bytes);
        if (after != block)
            require(!HeapFree(heap, 0, block), "%zu bytes were freed twice", bytes);
        require_unharmed(heap, before, bytes);
        require_unharmed(heap, after, bytes);
    }
}

Test(heap_free, double_free_after_another_threads_free_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = block_freed_by_another_thread(heap, bytes);
        require(!HeapFree(heap, 0, block), "%zu bytes were freed twice", bytes);
        require_heap_works(heap, bytes);
    }
}

static const char *free_again_in_thread(struct worker *worker)
{
    void **pair = worker->shared;

    return HeapFree(pair[0], 0, pair[1]) ? "a block was freed twice" : NULL;
}

Test(heap_free, double_free_by_another_thread_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *pair[] = {heap, freed_block(heap, bytes)};
        run_workers(1, free_again_in_thread, pair);
        require_heap_works(heap, bytes);
    }
}

Test(heap_free, every_interior_pointer_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        char *block = take_stamped(heap, bytes);
        for (size_t at = 1; at < bytes; at += at < 100 ? 1 : 16 + at / 64 * 16)
            require(!HeapFree(heap, 0, block + at), "freed %zu at %zu", bytes, at);
        require_unharmed(heap, block, bytes);
        give_back(heap, block);
    }
}

Test(heap_free, pointers_around_a_block_are_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        char *block = take_stamped(heap, bytes);
        size_t usable = mh_usable_size(heap, block);
        char *const around[] = {block - 1, block + usable - 1, block + usable + 1,
                                block - 8, block + usable + 8, block + bytes / 2 + 1};
        for (size_t i = 0; i < LENGTH(around); i++)
            require(!HeapFree(heap, 0, around[i]), "%zu: pointer %zu freed", bytes, i);
        require_unharmed(heap, block, bytes);
        give_back(heap, block);
    }
}

/* Starts of slots that were never handed out: nothing but this block was allocated. */
Test(heap_free, never_allocated_slots_are_refused)
{
    for (EACH_SIZE(bytes)) {
        HANDLE heap = create_heap(0);
        char *block = take_stamped(heap, bytes);
        size_t usable = mh_usable_size(heap, block);
        require(!HeapFree(heap, 0, block + usable), "%zu: the next slot freed", bytes);
        require(!HeapFree(heap, 0, block - usable), "%zu: the one before freed", bytes);
        require_unharmed(heap, block, bytes);
        destroy_heap(heap);
    }
}

/*
 * What threads and heaps leave behind in recycled tables must not look like live blocks.
 */
static const char *visit_heaps(struct worker *worker)
{
    HANDLE *heaps = worker->shared;

    for (size_t i = 0; i < 40; i++) {
        if (!HeapAlloc(heaps[i], 0, 40 + i))
            return "HeapAlloc failed";
    }
    return NULL;
}

Test(heap_free, never_allocated_slots_are_refused_after_many_threads_and_heaps)
{
    enum { HEAPS = 40 };
    HANDLE heaps[HEAPS];

    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < HEAPS; i++)
            heaps[i] = create_heap(0);
        run_workers(50, visit_heaps, heaps);
        for (size_t i = 0; i < HEAPS; i++)
            destroy_heap(heaps[i]);
    }
    for (size_t bytes = 16; bytes <= 1024; bytes += bytes < 128 ? 16 : bytes / 8) {
        HANDLE heap = create_heap(0);
        char *blocks[300];
        for (size_t i = 0; i < LENGTH(blocks); i++)
            blocks[i] = take(heap, 0, bytes);
        require(allocated_bytes(heap) == bytes * LENGTH(blocks), "%zu: the sum", bytes);
        for (size_t i = 0; i < LENGTH(blocks); i++)
            give_back(heap, blocks[i]);
        for (uintptr_t at = (uintptr_t)blocks[0] & ~0xFFFFul, end = at + 0x10000;
             at < end; at += 16)
            require(!HeapFree(heap, 0, (void *)at), "%zu: freed %#zx", bytes, (size_t)at);
        destroy_heap(heap);
    }
}

Test(heap_free, another_heaps_block_is_refused)
{
    HANDLE owner = create_heap(0), stranger = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(owner, bytes);
        require(!HeapFree(stranger, 0, block), "a stranger freed %zu bytes", bytes);
        require(!HeapFree(GetProcessHeap(), 0, block), "the process heap freed it");
        require_unharmed(owner, block, bytes);
        give_back(owner, block);
    }
}

Test(heap_free, the_process_heaps_block_is_refused)
{
    HANDLE stranger = create_heap(HEAP_NO_SERIALIZE);

    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(GetProcessHeap(), bytes);
        require(!HeapFree(stranger, 0, block), "a stranger freed %zu bytes", bytes);
        require_unharmed(GetProcessHeap(), block, bytes);
        give_back(GetProcessHeap(), block);
    }
}

/* A pointer kept over a HeapReAlloc that moved the block. */
Test(heap_free, the_old_pointer_of_a_moved_block_is_refused)
{
    HANDLE heap = create_heap(0);

    for (EACH_SIZE(bytes)) {
        void *old = take(heap, 0, bytes);
        void *moved = HeapReAlloc(heap, 0, old, bytes * 4 + 100);
        require(moved != NULL, "HeapReAlloc failed");
        stamp(moved, bytes * 4 + 100, bytes * 4 + 100);
        if (moved != old)
            require(!HeapFree(heap, 0, old), "the old pointer of %zu was freed", bytes);
        require_unharmed(heap, moved, bytes * 4 + 100);
        give_back(heap, moved);
    }
}

Test(heap_free, a_destroyed_heaps_block_is_refused_by_its_successor)
{
    for (EACH_SIZE(bytes)) {
        HANDLE heap = create_heap(0);
        void *block = take(heap, 0, bytes);
        destroy_heap(heap);
        HANDLE successor = create_heap(0);
        require(!HeapFree(successor, 0, block), "freed %zu of a heap that is gone",
                bytes);
        require_heap_works(successor, bytes);
        destroy_heap(successor);
    }
}
