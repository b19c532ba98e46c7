/* SPDX-License-Identifier: MIT */
/*
 * HeapValidate. Spec 2.7 and cases 51 to 53. It never touches the last error.
 */
#include "foreign.h"

HEAP_CASE(heap_validate, case_052_static_buffer_is_no_block)
{
    alignas(16) static char buffer[64];

    arm_errors();
    BOOL valid = HeapValidate(heap, 0, buffer);
    expect_errors_kept("HeapValidate of a static buffer");
    require(valid == FALSE, "a static buffer validates");
}

HEAP_CASE(heap_validate, case_053_freed_block_is_no_block)
{
    const size_t sizes[] = {0, 1, 100, 5000, 50000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(heap, 0, sizes[i]);
        give_back(heap, block);
        arm_errors();
        BOOL valid = HeapValidate(heap, 0, block);
        expect_errors_kept("HeapValidate of a freed block");
        require(valid == FALSE, "a freed block of %zu bytes validates", sizes[i]);
    }
}

HEAP_CASE(heap_validate, live_blocks_validate)
{
    const size_t sizes[] = {0, 1, 100, 5000, 50000, 2 * MIB};

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        void *block = take(heap, 0, sizes[i]);
        arm_errors();
        BOOL valid = HeapValidate(heap, 0, block);
        expect_errors_kept("HeapValidate of a live block");
        require(valid == TRUE, "a live block of %zu bytes does not validate", sizes[i]);
        give_back(heap, block);
    }
}

HEAP_CASE(heap_validate, foreign_pointers_do_not_validate)
{
    struct foreign_set set;

    foreign_init(&set, heap);
    for (size_t i = 0; i < FOREIGN_COUNT; i++) {
        const struct foreign *foreign = &set.foreign[i];
        arm_errors();
        BOOL valid = HeapValidate(heap, 0, foreign->pointer);
        expect_errors_kept(foreign->what);
        require(valid == FALSE, "%s validates", foreign->what);
    }
    require(HeapValidate(set.other_heap, 0, set.foreign[3].pointer),
            "the other heap's block does not validate in its own heap");
    foreign_finish(&set, heap);
}

Test(heap_validate, bad_handles_do_not_validate)
{
    void *block = take(GetProcessHeap(), 0, 10);

    arm_errors();
    BOOL valid = HeapValidate(NULL, 0, block);
    expect_errors_kept("HeapValidate with no heap");
    require(valid == FALSE, "a block validates in no heap");
    give_back(GetProcessHeap(), block);
}

HEAP_CASE(heap_validate, case_051_a_whole_heap_validates)
{
    void *blocks[2000];
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        blocks[i] = take(heap, 0, i % 100 ? i * 3 : i * 100);
        if (i % 97)
            continue;
        arm_errors();
        BOOL valid = HeapValidate(heap, 0, NULL);
        expect_errors_kept("HeapValidate of the heap");
        require(valid == TRUE, "the heap does not validate with %zu blocks", i);
    }
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        give_back(heap, blocks[i]);
        if (i % 97)
            continue;
        require(HeapValidate(heap, 0, NULL), "it does not after %zu frees", i);
        require(HeapValidate(heap, HEAP_NO_SERIALIZE, NULL), "nor without the lock");
    }
}

Test(heap_validate, case_051_a_new_heap_validates)
{
    HANDLE heaps[] = {create_heap(0), create_heap(HEAP_NO_SERIALIZE)};
    for (size_t i = 0; i < LENGTH(heaps); i++) {
        arm_errors();
        BOOL valid = HeapValidate(heaps[i], 0, NULL);
        expect_errors_kept("HeapValidate of the heap");
        require(valid == TRUE, "it does not");
        destroy_heap(heaps[i]);
        require(!HeapValidate(heaps[i], 0, NULL), "a dead heap validates");
    }
}
