/* SPDX-License-Identifier: MIT */
/*
 * Heaps of a fixed size: what certainly fits and what certainly does not. How much of the
 * maximum is bookkeeping, is the allocator's; Windows takes between 0x600 and 0xC00.
 */
#include "say.h"

enum { UNIT = 0x40000 };

static const char *number(SIZE_T value)
{
    return text("%llx", (unsigned long long)value);
}

static HANDLE create(const char *input, DWORD flags, SIZE_T initial, SIZE_T maximum)
{
    HANDLE heap;
    CALL(heap = HeapCreate(flags, initial, maximum));
    answer(
        "HeapCreate", input,
        text("flags %lx, %s, %s", (unsigned long)flags, number(initial), number(maximum)),
        "%s %d", heap_or_null(heap), (int)((uintptr_t)heap % 65536));
    return heap;
}

static char *allocate(const char *input, HANDLE heap, SIZE_T bytes)
{
    char *block;
    CALL(block = HeapAlloc(heap, HEAP_ZERO_MEMORY, bytes));
    answer("HeapAlloc", input, number(bytes), "%s %s", block_or_null(block),
           block ? zeros_or_not(block, bytes) : "");
    if (block) {
        tell("HeapSize", "fixed", "", "%s", size_or_failure(HeapSize(heap, 0, block)));
        fill(block, bytes, bytes);
    }
    return block;
}

static char *resize(const char *input, HANDLE heap, DWORD flags, char *block, SIZE_T from,
                    SIZE_T to)
{
    SIZE_T kept = from < to ? from : to;
    char *other;
    CALL(other = HeapReAlloc(heap, flags, block, to));
    const char *rest =
        other && flags & HEAP_ZERO_MEMORY ? zeros_or_not(other + kept, to - kept) : "";
    answer("HeapReAlloc", input, text("%s to %s", number(from), number(to)),
           "%s %s %s %s",
           other && flags & HEAP_REALLOC_IN_PLACE_ONLY && other != block
               ? "moved"
               : block_or_null(other),
           contents(other ? other : block, other ? kept : from), rest,
           size_or_failure(HeapSize(heap, 0, other ? other : block)));
    return other ? other : block;
}

static void release(HANDLE heap, char *block)
{
    BOOL freed;
    CALL(freed = HeapFree(heap, 0, block));
    answer("HeapFree", "fixed", "", "%s", truth(freed));
}

/* Case 43: more than Windows leaves of the maximum, less than Wine does. */
static void last_page(HANDLE heap)
{
    char *block;
    CALL(block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 0x3FA00));
    answer("HeapAlloc", "last-page", "", "%s", block_or_null(block));
    HeapFree(heap, 0, block);
}

static void one_block(void)
{
    HANDLE heap = create("fixed", 0, UNIT, UNIT);
    for (SIZE_T bytes = 1; bytes <= 0x3F400; bytes = bytes * 3 + 5)
        release(heap, allocate("fixed", heap, bytes));
    release(heap, allocate("fixed", heap, 0x3F400));
    last_page(heap);
    allocate("over-maximum", heap, UNIT);
    allocate("over-maximum", heap, UNIT + 1);
    allocate("over-maximum", heap, 0x100000);
    allocate("too-large", heap, (SIZE_T)-1);
    allocate("fixed", heap, 0x3F000);
    allocate("over-maximum", heap, 0x2000);
    HeapDestroy(heap);
}

/* Cases 44 to 46: blocks near to the ceiling of one. */
static void ceiling(void)
{
    HANDLE heap = create("fixed", 0, 8 * UNIT, 8 * UNIT);
    release(heap, allocate("fixed", heap, 0));
    allocate("over-ceiling", heap, 4 * UNIT);
    char *block = allocate("fixed", heap, UNIT);
    allocate("over-ceiling", heap, 4 * UNIT);
    block = resize("fixed", heap, HEAP_ZERO_MEMORY, block, UNIT, 0x80000);
    fill(block, 0x80000, 3);
    block = resize("fixed-in-place", heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 0x80000,
                   0x60000);
    block = resize("fixed-in-place", heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 0x60000,
                   0x60000);
    block = resize("over-ceiling", heap, 0, block, 0x60000, 0x100000);
    release(heap, block);
    HeapDestroy(heap);
    heap = create("fixed", HEAP_NO_SERIALIZE, 0, 64 << 20);
    release(heap, allocate("fixed", heap, 0xFD000));
    allocate("over-ceiling", heap, 0xFFFF0);
    allocate("over-ceiling", heap, 0x100000);
    block = allocate("fixed", heap, 100);
    block = resize("over-ceiling", heap, 0, block, 100, 0x100000);
    block = resize("fixed", heap, HEAP_ZERO_MEMORY, block, 100, 70000);
    HeapDestroy(heap);
}

/*
 * Filled with blocks of one size until none fits; freed, and then half of it is one
 * block.
 */
static void fill_up(SIZE_T bytes)
{
    static void *blocks[70000];
    const SIZE_T maximum = 1 << 20;
    HANDLE heap = create("fixed", 0, 0, maximum);
    SIZE_T count = 0;
    while (count < 70000 && (blocks[count] = HeapAlloc(heap, 0, bytes)) != NULL)
        count++;
    SIZE_T held = count * bytes;
    tell("HeapAlloc", "until-full", number(bytes), "%s, %s",
         held <= maximum ? "within the maximum" : "over it",
         held >= maximum / 4 ? "a quarter at least" : "less than a quarter");
    CALL(blocks[count] = HeapAlloc(heap, 0, maximum / 2));
    answer("HeapAlloc", "over-maximum", "half, when full", "%s",
           block_or_null(blocks[count]));
    for (SIZE_T i = 0; i < count; i++)
        HeapFree(heap, 0, blocks[i]);
    HeapCompact(heap, 0);
    release(heap, allocate("fixed", heap, maximum / 2));
    HeapDestroy(heap);
}

/* Sizes of all kinds, in any order, a quarter of the maximum at most. */
static void mix(DWORD flags)
{
    enum { BLOCKS = 200 };
    static char *blocks[BLOCKS];
    static SIZE_T sizes[BLOCKS];
    HANDLE heap = create("fixed", flags, 0x10000, 4 << 20);
    memset(blocks, 0, sizeof blocks);
    for (unsigned i = 0; i < 40 * BLOCKS; i++) {
        unsigned at = i * 7919u % BLOCKS;
        SIZE_T bytes = (i * 2654435761u >> 8) % (i % 16 ? 3000 : 30000);
        if (!blocks[at]) {
            blocks[at] = allocate("fixed", heap, bytes);
        } else if (i % 3) {
            blocks[at] = resize("fixed", heap, i % 2 ? HEAP_ZERO_MEMORY : 0, blocks[at],
                                sizes[at], bytes);
            fill(blocks[at], bytes, i);
        } else {
            release(heap, blocks[at]);
            blocks[at] = NULL;
        }
        sizes[at] = bytes;
    }
    tell("HeapValidate", "whole", "fixed", "%s", truth(HeapValidate(heap, 0, NULL)));
    HeapDestroy(heap);
}

int main(void)
{
    begin_report();
    one_block();
    ceiling();
    fill_up(64);
    fill_up(1000);
    fill_up(20000);
    mix(0);
    mix(HEAP_NO_SERIALIZE);
    create("equal", 0, UNIT, UNIT);
    create("initial-over-maximum", 0, 0x50000, UNIT);
    return end_report();
}
