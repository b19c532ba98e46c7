/* SPDX-License-Identifier: MIT */
/* HeapDestroy: what is released, what is refused. Spec 2.2 and cases 4 to 6. */
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "workers.h"

/* 32 MiB of small blocks and 32 MiB of large ones, every byte touched, none freed. */
enum { SMALL_BYTES = 1000, SMALL_COUNT = 32 * MIB / SMALL_BYTES, LARGE_BYTES = 4 * MIB };
enum { BLOCK_COUNT = SMALL_COUNT + 32 * MIB / LARGE_BYTES };

static void *filled[BLOCK_COUNT];

static size_t block_bytes(size_t index)
{
    return index < SMALL_COUNT ? SMALL_BYTES : LARGE_BYTES;
}

static HANDLE heap_full_of_blocks(void)
{
    HANDLE heap = create_heap(0);

    for (size_t i = 0; i < BLOCK_COUNT; i++) {
        filled[i] = take(heap, 0, block_bytes(i));
        memset(filled[i], 0xAB, block_bytes(i));
    }
    return heap;
}

/* How much of the memory where the blocks are, or were, the process still has. */
static size_t resident_bytes(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), sum = 0;

    for (size_t i = 0; i < BLOCK_COUNT; i++) {
        unsigned char is_resident = 0;
        char *block = filled[i];
        if (mincore(block - (uintptr_t)block % page, page, &is_resident) == 0 &&
            is_resident & 1)
            sum += block_bytes(i);
    }
    return sum;
}

static size_t committed_bytes(void)
{
    struct mh_stats stats = {.size = sizeof(stats)};

    require(mh_stats_get(&stats) == 0, "mh_stats_get failed");
    return stats.committed_bytes;
}

/*
 * Freed memory stays warm for a while and comes back by age. A process with one thread
 * gives it back when it frees something, so this one goes on working a little.
 */
Test(heap_destroy, case_004_live_blocks_give_their_memory_back)
{
    HANDLE heap = heap_full_of_blocks();
    require(resident_bytes() > 60 * MIB, "the blocks took no memory");

    arm_errors();
    BOOL destroyed = HeapDestroy(heap);
    expect_errors_kept("HeapDestroy");
    require(destroyed == TRUE, "HeapDestroy refused a heap with live blocks");
    for (size_t turn = 0; resident_bytes() > 8 * MIB; turn++) {
        require(turn < 200, "ten seconds later %zu KiB are left", resident_bytes() >> 10);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        give_back(GetProcessHeap(), take(GetProcessHeap(), 0, MIB));
    }
}

Test(heap_destroy, case_004_destroyed_heaps_do_not_add_up)
{
    destroy_heap(heap_full_of_blocks());
    size_t before = committed_bytes();

    for (size_t turn = 0; turn < 8; turn++)
        destroy_heap(heap_full_of_blocks());
    require(committed_bytes() < before + 32 * MIB, "eight more heaps took %zu KiB",
            (committed_bytes() - before) >> 10);
}

enum { MIXED_COUNT = 6000, PROTECTED_UNIT = 64 << 10 };

static size_t mixed_bytes(size_t index)
{
    return index % 500 ? index * 37 % 2500 : index * 100 + 40000;
}

/* Memory comes to a heap in units of 64 KiB: whole ones may be protected. */
static void protect(const void *block, size_t bytes, int protection)
{
    uintptr_t start = (uintptr_t)block & ~(uintptr_t)(PROTECTED_UNIT - 1);
    uintptr_t end = (uintptr_t)block + bytes + PROTECTED_UNIT - 1;
    end &= ~(uintptr_t)(PROTECTED_UNIT - 1);
    require(mprotect((void *)start, end - start, protection) == 0, "mprotect: %s",
            strerror(errno));
}

/* Whether the kernel can read a byte there; no fault of ours. */
static bool is_readable(const void *at)
{
    int ends[2];
    require(pipe(ends) == 0, "no pipe");
    bool is_read = write(ends[1], at, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return is_read;
}

struct shared_heap {
    HANDLE heap;
    void **blocks;
};

static const char *free_every_seventh(struct worker *worker)
{
    struct shared_heap *shared = worker->shared;
    for (size_t i = 3; i < MIXED_COUNT; i += 7)
        if (!HeapFree(shared->heap, 0, shared->blocks[i]))
            return "HeapFree failed";
    return NULL;
}

/*
 * Every page of the heap loses its access rights, so that a look at any block of it, or
 * at the room between them, ends the process. Some blocks are free, in their slabs' lists
 * and in those of another thread.
 */
static void destroy_protected(DWORD flags)
{
    static void *blocks[MIXED_COUNT];
    struct shared_heap shared = {.heap = create_heap(flags), .blocks = blocks};

    for (size_t i = 0; i < MIXED_COUNT; i++) {
        blocks[i] = take(shared.heap, 0, mixed_bytes(i));
        memset(blocks[i], 0xAB, mixed_bytes(i));
    }
    for (size_t i = 0; i < MIXED_COUNT; i += 7)
        give_back(shared.heap, blocks[i]);
    run_workers(1, free_every_seventh, &shared);
    for (size_t i = 0; i < MIXED_COUNT; i++)
        protect(blocks[i], mixed_bytes(i), PROT_NONE);
    protect(shared.heap, 1, PROT_NONE);
    require(!is_readable(blocks[1]) && !is_readable(blocks[MIXED_COUNT - 1]) &&
                !is_readable(shared.heap),
            "the heap's pages are not protected");
    BOOL destroyed = HeapDestroy(shared.heap);
    for (size_t i = 0; i < MIXED_COUNT; i++)
        protect(blocks[i], mixed_bytes(i), PROT_READ | PROT_WRITE);
    protect(shared.heap, 1, PROT_READ | PROT_WRITE);
    require(destroyed, "HeapDestroy failed");
    destroy_heap(heap_full_of_blocks());
}

Test(heap_destroy, case_004_no_block_is_touched)
{
    destroy_protected(0);
}

Test(heap_destroy, no_block_of_a_heap_without_lock_is_touched)
{
    destroy_protected(HEAP_NO_SERIALIZE);
}

Test(heap_destroy, case_005_process_heap_is_refused)
{
    HANDLE heap = GetProcessHeap();
    void *block = take(heap, 0, 100);

    stamp(block, 100, 5);
    arm_errors();
    BOOL destroyed = HeapDestroy(heap);
    expect_error("HeapDestroy of the process heap", ERROR_INVALID_HANDLE, EINVAL);
    require(!destroyed, "the process heap was destroyed");
    require(GetProcessHeap() == heap, "the process heap has a new handle");
    require(stamp_is_intact(block, 100, 5), "a block of the process heap was disturbed");
    give_back(heap, block);
    give_back(heap, take(heap, 0, 100));
}

Test(heap_destroy, case_006_second_destroy_is_refused)
{
    HANDLE heap = create_heap(0);

    take(heap, 0, 10);
    require(HeapDestroy(heap), "the first HeapDestroy failed");
    arm_errors();
    BOOL destroyed = HeapDestroy(heap);
    expect_error("the second HeapDestroy", ERROR_INVALID_HANDLE, EINVAL);
    require(!destroyed, "a heap was destroyed twice");
}

Test(heap_destroy, a_heap_without_lock_is_destroyed_too)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    for (size_t bytes = 0; bytes < 3 * MIB; bytes = bytes * 2 + 1)
        take(heap, 0, bytes);
    destroy_heap(heap);
    require(!HeapValidate(heap, 0, NULL), "the handle is still good");
}

Test(heap_destroy, other_heaps_keep_their_blocks)
{
    enum { COUNT = 2000 };
    static void *blocks[COUNT];
    HANDLE stays = create_heap(0), goes = create_heap(0);

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = take(stays, 0, i);
        stamp(blocks[i], i, i << 32);
        memset(take(goes, 0, i), 0xFF, i);
    }
    destroy_heap(goes);
    HANDLE fresh = create_heap(0);
    for (size_t i = 0; i < COUNT; i++)
        memset(take(fresh, 0, i), 0xEE, i);
    for (size_t i = 0; i < COUNT; i++) {
        require(stamp_is_intact(blocks[i], i, i << 32), "block %zu was disturbed", i);
        give_back(stays, blocks[i]);
    }
    destroy_heap(fresh);
    destroy_heap(stays);
}

/*
 * What lay in a heap is live in no other, whatever it is used for and how often: records
 * of slabs come back for blocks of another size, first more of them, then fewer.
 */
Test(heap_destroy, what_a_heap_held_is_live_in_no_later_one)
{
    enum { ROUNDS = 40, COUNT = 600 };
    static void *blocks[COUNT];

    for (SIZE_T round = 0; round < ROUNDS; round++) {
        HANDLE heap = create_heap(0);
        SIZE_T sum = 0;
        for (SIZE_T i = 0; i < COUNT; i++) {
            SIZE_T bytes = (i * 7919 + round * 613) % 5000;
            blocks[i] = take(heap, 0, bytes);
            sum += bytes;
        }
        require(allocated_bytes(heap) == sum, "in round %zu, %zu bytes are live, not %zu",
                round, allocated_bytes(heap), sum);
        for (SIZE_T i = 0; i < COUNT; i++)
            if (round % 2)
                give_back(heap, blocks[i]);
        destroy_heap(heap);
    }
}
