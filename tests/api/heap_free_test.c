/* SPDX-License-Identifier: MIT */
/*
 * HeapFree: what is freed, what is refused, and that refusing harms nothing. Spec 2.5,
 * cases 16 to 22 and 26.
 */
#include <sched.h>
#include <stdatomic.h>

#include "foreign.h"
#include "workers.h"

HEAP_CASE(heap_free, case_016_null_is_freed_in_vain)
{
    arm_errors();
    BOOL freed = HeapFree(heap, 0, NULL);
    expect_errors_kept("HeapFree of NULL");
    require(freed == TRUE, "HeapFree of NULL failed");
}

Test(heap_free, case_017_null_is_freed_from_no_heap)
{
    arm_errors();
    BOOL freed = HeapFree(NULL, 0, NULL);
    expect_errors_kept("HeapFree of NULL from NULL");
    require(freed == TRUE, "HeapFree of NULL from NULL failed");
}

HEAP_CASE(heap_free, case_018_stack_and_static_addresses_are_refused)
{
    alignas(16) static char statics[64];
    alignas(16) char on_stack[64];
    char *const pointers[] = {statics, statics + 16, on_stack, on_stack + 16};

    for (size_t i = 0; i < LENGTH(pointers); i++) {
        arm_errors();
        BOOL freed = HeapFree(heap, 0, pointers[i]);
        expect_error("HeapFree of a foreign address", ERROR_INVALID_PARAMETER, EINVAL);
        require(freed == FALSE, "HeapFree of foreign address %zu succeeded", i);
    }
}

HEAP_CASE(heap_free, case_019_unmapped_addresses_are_refused_without_a_fault)
{
    void *const pointers[] = {(void *)1, (void *)0xdeadbe00};

    for (size_t i = 0; i < LENGTH(pointers); i++) {
        arm_errors();
        BOOL freed = HeapFree(heap, 0, pointers[i]);
        DWORD last = GetLastError();
        require(freed == FALSE, "HeapFree of %p succeeded", pointers[i]);
        require(last == ERROR_INVALID_PARAMETER || last == ERROR_NOACCESS,
                "HeapFree of %p: the last error is %u", pointers[i], last);
    }
}

/* A second free must not put the block where two allocations find it. */
HEAP_CASE(heap_free, case_020_second_free_is_refused)
{
    enum { COUNT = 300 };
    const size_t sizes[] = {0, 8, 100, 1000, 8000, 40000};
    void *blocks[COUNT];

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(heap, 0, sizes[i]);
        require(HeapFree(heap, 0, block) == TRUE, "the first free failed");
        arm_errors();
        BOOL freed = HeapFree(heap, 0, block);
        expect_error("the second HeapFree", ERROR_INVALID_PARAMETER, EINVAL);
        require(freed == FALSE, "%zu bytes were freed twice", sizes[i]);
        for (size_t k = 0; k < COUNT; k++) {
            blocks[k] = take(heap, 0, sizes[i]);
            stamp(blocks[k], sizes[i], k << 20);
        }
        for (size_t k = 0; k < COUNT; k++)
            require(stamp_is_intact(blocks[k], sizes[i], k << 20), "two blocks overlap");
        require(all_distinct(blocks, COUNT), "one block of %zu was given twice",
                sizes[i]);
        for (size_t k = 0; k < COUNT; k++)
            give_back(heap, blocks[k]);
    }
}

HEAP_CASE(heap_free, case_020_second_free_of_a_large_block_is_refused)
{
    void *block = take(heap, 0, 3 * MIB);

    give_back(heap, block);
    arm_errors();
    BOOL freed = HeapFree(heap, 0, block);
    expect_error("the second HeapFree of 3 MiB", ERROR_INVALID_PARAMETER, EINVAL);
    require(freed == FALSE, "3 MiB were freed twice");
    void *first = take(heap, 0, 3 * MIB), *second = take(heap, 0, 3 * MIB);
    stamp(first, 3 * MIB, 1ul << 32);
    stamp(second, 3 * MIB, 2ul << 32);
    require(stamp_is_intact(first, 3 * MIB, 1ul << 32), "two large blocks overlap");
    give_back(heap, first);
    give_back(heap, second);
}

HEAP_CASE(heap_free, case_021_another_heaps_block_is_refused)
{
    const size_t sizes[] = {0, 1, 100, 5000, 50000, 2 * MIB};
    HANDLE other = create_heap(0);

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(other, 0, sizes[i]);
        stamp(block, sizes[i], i << 32);
        arm_errors();
        BOOL freed = HeapFree(heap, 0, block);
        expect_error("HeapFree of another heap's block", ERROR_INVALID_PARAMETER, EINVAL);
        require(freed == FALSE, "%zu bytes were freed by another heap", sizes[i]);
        require(HeapValidate(other, 0, block), "the block is gone from its heap");
        require(HeapSize(other, 0, block) == sizes[i], "its size changed");
        require(stamp_is_intact(block, sizes[i], i << 32), "its contents changed");
        require(HeapFree(other, 0, block) == TRUE,
                "its own heap cannot free it any more");
    }
    destroy_heap(other);
}

HEAP_CASE(heap_free, case_022_interior_pointers_are_refused)
{
    const size_t sizes[] = {100, 1000, 8000, 40000, 2 * MIB};
    const size_t offsets[] = {16, 1, 8, 32, 64, 99};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        char *block = take(heap, 0, sizes[i]);
        for (size_t k = 0; k < LENGTH(offsets); k++) {
            arm_errors();
            BOOL freed = HeapFree(heap, 0, block + offsets[k]);
            expect_error("HeapFree inside a block", ERROR_INVALID_PARAMETER, EINVAL);
            require(freed == FALSE, "freed %zu bytes at %zu", sizes[i], offsets[k]);
        }
        require(HeapSize(heap, 0, block) == sizes[i], "the block's size changed");
        require(HeapFree(heap, 0, block) == TRUE, "the block itself cannot be freed");
    }
}

HEAP_CASE(heap_free, every_foreign_pointer_is_refused)
{
    struct foreign_set set;

    foreign_init(&set, heap);
    for (size_t i = 0; i < FOREIGN_COUNT; i++) {
        const struct foreign *foreign = &set.foreign[i];
        arm_errors();
        BOOL freed = HeapFree(heap, 0, foreign->pointer);
        expect_error(foreign->what, ERROR_INVALID_PARAMETER, EINVAL);
        require(freed == FALSE, "%s was freed", foreign->what);
    }
    foreign_finish(&set, heap);
}

Test(heap_free, a_bad_handle_is_refused)
{
    void *block = take(GetProcessHeap(), 0, 10);

    arm_errors();
    BOOL freed = HeapFree(NULL, 0, block);
    expect_error("HeapFree from NULL", ERROR_INVALID_HANDLE, EINVAL);
    require(freed == FALSE, "a block was freed from no heap");
    give_back(GetProcessHeap(), block);
}

/*
 * Case 26: a ring of threads. Each allocates, stamps and hands over to the next, and
 * frees what the one before it handed over.
 */
enum { RING_THREADS = 16, RING_ROOM = 64 };

struct ring {
    HANDLE heap;
    size_t pairs;           /* for each member */
    _Atomic(bool) broken_a; /* a member failed: nobody waits for it */
    struct ring_link {
        alignas(64) _Atomic(size_t) written_a;
        alignas(64) _Atomic(size_t) read_a;
        void *blocks[RING_ROOM];
    } links[RING_THREADS];
};

static size_t ring_bytes(size_t turn)
{
    return turn % 509 == 0 ? 9000 : 8 + turn % 120;
}

static uint64_t ring_key(size_t giver, size_t turn)
{
    return (giver << 48) + (turn << 16);
}

static const char *ring_give(struct ring *ring, size_t giver, size_t turn)
{
    struct ring_link *link = &ring->links[giver];
    void *block = HeapAlloc(ring->heap, 0, ring_bytes(turn));

    if (block == NULL)
        return "HeapAlloc failed";
    stamp(block, ring_bytes(turn), ring_key(giver, turn));
    link->blocks[turn % RING_ROOM] = block;
    atomic_store_explicit(&link->written_a, turn + 1, memory_order_release);
    return NULL;
}

static const char *ring_free(struct ring *ring, size_t giver, size_t turn)
{
    struct ring_link *link = &ring->links[giver];
    void *block = link->blocks[turn % RING_ROOM];

    atomic_store_explicit(&link->read_a, turn + 1, memory_order_release);
    if (HeapSize(ring->heap, 0, block) != ring_bytes(turn))
        return "a block has another size than its allocator asked for";
    if (!stamp_is_intact(block, ring_bytes(turn), ring_key(giver, turn)))
        return "a block was disturbed on its way";
    if (!HeapFree(ring->heap, 0, block))
        return "another thread's block cannot be freed";
    return NULL;
}

static SIZE_T committed_bytes(HANDLE heap)
{
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};

    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    return summary.cbCommitted;
}

static const char *ring_member(struct worker *worker)
{
    struct ring *ring = worker->shared;
    size_t before = (worker->index + RING_THREADS - 1) % RING_THREADS;
    struct ring_link *out = &ring->links[worker->index], *in = &ring->links[before];
    size_t given = 0, freed = 0;
    const char *failure = NULL;

    while (given < ring->pairs || freed < ring->pairs) {
        size_t taken = atomic_load_explicit(&out->read_a, memory_order_acquire);
        size_t come = atomic_load_explicit(&in->written_a, memory_order_acquire);
        bool idle = freed == come;

        while (failure == NULL && freed < come)
            failure = ring_free(ring, before, freed++);
        if (failure == NULL && given < ring->pairs && given - taken < RING_ROOM)
            failure = ring_give(ring, worker->index, given++);
        else if (idle)
            sched_yield();
        if (failure != NULL)
            atomic_store_explicit(&ring->broken_a, true, memory_order_relaxed);
        if (atomic_load_explicit(&ring->broken_a, memory_order_relaxed))
            break;
    }
    return failure;
}

HEAP_CASE(heap_free, case_026_blocks_freed_by_other_threads_all_come_back)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    require(ring != NULL, "the test has no memory");
    SIZE_T before = allocated_bytes(heap);
    ring->heap = heap;
    ring->pairs = repeats(1000000) / RING_THREADS;
    run_workers(RING_THREADS, ring_member, ring);
    require(allocated_bytes(heap) == before, "the heap has %zu bytes allocated, not %zu",
            allocated_bytes(heap), before);
    require(committed_bytes(heap) < 24 * MIB, "a ring of few live blocks took %zu KiB",
            committed_bytes(heap) >> 10);
    free(ring);
}
