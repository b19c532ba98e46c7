/* SPDX-License-Identifier: MIT */
/* The generated program's calls that allocate, change, free and judge blocks of heaps. */
#pragma once

#include "generated.h"

static void allocate(struct slot *slot)
{
    int number = any_heap();
    struct heap *heap = &heaps[number];
    BOOL is_over = heap->maximum && (chance(8) || is_full(heap));
    SIZE_T bytes =
        chance(100) ? too_large_size()
        : is_over   ? (heap->maximum > 0x100000 ? heap->maximum : 0x100000) + pick(100000)
                    : fitting_size(heap);
    DWORD flags = any_flags();
    char *block;
    CALL(block = HeapAlloc(heap->handle, flags, bytes));
    const char *held =
        block && flags & HEAP_ZERO_MEMORY ? zeros_or_not(block, bytes) : "";
    answer("HeapAlloc",
           bytes >> 40 ? "too-large"
           : is_over   ? "over-maximum"
                       : "ordinary",
           text("heap %d, slot %d, flags %lx, %llx", number, (int)(slot - slots),
                (unsigned long)flags, (unsigned long long)bytes),
           "%s %d %s", block_or_null(block), (int)((uintptr_t)block % 16), held);
    put(slot, number, block, bytes);
}

static void free_slot(struct slot *slot)
{
    HANDLE heap = heaps[slot->heap].handle;
    const char *place = where(slot), *held = contents(slot->block, slot->bytes);
    char *old = slot->block;
    BOOL freed;
    CALL(freed = HeapFree(heap, chance(4) ? HEAP_NO_SERIALIZE : 0, old));
    answer("HeapFree", "ordinary", place, "%s %s", truth(freed), held);
    drop(slot);
    if (!chance(8))
        return;
    BOOL valid;
    CALL(valid = HeapValidate(heap, 0, old));
    answer("HeapValidate", "freed", place, "%s", truth(valid));
}

/* The size to come; 0 for a fixed-size heap that might not have room for both blocks. */
static SIZE_T next_size(const struct slot *slot)
{
    const struct heap *heap = &heaps[slot->heap];
    return chance(80) && !heap->maximum ? too_large_size() : fitting_size(heap);
}

static void resize(struct slot *slot, DWORD flags, SIZE_T bytes)
{
    HANDLE heap = heaps[slot->heap].handle;
    SIZE_T kept = slot->bytes < bytes ? slot->bytes : bytes;
    const char *question = text("%s, flags %lx, to %llx", where(slot),
                                (unsigned long)flags, (unsigned long long)bytes);
    char *block;
    CALL(block = HeapReAlloc(heap, flags, slot->block, bytes));
    const char *rest =
        block && flags & HEAP_ZERO_MEMORY ? zeros_or_not(block + kept, bytes - kept) : "";
    const char *held = block ? contents(block, kept) : contents(slot->block, slot->bytes);
    answer("HeapReAlloc", bytes >> 40 ? "too-large" : "ordinary", question, "%s %s %s",
           block_or_null(block), held, rest);
    if (!block)
        return;
    int number = slot->heap;
    drop(slot);
    put(slot, number, block, bytes);
}

/*
 * In place: to shrink always works, but of Wine's large blocks; to grow may fail. Without
 * that flag it then works, so that both go on from the same state.
 */
static void resize_in_place(struct slot *slot)
{
    HANDLE heap = heaps[slot->heap].handle;
    SIZE_T old = slot->bytes,
           bytes = chance(2) ? pick((unsigned)old + 1) : next_size(slot);
    if (bytes >> 40)
        bytes = old;
    BOOL shrinks = bytes <= old, wide = old >= 0x40000 && bytes < 0x40000;
    DWORD flags = any_flags();
    uint64_t before = hash(slot->block, shrinks ? bytes : old);
    const char *question = text("%s to %llx", where(slot), (unsigned long long)bytes);
    char *same;
    CALL(same =
             HeapReAlloc(heap, flags | HEAP_REALLOC_IN_PLACE_ONLY, slot->block, bytes));
    SIZE_T left = HeapSize(heap, 0, slot->block);
    BOOL is_done = same == slot->block && left == bytes;
    BOOL is_refused = !same && left == old;
    BOOL is_told = error_now == (is_done ? SENTINEL : ERROR_NOT_ENOUGH_MEMORY);
    if (!shrinks) {
        tell("HeapReAlloc", "grow-in-place", question, "%s, %s, %s",
             is_done || is_refused ? "done or refused" : "neither done nor refused",
             is_told ? "the right error" : "another error",
             hash(slot->block, old) == before ? "contents kept" : "contents lost");
    } else {
        answer("HeapReAlloc", wide ? "large-to-small-in-place" : "shrink-in-place",
               question, "%s, %s",
               same == slot->block ? "the same block" : block_or_null(same),
               left == bytes ? "as small as asked"
               : left == old ? "as it was"
                             : "of a third size");
        tell("HeapReAlloc", "shrink-in-place", "contents", "%s",
             hash(slot->block, bytes) == before ? "kept" : "lost");
    }
    resize(slot, flags, bytes);
}

static void judge(struct slot *slot)
{
    HANDLE heap = heaps[slot->heap].handle;
    const char *place = where(slot);
    SIZE_T bytes;
    BOOL valid;
    CALL(bytes = HeapSize(heap, 0, slot->block));
    answer("HeapSize", "ordinary", place, "%s", size_or_failure(bytes));
    CALL(valid = HeapValidate(heap, chance(2), slot->block));
    answer("HeapValidate", "ordinary", place, "%s", truth(valid));
    if (slot->bytes < 2)
        return;
    SIZE_T inside = 1 + pick((unsigned)slot->bytes - 1);
    CALL(valid = HeapValidate(heap, 0, slot->block + inside));
    answer("HeapValidate", "interior",
           text("%s + %llx", place, (unsigned long long)inside), "%s", truth(valid));
}

/*
 * What is no block of the heap: NULL, a static one, another heap's. Not a large one: Wine
 * takes those from any heap.
 */
static void refuse(struct slot *slot)
{
    int number = any_heap();
    BOOL is_others = slot->block && slot->heap != number && slot->bytes < 32768;
    HANDLE heap = heaps[number].handle;
    const char *input = is_others ? "other-heaps" : "foreign";
    char *pointer = is_others ? slot->block : elsewhere + ELSEWHERE / 2 + pick(64) * 16;
    const char *question = text("heap %d of slot %d", number, (int)(slot - slots));
    void *block;
    BOOL done;
    SIZE_T bytes;
    CALL(done = HeapFree(heap, 0, pointer));
    answer("HeapFree", input, question, "%s", truth(done));
    CALL(bytes = HeapSize(heap, 0, pointer));
    answer("HeapSize", input, question, "%s", size_or_failure(bytes));
    CALL(done = HeapValidate(heap, 0, pointer));
    answer("HeapValidate", input, question, "%s", truth(done));
    CALL(block = HeapReAlloc(heap, any_flags(), pointer, any_size()));
    answer("HeapReAlloc", input, question, "%s", block_or_null(block));
    CALL(block = HeapReAlloc(heap, any_flags(), NULL, any_size()));
    answer("HeapReAlloc", "null-block", question, "%s", block_or_null(block));
    CALL(done = HeapFree(chance(4) ? NULL : heap, 0, NULL));
    answer("HeapFree", "null-block", question, "%s", truth(done));
    CALL(block = HeapAlloc(NULL, any_flags(), any_size()));
    answer("HeapAlloc", "null-heap", question, "%s", block_or_null(block));
    if (!slot->block)
        return;
    CALL(block = HeapReAlloc(NULL, any_flags(), slot->block, any_size()));
    answer("HeapReAlloc", "null-heap", question, "%s", block_or_null(block));
}

static void block_step(struct slot *slot)
{
    unsigned what = pick(100);
    if (what < 3)
        refuse(slot);
    else if (!slot->block)
        allocate(slot);
    else if (slot->is_task)
        judge(slot);
    else if (what < 40)
        free_slot(slot);
    else if (what < 70)
        resize(slot, any_flags(), next_size(slot));
    else if (what < 80)
        resize_in_place(slot);
    else
        judge(slot);
}
