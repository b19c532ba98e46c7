/* SPDX-License-Identifier: MIT */
/*
 * GlobalAlloc and LocalAlloc of fixed memory, and _msize. The two families share their
 * code but for names, so one table of functions runs each test on both.
 */
#include <molehill/msize.h>
#include <molehill/winbase.h>

#include "support.h"

struct family {
    const char *name;
    HANDLE (*alloc)(UINT flags, SIZE_T bytes);
    HANDLE (*resize)(HANDLE block, SIZE_T bytes, UINT flags);
    HANDLE (*release)(HANDLE block);
    SIZE_T (*size)(HANDLE block);
    LPVOID (*lock)(HANDLE block);
    BOOL (*unlock)(HANDLE block);
    UINT (*flags)(HANDLE block);
    HANDLE (*handle)(LPCVOID block);
    bool unlocks;    /* what the last function but two says of a block */
    SIZE_T at_least; /* the size of a block of no bytes */
};

static const struct family families[] = {
    {"Global", GlobalAlloc, GlobalReAlloc, GlobalFree, GlobalSize, GlobalLock,
     GlobalUnlock, GlobalFlags, GlobalHandle, true, 1},
    {"Local", LocalAlloc, LocalReAlloc, LocalFree, LocalSize, LocalLock, LocalUnlock,
     LocalFlags, LocalHandle, false, 0},
};

#define BOTH_FAMILIES(sentence)                       \
    static void sentence(const struct family *of);    \
    Test(global_alloc, sentence)                      \
    {                                                 \
        for (size_t i = 0; i < LENGTH(families); i++) \
            sentence(&families[i]);                   \
    }                                                 \
    static void sentence(const struct family *of)

BOTH_FAMILIES(sizes_are_exact_and_blocks_of_the_process_heap)
{
    for (SIZE_T bytes = 1; bytes < 70000; bytes += bytes < 100 ? 1 : 997) {
        arm_errors();
        void *block = of->alloc(GMEM_FIXED, bytes);
        require(block != NULL && of->size(block) == bytes, "%s: size %zu", of->name,
                bytes);
        require(HeapSize(GetProcessHeap(), 0, block) == bytes, "%s: another heap",
                of->name);
        require((uintptr_t)block % MEMORY_ALLOCATION_ALIGNMENT == 0, "not aligned");
        memset(block, 0xA5, bytes);
        require(of->release(block) == NULL, "%s: not freed", of->name);
        expect_errors_kept(of->name);
    }
}

BOTH_FAMILIES(no_bytes_are_a_block_too)
{
    void *block = of->alloc(GMEM_FIXED, 0);
    require(block != NULL, "%s: no block of no bytes", of->name);
    require(of->size(block) == of->at_least, "%s: another size", of->name);
    require(of->release(block) == NULL, "%s: not freed", of->name);
}

BOTH_FAMILIES(zeroes_come_where_asked_for)
{
    leave_dirt(GetProcessHeap(), 3000);
    void *block = of->alloc(GPTR, 3000);
    require(block && is_all(block, 3000, 0), "%s: dirt", of->name);
    memset(block, 0x11, 3000);
    require(of->resize(block, 100, 0) == block, "%s: did not shrink in place", of->name);
    require(of->resize(block, 200, GMEM_ZEROINIT) == block, "%s: did not grow", of->name);
    require(is_all((char *)block + 100, 100, 0), "%s: dirt where it had been", of->name);
    void *moved = of->resize(block, 200000, GMEM_MOVEABLE | GMEM_ZEROINIT);
    require(moved != NULL && of->size(moved) == 200000, "%s: did not grow", of->name);
    require(is_all(moved, 100, 0x11), "%s: contents lost", of->name);
    require(is_all((char *)moved + 100, 199900, 0), "%s: dirt in what grew", of->name);
    require(of->release(moved) == NULL, "%s: not freed", of->name);
}

BOTH_FAMILIES(a_block_moves_only_where_allowed)
{
    void *block = of->alloc(GMEM_FIXED, 32);
    stamp(block, 32, 7);
    arm_errors();
    require(of->resize(block, 500000, 0) == NULL, "%s: moved", of->name);
    expect_error(of->name, ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(of->size(block) == 32 && stamp_is_intact(block, 32, 7), "%s: changed",
            of->name);
    require(of->resize(block, 0, 0) == block, "%s: a size of 0 moves", of->name);
    arm_errors();
    require(of->size(block) == 0, "%s: size after 0 bytes", of->name);
    expect_errors_kept(of->name);
    require(of->release(block) == NULL, "%s: not freed", of->name);
}

BOTH_FAMILIES(moveable_memory_is_refused)
{
    arm_errors();
    require(of->alloc(GHND, 16) == NULL, "%s: moveable memory", of->name);
    expect_error(of->name, ERROR_NOT_SUPPORTED, EINVAL);
    void *block = of->alloc(GMEM_FIXED, 16);
    arm_errors();
    require(of->resize(block, 0, GMEM_MODIFY | GMEM_MOVEABLE) == NULL,
            "%s: made moveable", of->name);
    expect_error(of->name, ERROR_NOT_SUPPORTED, EINVAL);
    arm_errors();
    require(of->resize(block, 5, GMEM_MODIFY) == block && of->size(block) == 16,
            "%s: a change of no attributes", of->name);
    expect_errors_kept(of->name);
    require(of->release(block) == NULL, "%s: not freed", of->name);
}

BOTH_FAMILIES(a_fixed_block_is_its_handle)
{
    void *block = of->alloc(GPTR, 10);
    arm_errors();
    require(of->lock(block) == block && of->handle(block) == block, "%s", of->name);
    require(of->flags(block) == 0, "%s: flags", of->name);
    expect_errors_kept(of->name);
    require(!of->unlock(block) == !of->unlocks, "%s: unlock", of->name);
    if (of->unlocks)
        expect_errors_kept(of->name);
    else
        expect_error(of->name, ERROR_NOT_LOCKED, EINVAL);
    require(of->size(block) == 10, "%s: unlocking freed it", of->name);
    require(of->release(block) == NULL, "%s: not freed", of->name);
}

/* Each function refuses `block`, which is none. */
static void refuse(const struct family *of, void *block)
{
    arm_errors();
    require(of->size(block) == 0, "%s: size of %p", of->name, block);
    expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(of->lock(block) == NULL, "%s: lock of %p", of->name, block);
    expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(!of->unlock(block), "%s: unlock of %p", of->name, block);
    expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(of->flags(block) == GMEM_INVALID_HANDLE, "%s: flags of %p", of->name, block);
    expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(of->resize(block, 5, GMEM_MOVEABLE) == NULL, "%s: resize %p", of->name,
            block);
    expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(of->handle(block) == NULL, "%s: handle of %p", of->name, block);
    if (block)
        expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    else
        expect_error(of->name, ERROR_INVALID_PARAMETER, EINVAL);
    arm_errors();
    require(of->release(block) == block, "%s: freed %p", of->name, block);
    if (block)
        expect_error(of->name, ERROR_INVALID_HANDLE, EINVAL);
    else
        expect_errors_kept("no block freed");
}

BOTH_FAMILIES(what_is_no_block_is_refused)
{
    char stack[64];
    HANDLE other = create_heap(0);
    void *foreign = take(other, 0, 64);
    void *freed = of->alloc(GMEM_FIXED, 64);
    require(of->release(freed) == NULL, "%s: not freed", of->name);
    char *block = of->alloc(GMEM_FIXED, 64);
    void *values[] = {NULL, (void *)1, stack, foreign, block + 16, (void *)0xdeadbe00};
    for (size_t i = 0; i < LENGTH(values); i++)
        refuse(of, values[i]);
    require(of->release(block) == NULL, "%s: not freed", of->name);
    refuse(of, block);
    destroy_heap(other);
}

BOTH_FAMILIES(memory_that_is_not_there_is_an_error_in_both_modes)
{
    arm_errors();
    require(of->alloc(GMEM_FIXED, SIZE_MAX) == NULL, "%s: all memory", of->name);
    expect_error(of->name, ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    void *block = of->alloc(GMEM_FIXED, 8);
    arm_errors();
    require(of->resize(block, SIZE_MAX, GMEM_MOVEABLE) == NULL, "%s: all memory",
            of->name);
    expect_error(of->name, ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(of->size(block) == 8, "%s: changed", of->name);
    require(of->release(block) == NULL, "%s: not freed", of->name);
}

Test(msize, a_block_of_malloc_holds_what_was_asked_for)
{
    for (size_t bytes = 1; bytes < 5000; bytes += 13) {
        void *block = malloc(bytes);
        arm_errors();
        require(_msize(block) >= bytes, "%zu bytes hold %zu", bytes, _msize(block));
        expect_errors_kept("_msize");
        free(block);
    }
}

Test(msize, a_block_of_the_process_heap_has_its_exact_size)
{
    void *block = take(GetProcessHeap(), 0, 27);
    require(_msize(block) == 27, "%zu", _msize(block));
    give_back(GetProcessHeap(), block);
}

Test(msize, no_block_is_an_error)
{
    arm_errors();
    require(_msize(NULL) == (size_t)-1, "a size");
    expect_last_error_and_errno("_msize", LAST_ERROR_SENTINEL, EINVAL);
}
