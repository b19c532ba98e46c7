/* SPDX-License-Identifier: MIT */
/*
 * Handles that name no heap, one kind a test, given to every function. Nothing may fault.
 */
#include "misuse.h"

static void require_handle_refused(HANDLE bad, const char *what)
{
    HANDLE good = GetProcessHeap();
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};
    void *block = take_stamped(good, 40);

    require(!HeapAlloc(bad, 0, 16), "HeapAlloc from %s", what);
    require(!HeapAlloc(bad, HEAP_NO_SERIALIZE, 3 * MIB), "HeapAlloc from %s", what);
    require(!HeapReAlloc(bad, 0, block, 80), "HeapReAlloc in %s", what);
    require(!HeapFree(bad, 0, block), "HeapFree from %s", what);
    require(HeapFree(bad, 0, NULL), "HeapFree of NULL from %s failed", what);
    require(HeapSize(bad, 0, block) == FAILED_SIZE, "HeapSize in %s", what);
    require(!HeapValidate(bad, 0, block), "HeapValidate in %s", what);
    require(!HeapSummary(bad, 0, &summary), "HeapSummary of %s", what);
    require(!HeapDestroy(bad), "HeapDestroy of %s", what);
    require(mh_usable_size(bad, block) == FAILED_SIZE, "mh_usable_size in %s", what);
    require_unharmed(good, block, 40);
    give_back(good, block);
}

/* The codes, for the functions that have one in both modes. */
static void require_error_6(HANDLE bad, const char *what)
{
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};
    int local;

    arm_errors();
    require(!HeapDestroy(bad), "HeapDestroy of %s", what);
    expect_error(what, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(!HeapFree(bad, 0, &local), "HeapFree from %s", what);
    expect_error(what, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(!HeapSummary(bad, 0, &summary), "HeapSummary of %s", what);
    expect_error(what, ERROR_INVALID_HANDLE, EINVAL);
    arm_errors();
    require(!HeapAlloc(bad, 0, 1), "HeapAlloc from %s", what);
    expect_compat_error(what, ERROR_INVALID_HANDLE, EINVAL);
}

static void require_bad(HANDLE handle, const char *what)
{
    require_handle_refused(handle, what);
    require_error_6(handle, what);
}

Test(bad_handle, null)
{
    require_bad(NULL, "NULL");
}

Test(bad_handle, one)
{
    require_bad((HANDLE)1, "the handle 1");
}

Test(bad_handle, all_ones)
{
    require_bad((HANDLE)UINTPTR_MAX, "the handle -1");
}

Test(bad_handle, stack_address)
{
    alignas(64) char on_stack[128];

    memset(on_stack, 0xFF, sizeof(on_stack));
    require_bad(on_stack, "a stack address");
}

Test(bad_handle, static_address_aligned_as_handles_are)
{
    alignas(65536) static char statics[65536];

    require_bad(statics, "an aligned static address");
}

Test(bad_handle, block_of_a_heap)
{
    void *block = take_stamped(GetProcessHeap(), 3 * MIB);

    require_bad(block, "a block");
    require_unharmed(GetProcessHeap(), block, 3 * MIB);
}

Test(bad_handle, off_by_some_bytes)
{
    HANDLE heap = create_heap(0);
    const size_t offsets[] = {1, 8, 16, 64, 4096, 32768, 65535};

    for (size_t i = 0; i < LENGTH(offsets); i++) {
        require_bad((char *)heap + offsets[i], "a handle with an offset");
        require_bad((char *)heap - offsets[i], "a handle with a negative offset");
    }
    require_heap_works(heap, 64);
}

Test(bad_handle, truncated_to_32_bits)
{
    HANDLE heap = create_heap(0);

    require_bad((HANDLE)((uintptr_t)heap & 0xFFFFFFFF), "half a handle");
    require_bad((HANDLE)((uintptr_t)heap | 0xFFFF000000000000), "a signed handle");
}

Test(bad_handle, every_magnitude)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        require_bad((HANDLE)((uintptr_t)1 << bit), "a power of two");
        require_bad((HANDLE)(0 - ((uintptr_t)1 << bit)), "a negative power of two");
    }
}

Test(bad_handle, destroyed_heap)
{
    HANDLE heap = create_heap(0);

    take(heap, 0, 100);
    destroy_heap(heap);
    require_bad(heap, "a destroyed heap");
}

Test(bad_handle, destroyed_heap_while_others_come_and_go)
{
    HANDLE gone = create_heap(0), others[50];

    destroy_heap(gone);
    for (size_t i = 0; i < LENGTH(others); i++)
        others[i] = create_heap(0);
    for (size_t i = 0; i < LENGTH(others); i++) {
        HANDLE heap = others[i];
        destroy_heap(heap);
        require_bad(heap, "a destroyed heap");
    }
}

/* Its blocks, by its old handle: this is what a use after HeapDestroy looks like. */
Test(bad_handle, destroyed_heap_with_its_own_blocks)
{
    for (EACH_SIZE(bytes)) {
        HANDLE heap = create_heap(0);
        void *block = take(heap, 0, bytes);
        destroy_heap(heap);
        require_refused(heap, block, "a block of a destroyed heap");
        require_refused(GetProcessHeap(), block, "a block of a destroyed heap");
    }
}
