/* SPDX-License-Identifier: MIT */
/*
 * What the Windows documents promise in so many words, where no single function's test
 * has it. Cases 128, 141 to 143 and 151.
 */
#include "foreign.h"
#include "workers.h"

Test(documents, case_128_zero_memory_holds_for_one_call)
{
    HANDLE heap = create_heap(0);
    bool saw_dirt = false;

    for (size_t i = 0; i < 100; i++) {
        leave_dirt(heap, 200);
        void *zeroed = take(heap, HEAP_ZERO_MEMORY, 200);
        require(is_all(zeroed, 200, 0), "the flag did not zero the block");
        memset(zeroed, 0xDD, 200);
        give_back(heap, zeroed);
        void *plain = take(heap, 0, 200);
        saw_dirt = saw_dirt || !is_all(plain, 200, 0);
        give_back(heap, plain);
    }
    require(saw_dirt, "calls without the flag zeroed their blocks, too");
    destroy_heap(heap);
}

Test(documents, case_128_zero_memory_of_a_resize_holds_for_one_call)
{
    HANDLE heap = create_heap(0);
    char *block = take(heap, 0, 40);

    memset(block, 0x7A, 40);
    block = HeapReAlloc(heap, 0, block, 33);
    require(block != NULL, "shrinking failed");
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 40);
    require(block != NULL && is_all(block + 33, 7, 0), "growth was not zeroed");
    memset(block, 0x7A, 40);
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 33);
    require(block != NULL, "shrinking failed");
    block = HeapReAlloc(heap, 0, block, 40);
    require(block != NULL && is_all(block, 33, 0x7A), "plain growth lost contents");
    require(HeapSize(heap, 0, block) == 40, "the size is not 40");
    destroy_heap(heap);
}

/* The flag's calls succeed here; where they raise, see exception_test.c. */
Test(documents, case_128_generate_exceptions_holds_for_one_call)
{
    HANDLE heap = create_heap(0);
    void *block = take(heap, HEAP_GENERATE_EXCEPTIONS, 100);

    require(HeapAlloc(heap, 0, SIZE_MAX) == NULL, "SIZE_MAX bytes were allocated");
    block = HeapReAlloc(heap, HEAP_GENERATE_EXCEPTIONS, block, 200);
    require(block != NULL, "HeapReAlloc with the flag failed");
    require(HeapReAlloc(heap, 0, block, SIZE_MAX) == NULL, "grown to SIZE_MAX bytes");
    require(HeapSize(heap, 0, block) == 200, "the block's size changed");
    destroy_heap(heap);
}

struct mixed_flags {
    HANDLE heap;
};

/* Every other call goes without the flag. */
static const char *alternate_flags(struct worker *worker)
{
    HANDLE heap = ((struct mixed_flags *)worker->shared)->heap;

    for (size_t i = 0; i < 20000; i++) {
        DWORD flags = i % 2 ? HEAP_NO_SERIALIZE : 0;
        size_t bytes = i % 300;
        uint64_t key = (worker->index << 48) + (i << 20);
        void *block = HeapAlloc(heap, flags, bytes);
        if (block == NULL)
            return "HeapAlloc failed";
        stamp(block, bytes, key);
        block = HeapReAlloc(heap, flags ^ HEAP_NO_SERIALIZE, block, bytes + 50);
        if (block == NULL || !stamp_is_intact(block, bytes, key))
            return "HeapReAlloc failed or lost contents";
        if (!HeapFree(heap, flags, block))
            return "HeapFree failed";
    }
    return NULL;
}

Test(documents, case_128_no_serialize_holds_for_one_call)
{
    struct mixed_flags mixed = {.heap = create_heap(0)};

    run_workers(8, alternate_flags, &mixed);
    require(allocated_bytes(mixed.heap) == 0, "the heap is not empty at the end");
    destroy_heap(mixed.heap);
}

#if defined(_WIN32) || defined(_WIN64)
#error "the headers must not claim to be Windows"
#endif
static_assert(MEMORY_ALLOCATION_ALIGNMENT == (sizeof(void *) == 8 ? 16 : 8),
              "what Windows has for this width");

Test(documents, case_141_every_block_has_the_documented_alignment)
{
    HANDLE heap = create_heap(0);

    for (size_t bytes = 0; bytes < 3000; bytes++) {
        uintptr_t address = (uintptr_t)take(heap, 0, bytes);
        require(address % MEMORY_ALLOCATION_ALIGNMENT == 0, "%zu bytes at %#zx", bytes,
                (size_t)address);
    }
    void *block = take(heap, 0, 0);
    for (size_t i = 0; i < 3000; i++) {
        size_t bytes = i % 100 ? i * 37 % 3000 : i * 100;
        block = HeapReAlloc(heap, 0, block, bytes);
        require(block && (uintptr_t)block % MEMORY_ALLOCATION_ALIGNMENT == 0,
                "resized to %zu bytes at %p", bytes, block);
    }
    destroy_heap(heap);
}

HEAP_CASE(documents, case_142_failures_keep_the_last_error_unless_compat_windows)
{
    void *block = take(heap, 0, 64);
    stamp(block, 64, 142);

    arm_errors();
    void *failed = HeapAlloc(heap, 0, SIZE_MAX);
    expect_compat_error("HeapAlloc of SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(failed == NULL, "HeapAlloc of SIZE_MAX succeeded");

    arm_errors();
    failed = HeapReAlloc(heap, 0, block, SIZE_MAX);
    expect_compat_error("HeapReAlloc to SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(failed == NULL, "HeapReAlloc to SIZE_MAX succeeded");
    require(HeapSize(heap, 0, block) == 64, "the block's size changed");
    require(stamp_is_intact(block, 64, 142), "the block's contents changed");

    give_back(heap, block);
    arm_errors();
    SIZE_T bytes = HeapSize(heap, 0, block);
    expect_compat_error("HeapSize of a freed block", ERROR_INVALID_PARAMETER, EINVAL);
    require(bytes == FAILED_SIZE, "a freed block has %zu bytes", bytes);
}

/* Many blocks of like size are live together, each written in full. */
Test(documents, case_143_every_byte_of_every_size_is_the_clients)
{
    enum { LIVE = 64 };
    const size_t sizes = repeats(70001);
    struct {
        unsigned char *block;
        size_t bytes;
    } live[LIVE] = {{NULL, 0}};
    HANDLE heap = create_heap(0);

    for (size_t bytes = 0; bytes < sizes + LIVE; bytes++) {
        unsigned char *old = live[bytes % LIVE].block;
        size_t old_bytes = live[bytes % LIVE].bytes;
        if (old != NULL) {
            require(is_all(old, old_bytes, (unsigned char)(old_bytes % 251)),
                    "a neighbour wrote into a block of %zu bytes", old_bytes);
            give_back(heap, old);
            live[bytes % LIVE].block = NULL;
        }
        if (bytes < sizes) {
            live[bytes % LIVE].block = take(heap, 0, bytes);
            live[bytes % LIVE].bytes = bytes;
            memset(live[bytes % LIVE].block, (int)(bytes % 251), bytes);
        }
    }
    require(allocated_bytes(heap) == 0, "the heap is not empty at the end");
    destroy_heap(heap);
}

HEAP_CASE(documents, case_151_a_request_of_27_occupies_32)
{
    void *block = take(heap, 0, 27);

    size_t occupied = has_global_flag(0x10) ? 48 : 32; /* a tail needs room, too */
    require(mh_usable_size(heap, block) == occupied, "27 bytes occupy %zu",
            mh_usable_size(heap, block));
    require(HeapSize(heap, 0, block) == 27, "HeapSize says %zu",
            HeapSize(heap, 0, block));
    give_back(heap, block);
}
