/* SPDX-License-Identifier: MIT */
/*
 * HEAP_GENERATE_EXCEPTIONS: what is raised, and what is left behind: the block that was
 * to be resized, and a heap that serves as before.
 */
#include "raise.h"

enum { UNIT = 0x40000, PLAIN = 0x30000, LARGE = 0x180000 };

static const SIZE_T too_large[] = {(SIZE_T)-1,      (SIZE_T)-8,     (SIZE_T)-16,
                                   (SIZE_T)-64,     (SIZE_T)-4096,  (SIZE_T)-65537,
                                   (SIZE_T)1 << 62, (SIZE_T)1 << 47};
enum { TOO_LARGE = sizeof too_large / sizeof too_large[0] };

static char elsewhere[4 << 20]; /* no heap's; a foreign pointer points into its middle */

static const char *question(DWORD flags, SIZE_T bytes)
{
    return text("flags %lx, %llx", (unsigned long)flags, (unsigned long long)bytes);
}

static char *allocate(const char *input, HANDLE heap, DWORD flags, SIZE_T bytes)
{
    char *block = try_alloc(heap, flags, bytes);
    answer("HeapAlloc", input, question(flags, bytes), "%s %s", block_or_raised(block),
           block && flags & HEAP_ZERO_MEMORY ? zeros_or_not(block, bytes) : "");
    if (block)
        fill(block, bytes, bytes);
    return block;
}

static void say_block(const char *input, HANDLE heap, const char *block, SIZE_T kept)
{
    SIZE_T bytes;
    BOOL valid;
    CALL(bytes = HeapSize(heap, HEAP_GENERATE_EXCEPTIONS, block));
    answer("HeapSize", input, "", "%s %s", size_or_failure(bytes), contents(block, kept));
    CALL(valid = HeapValidate(heap, 0, block));
    answer("HeapValidate", input, "", "%s", truth(valid));
}

/* Where the block is now; whatever happened, it is one, and holds what it held. */
static char *resize(const char *input, HANDLE heap, DWORD flags, char *block, SIZE_T from,
                    SIZE_T to)
{
    char *other = try_realloc(heap, flags, block, to);
    const char *place =
        flags & HEAP_REALLOC_IN_PLACE_ONLY && other && other != block ? "moved" : "";
    answer("HeapReAlloc", input,
           text("%llx, %s", (unsigned long long)from, question(flags, to)), "%s %s",
           block_or_raised(other), place);
    say_block(input, heap, other ? other : block, other && to < from ? to : from);
    return other ? other : block;
}

static void release(HANDLE heap, char *block)
{
    BOOL freed;
    CALL(freed = HeapFree(heap, HEAP_GENERATE_EXCEPTIONS, block));
    answer("HeapFree", "ordinary", "", "%s", truth(freed));
}

/* The heap serves as before: without a flag, and as a whole. */
static void say_usable(HANDLE heap)
{
    BOOL valid;
    CALL(valid = HeapValidate(heap, 0, NULL));
    answer("HeapValidate", "whole", "", "%s", truth(valid));
    char *block = allocate("ordinary", heap, 0, 100);
    block = resize("ordinary", heap, 0, block, 100, 3000);
    release(heap, block);
}

/* Sizes that nothing has room for, given to HeapAlloc and to a block of `bytes`. */
static void too_much(HANDLE heap, DWORD flags, SIZE_T bytes)
{
    char *block = allocate("ordinary", heap, 0, bytes);
    for (int i = 0; i < TOO_LARGE; i++) {
        allocate("too-large", heap, flags, too_large[i]);
        block = resize("too-large", heap, flags, block, bytes, too_large[i]);
        block = resize("too-large", heap, flags | HEAP_REALLOC_IN_PLACE_ONLY, block,
                       bytes, too_large[i]);
    }
    release(heap, block);
    say_usable(heap);
}

/* Of one call alone: the next one without it returns NULL. Of a heap that has it not. */
static void one_call(HANDLE heap)
{
    char *block = allocate("ordinary", heap, 0, 500);
    for (int i = 0; i < TOO_LARGE; i++) {
        allocate("too-large", heap, HEAP_GENERATE_EXCEPTIONS, too_large[i]);
        allocate("too-large", heap, 0, too_large[i]);
        block =
            resize("too-large", heap, HEAP_GENERATE_EXCEPTIONS, block, 500, too_large[i]);
        block = resize("too-large", heap, 0, block, 500, too_large[i]);
    }
    release(heap, block);
}

/* The flag is nothing to calls that succeed. */
static void success(HANDLE heap, DWORD flags)
{
    static const SIZE_T sizes[] = {0, 1, 27, 100, 1016, 4097, 30720, 65536, 131072};
    char *block = allocate("ordinary", heap, flags, 64);
    SIZE_T from = 64;
    for (unsigned i = 0; i < 9; i++) {
        release(heap, allocate("ordinary", heap, flags | HEAP_ZERO_MEMORY, sizes[i]));
        block = resize("ordinary", heap, flags, block, from, sizes[i]);
        fill(block, sizes[i], i);
        from = sizes[i];
    }
    block = resize("ordinary", heap, flags | HEAP_REALLOC_IN_PLACE_ONLY, block, from,
                   from - 20000);
    block = resize("ordinary", heap, flags, block, from - 20000, 30);
    release(heap, block);
}

/* A heap may have room behind the block or not: either it grows there, or it raises. */
static void in_place(HANDLE heap, DWORD flags)
{
    char *blocks[8], *same;
    for (int i = 0; i < 8; i++)
        blocks[i] = allocate("ordinary", heap, flags, 48);
    for (SIZE_T to = 49; to < 20000; to = to * 3 + 1) {
        same = try_realloc(heap, flags | HEAP_REALLOC_IN_PLACE_ONLY, blocks[2], to);
        BOOL is_done = !raised && same == blocks[2] && HeapSize(heap, 0, same) == to;
        BOOL is_raised =
            raised == (DWORD)STATUS_NO_MEMORY && HeapSize(heap, 0, blocks[2]) == 48;
        tell("HeapReAlloc", "grow-in-place", question(flags, to), "%s, %s",
             is_done || is_raised ? "done or raised" : "neither done nor raised",
             contents(blocks[2], 48));
        resize("ordinary", heap, flags | HEAP_REALLOC_IN_PLACE_ONLY, blocks[2], 48, 48);
    }
    for (int i = 0; i < 8; i++)
        release(heap, blocks[i]);
}

/* More than the maximum, more than one block may have, and nothing left at all. */
static void fixed(DWORD creation, DWORD flags)
{
    static char *blocks[2000];
    HANDLE heap = HeapCreate(creation, 0, UNIT);
    char *block = allocate("fixed", heap, flags, 0x1000);
    allocate("over-maximum", heap, flags, UNIT);
    allocate("over-maximum", heap, flags, 0x100000);
    block = resize("over-maximum", heap, flags, block, 0x1000, UNIT);
    block = resize("over-maximum", heap, flags | HEAP_REALLOC_IN_PLACE_ONLY, block,
                   0x1000, 0x100000);
    too_much(heap, flags, 1000);
    int count = 0;
    do
        blocks[count] = try_alloc(heap, flags, 1000);
    while (blocks[count] && ++count < 2000);
    tell("HeapAlloc", "until-full", "", "raised %08lx, %s", (unsigned long)raised,
         count > 60 && count < 262 ? "a quarter at least" : "too few or too many");
    allocate("over-maximum", heap, flags, 100000);
    block = resize("over-maximum", heap, flags, block, 0x1000, 0x20000);
    for (int i = 0; i < count; i++)
        HeapFree(heap, 0, blocks[i]);
    HeapCompact(heap, 0);
    block = resize("fixed", heap, flags, block, 0x1000, 0x10000);
    release(heap, block);
    say_usable(heap);
    HeapDestroy(heap);
}

/* Functions that the flag is nothing to. */
static void others(HANDLE heap)
{
    BOOL done;
    CALL(done = HeapFree(heap, HEAP_GENERATE_EXCEPTIONS, NULL));
    answer("HeapFree", "null-block", "", "%s", truth(done));
    CALL(done =
             HeapFree(heap, HEAP_GENERATE_EXCEPTIONS, elsewhere + sizeof elsewhere / 2));
    answer("HeapFree", "foreign", "", "%s", truth(done));
    say_block("foreign", heap, elsewhere + sizeof elsewhere / 2, 0);
    HANDLE other;
    CALL(other = HeapCreate(HEAP_GENERATE_EXCEPTIONS, (SIZE_T)-1, 0));
    answer("HeapCreate", "too-large", "", "%s", heap_or_null(other));
    CALL(done = HeapLock(heap));
    answer("HeapLock", "ordinary", "", "%s", truth(done));
    allocate("too-large", heap, HEAP_GENERATE_EXCEPTIONS, (SIZE_T)-1);
    CALL(done = HeapUnlock(heap));
    answer("HeapUnlock", "ordinary", "", "%s", truth(done));
}

static void all(DWORD creation, DWORD flags)
{
    HANDLE heap = HeapCreate(creation, 0, 0);
    success(heap, flags);
    too_much(heap, flags, 100);
    too_much(heap, flags, PLAIN);
    too_much(heap, flags, LARGE);
    in_place(heap, flags);
    others(heap);
    if (!(creation & HEAP_GENERATE_EXCEPTIONS))
        one_call(heap);
    fixed(creation, flags);
    HeapDestroy(heap);
}

/* With the heap's flag alone only calls that succeed: Wine 8 does not raise by it. */
static void by_creation(DWORD flags)
{
    HANDLE heap = HeapCreate(HEAP_GENERATE_EXCEPTIONS | flags, 0, 0);
    success(heap, flags);
    say_usable(heap);
    HeapDestroy(heap);
}

int main(void)
{
    begin_report();
    begin_raising();
    all(0, HEAP_GENERATE_EXCEPTIONS);
    all(HEAP_GENERATE_EXCEPTIONS, HEAP_GENERATE_EXCEPTIONS | HEAP_ZERO_MEMORY);
    all(HEAP_NO_SERIALIZE, HEAP_GENERATE_EXCEPTIONS);
    by_creation(0);
    by_creation(HEAP_NO_SERIALIZE);
    success(GetProcessHeap(), HEAP_GENERATE_EXCEPTIONS);
    too_much(GetProcessHeap(), HEAP_GENERATE_EXCEPTIONS, 100);
    return end_report();
}
