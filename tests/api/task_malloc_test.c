/* SPDX-License-Identifier: MIT */
/* IMalloc and CoTaskMem* without a spy. */
#define COBJMACROS
#include <molehill/objbase.h>

#include "foreign.h"

static IMalloc *task_malloc(void)
{
    IMalloc *malloc = NULL;
    require(CoGetMalloc(MEMCTX_TASK, &malloc) == S_OK && malloc, "CoGetMalloc failed");
    return malloc;
}

static void *task_take(SIZE_T bytes)
{
    void *block = IMalloc_Alloc(task_malloc(), bytes);
    require(block != NULL, "Alloc of %zu bytes failed", bytes);
    return block;
}

Test(task_malloc, case_092_other_contexts_are_refused)
{
    const MEMCTX contexts[] = {0, MEMCTX_SHARED, MEMCTX_MACSYSTEM, MEMCTX_UNKNOWN,
                               MEMCTX_SAME};

    for (size_t i = 0; i < LENGTH(contexts); i++) {
        IMalloc *malloc = (IMalloc *)&malloc;
        arm_errors();
        HRESULT result = CoGetMalloc((DWORD)contexts[i], &malloc);
        expect_errors_kept("CoGetMalloc");
        require(result == E_INVALIDARG, "context %d: 0x%x", contexts[i], result);
        require(malloc == NULL, "context %d: the pointer was not cleared", contexts[i]);
    }
    require(CoGetMalloc(MEMCTX_TASK, NULL) == E_INVALIDARG, "nowhere to store it");
}

Test(task_malloc, case_093_there_is_one_object)
{
    IMalloc *malloc = task_malloc();
    void *other = NULL;

    require(task_malloc() == malloc, "a second object");
    require(IMalloc_QueryInterface(malloc, &IID_IUnknown, &other) == S_OK &&
                other == malloc,
            "IUnknown");
    other = NULL;
    require(IMalloc_QueryInterface(malloc, &IID_IMalloc, &other) == S_OK &&
                other == malloc,
            "IMalloc");
    require(IMalloc_QueryInterface(malloc, &IID_IMallocSpy, &other) == E_NOINTERFACE &&
                other == NULL,
            "it is no spy");
    for (int i = 0; i < 10; i++)
        require(IMalloc_Release(malloc) > 0, "it can be released for good");
    require(IMalloc_AddRef(malloc) > 0 && task_malloc() == malloc, "it is gone");
    CoTaskMemFree(task_take(10));
}

Test(task_malloc, case_094_did_alloc_knows_its_blocks)
{
    IMalloc *malloc = task_malloc();
    char *block = task_take(100);
    void *of_function = CoTaskMemAlloc(100);
    struct foreign_set set;

    foreign_init(&set, GetProcessHeap());
    arm_errors();
    require(IMalloc_DidAlloc(malloc, block) == 1, "its own block");
    require(IMalloc_DidAlloc(malloc, of_function) == 1, "CoTaskMemAlloc's block");
    require(IMalloc_DidAlloc(malloc, NULL) == -1, "NULL");
    require(IMalloc_DidAlloc(malloc, (void *)1) == 0, "the address 1");
    require(IMalloc_DidAlloc(malloc, block + 4) == 0, "an interior pointer");
    for (size_t i = 0; i < LENGTH(set.foreign); i++)
        require(IMalloc_DidAlloc(malloc, set.foreign[i].pointer) == 0, "%s",
                set.foreign[i].what);
    expect_errors_kept("DidAlloc");
    IMalloc_Free(malloc, block);
    require(IMalloc_DidAlloc(malloc, block) == 0, "a freed block");
    CoTaskMemFree(of_function);
    foreign_finish(&set, GetProcessHeap());
}

Test(task_malloc, case_095_sizes_are_exact)
{
    IMalloc *malloc = task_malloc();
    struct foreign_set set;

    foreign_init(&set, GetProcessHeap());
    arm_errors();
    require(IMalloc_GetSize(malloc, NULL) == FAILED_SIZE, "NULL has a size");
    for (size_t i = 0; i < LENGTH(set.foreign); i++)
        require(IMalloc_GetSize(malloc, set.foreign[i].pointer) == FAILED_SIZE, "%s",
                set.foreign[i].what);
    expect_errors_kept("GetSize");
    for (SIZE_T bytes = 16; bytes <= 27; bytes += 11) {
        void *block = task_take(bytes);
        require(IMalloc_GetSize(malloc, block) == bytes, "%zu bytes are %zu", bytes,
                IMalloc_GetSize(malloc, block));
        IMalloc_Free(malloc, block);
    }
    foreign_finish(&set, GetProcessHeap());
}

Test(task_malloc, case_096_realloc_allocates_and_frees)
{
    IMalloc *malloc = task_malloc();

    arm_errors();
    void *block = IMalloc_Realloc(malloc, NULL, 10);
    require(block && IMalloc_GetSize(malloc, block) == 10, "Realloc(NULL, 10)");
    require(IMalloc_Realloc(malloc, block, 0) == NULL, "Realloc(p, 0) returned a block");
    require(IMalloc_DidAlloc(malloc, block) == 0, "Realloc(p, 0) did not free");
    block = CoTaskMemRealloc(NULL, 0);
    require(block && IMalloc_GetSize(malloc, block) == 0, "Realloc(NULL, 0)");
    CoTaskMemFree(block);
    expect_errors_kept("Realloc");
}

Test(task_malloc, realloc_keeps_the_contents_and_failure_keeps_the_block)
{
    IMalloc *malloc = task_malloc();
    char *block = task_take(1000);

    stamp(block, 1000, 1);
    block = IMalloc_Realloc(malloc, block, 100000);
    require(block && stamp_is_intact(block, 1000, 1), "contents lost");
    arm_errors();
    require(IMalloc_Realloc(malloc, block, SIZE_MAX) == NULL, "SIZE_MAX bytes");
    expect_compat_error("Realloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(IMalloc_GetSize(malloc, block) == 100000 && stamp_is_intact(block, 1000, 1),
            "a failed Realloc changed the block");
    arm_errors();
    require(IMalloc_Alloc(malloc, SIZE_MAX) == NULL, "SIZE_MAX bytes");
    expect_compat_error("Alloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    IMalloc_Free(malloc, block);
}

Test(task_malloc, free_of_nothing_and_of_foreign_pointers_does_nothing)
{
    IMalloc *malloc = task_malloc();
    struct foreign_set set;

    foreign_init(&set, GetProcessHeap());
    arm_errors();
    IMalloc_Free(malloc, NULL);
    CoTaskMemFree(NULL);
    for (size_t i = 0; i < LENGTH(set.foreign); i++)
        IMalloc_Free(malloc, set.foreign[i].pointer);
    expect_errors_kept("Free");
    require(HeapValidate(GetProcessHeap(), 0, set.block), "a live block was freed");
    foreign_finish(&set, GetProcessHeap());
}

Test(task_malloc, case_097_a_block_of_no_bytes_is_a_block)
{
    void *block = task_take(0);

    require(IMalloc_GetSize(task_malloc(), block) == 0, "it has a size");
    CoTaskMemFree(block);
}

Test(task_malloc, case_098_blocks_are_the_process_heaps)
{
    void *block = CoTaskMemAlloc(50);

    require(block && HeapValidate(GetProcessHeap(), 0, block), "not the process heap's");
    require(HeapFree(GetProcessHeap(), 0, block), "HeapFree refused it");
    block = take(GetProcessHeap(), 0, 50);
    CoTaskMemFree(block);
    require(!HeapValidate(GetProcessHeap(), 0, block), "CoTaskMemFree did not free");
}

Test(task_malloc, case_149_get_size_is_heap_size)
{
    IMalloc *malloc = task_malloc();
    SIZE_T step = 70001 / (repeats(70000) + 1) + 1;

    for (SIZE_T bytes = 0; bytes <= 70000; bytes += bytes < 100 ? 1 : step) {
        void *block = task_take(bytes);
        SIZE_T size = IMalloc_GetSize(malloc, block);
        require(size == bytes && HeapSize(GetProcessHeap(), 0, block) == size,
                "%zu bytes are %zu", bytes, size);
        IMalloc_Free(malloc, block);
    }
}

Test(task_malloc, case_151_a_request_of_27_occupies_32)
{
    void *block = task_take(27);

    size_t occupied = has_global_flag(0x10) ? 48 : 32;
    require(mh_usable_size(GetProcessHeap(), block) == occupied, "it occupies %zu",
            mh_usable_size(GetProcessHeap(), block));
    require(IMalloc_GetSize(task_malloc(), block) == 27 &&
                HeapSize(GetProcessHeap(), 0, block) == 27,
            "its size is not 27");
    CoTaskMemFree(block);
}

/* Live blocks, and as many gaps between them. */
Test(task_malloc, case_138_heap_minimize_moves_and_changes_nothing)
{
    enum { COUNT = 10000 };
    static void *blocks[COUNT], *gaps[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = task_take(i * 7 % 3000);
        stamp(blocks[i], i * 7 % 3000, i);
        gaps[i] = task_take(i % 500 ? i * 7 % 3000 : 70000);
    }
    for (size_t i = 0; i < COUNT; i++)
        CoTaskMemFree(gaps[i]);
    arm_errors();
    IMalloc_HeapMinimize(task_malloc());
    expect_errors_kept("HeapMinimize");
    for (size_t i = 0; i < COUNT; i++) {
        require(IMalloc_GetSize(task_malloc(), blocks[i]) == i * 7 % 3000,
                "block %zu has another size", i);
        require(stamp_is_intact(blocks[i], i * 7 % 3000, i), "block %zu changed", i);
        CoTaskMemFree(blocks[i]);
    }
}

Test(task_malloc, results_compare_equal_where_long_has_64_bits)
{
    HRESULT results[] = {E_INVALIDARG, E_ACCESSDENIED, CO_E_OBJISREG, CO_E_OBJNOTREG,
                         E_NOINTERFACE};
    const uint32_t codes[] = {0x80070057, 0x80070005, 0x800401FC, 0x800401FB, 0x80004002};

    for (size_t i = 0; i < LENGTH(codes); i++) {
        require((uint32_t)results[i] == codes[i], "code %zu", i);
        require(FAILED(results[i]), "code %zu is no failure", i);
        require(!SUCCEEDED(results[i]), "code %zu is a success", i);
    }
    require(CoGetMalloc(0, &(IMalloc *){NULL}) == E_INVALIDARG, "not equal as returned");
    for (HRESULT result = S_OK; result <= S_FALSE; result++) {
        require(SUCCEEDED(result), "0x%x is no success", result);
        require(!FAILED(result), "0x%x is a failure", result);
    }
}

static uint64_t locks(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    require(mh_stats_get(&stats) == 0, "no stats");
    return stats.lock_acquisitions;
}

Test(task_malloc, without_a_spy_its_lock_is_left_alone)
{
    for (int i = 0; i < 100; i++)
        CoTaskMemFree(task_take(100));
    uint64_t before = locks();
    for (int i = 0; i < 10000; i++) {
        void *block = CoTaskMemRealloc(task_take(100), 105);
        require(IMalloc_GetSize(task_malloc(), block) == 105, "a wrong size");
        require(IMalloc_DidAlloc(task_malloc(), block) == 1, "it is not known");
        CoTaskMemFree(block);
    }
    /* A refill may have taken the arena's. */
    require(locks() - before < 1000, "%lu locks", (unsigned long)(locks() - before));
}

/* Slot order and sizes are the ABI. */
static_assert(offsetof(IMallocVtbl, Alloc) == 3 * sizeof(void *), "after IUnknown's");
static_assert(sizeof(IMallocVtbl) == 9 * sizeof(void *), "nine slots");
static_assert(sizeof(IMallocSpyVtbl) == 15 * sizeof(void *), "fifteen slots");
