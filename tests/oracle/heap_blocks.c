/* SPDX-License-Identifier: MIT */
/* HeapAlloc, HeapReAlloc, HeapFree, HeapSize and HeapValidate of one block. */
#include "say.h"

static const SIZE_T sizes[] = {0,      1,      7,      8,       15,     16,    17,
                               27,     31,     32,     33,      100,    1000,  1016,
                               4095,   4096,   4097,   30719,   30720,  30721, 65536,
                               262144, 524288, 700000, 1048576, 1310721};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static const SIZE_T too_large[] = {(SIZE_T)-1,      (SIZE_T)-8,     (SIZE_T)-16,
                                   (SIZE_T)-64,     (SIZE_T)-4096,  (SIZE_T)-65537,
                                   (SIZE_T)1 << 62, (SIZE_T)1 << 47};
enum { TOO_LARGE = sizeof too_large / sizeof too_large[0] };

static char elsewhere[4 << 20]; /* no heap's; foreign pointers point into its middle */

static const char *number(SIZE_T value)
{
    return text("%llx", (unsigned long long)value);
}

static void say_size(const char *input, HANDLE heap, const void *block)
{
    SIZE_T bytes;
    CALL(bytes = HeapSize(heap, 0, block));
    answer("HeapSize", input, "", "%s", size_or_failure(bytes));
}

static void say_validity(const char *input, HANDLE heap, const void *block)
{
    BOOL valid;
    CALL(valid = HeapValidate(heap, 0, block));
    answer("HeapValidate", input, "", "%s", truth(valid));
}

static void free_block(const char *input, HANDLE heap, void *block)
{
    BOOL freed;
    CALL(freed = HeapFree(heap, 0, block));
    answer("HeapFree", input, "", "%s", truth(freed));
}

static void allocate(HANDLE heap, DWORD flags)
{
    for (int i = 0; i < SIZES; i++) {
        char *block;
        CALL(block = HeapAlloc(heap, flags, sizes[i]));
        const char *held =
            block && flags & HEAP_ZERO_MEMORY ? zeros_or_not(block, sizes[i]) : "";
        answer("HeapAlloc", "ordinary",
               text("flags %lx, %s", (unsigned long)flags, number(sizes[i])), "%s %d %s",
               block_or_null(block), (int)((uintptr_t)block % 16), held);
        say_size("ordinary", heap, block);
        say_validity("ordinary", heap, block);
        fill(block, sizes[i], (uint64_t)i);
        free_block("ordinary", heap, block);
        say_validity("freed", heap, block);
    }
}

static void refuse_to_allocate(HANDLE heap)
{
    void *block;
    for (int i = 0; i < TOO_LARGE; i++)
        for (DWORD flags = 0; flags <= HEAP_ZERO_MEMORY; flags += HEAP_ZERO_MEMORY) {
            CALL(block = HeapAlloc(heap, flags, too_large[i]));
            answer("HeapAlloc", "too-large", number(too_large[i]), "%s",
                   block_or_null(block));
        }
    CALL(block = HeapAlloc(NULL, 0, 16));
    answer("HeapAlloc", "null-heap", "", "%s", block_or_null(block));
}

/* Flags that HeapAlloc does not know, and those of other functions. */
static void ignore_flags(HANDLE heap)
{
    static const DWORD flags[] = {0x2,           0x10, 0x12,         0x100,   0x200,
                                  0x300,         0x80, 0x10000,      0x20000, 0x40000,
                                  0xC00 | 0x100, 0x4,  0xC00 | 0x200};
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        void *block;
        CALL(block = HeapAlloc(heap, flags[i], 40));
        answer("HeapAlloc", "other-flags", number(flags[i]), "%s", block_or_null(block));
        say_size("other-flags", heap, block);
        BOOL freed;
        CALL(freed = HeapFree(heap, flags[i] & ~0xC00u, block));
        answer("HeapFree", "other-flags", number(flags[i]), "%s", truth(freed));
    }
}

/* From each size to each other one, and on to what was kept and what is zero. */
static void reallocate(HANDLE heap, DWORD flags)
{
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++) {
            SIZE_T from = sizes[i], to = sizes[j], kept = from < to ? from : to;
            char *block = HeapAlloc(heap, 0, from);
            fill(block, from, (uint64_t)(i * SIZES + j));
            CALL(block = HeapReAlloc(heap, flags, block, to));
            const char *rest = block && flags & HEAP_ZERO_MEMORY
                                   ? zeros_or_not(block + kept, to - kept)
                                   : "";
            answer("HeapReAlloc", "ordinary",
                   text("flags %lx, %s to %s", (unsigned long)flags, number(from),
                        number(to)),
                   "%s %s %s", block_or_null(block), block ? contents(block, kept) : "",
                   rest);
            say_size("reallocated", heap, block);
            HeapFree(heap, 0, block);
        }
}

/* What is dropped and comes back is zero, to the byte. */
static void shrink_and_grow(HANDLE heap)
{
    for (SIZE_T most = 1; most < 70000; most = most * 2 + 5)
        for (SIZE_T least = 0; least < most; least = least * 3 + 1) {
            char *block = HeapAlloc(heap, 0, most);
            fill(block, most, most + least);
            block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, least);
            CALL(block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, most));
            answer("HeapReAlloc", "regrown",
                   text("%s by way of %s", number(most), number(least)), "%s %s",
                   contents(block, least), zeros_or_not(block + least, most - least));
            HeapFree(heap, 0, block);
        }
}

/* The steps of case 35, up and down. */
static void climb(HANDLE heap)
{
    SIZE_T bytes = 0x78000;
    char *block = HeapAlloc(heap, 0, bytes);
    memset(block, 0xFA, bytes);
    for (int step = 0; step < 2 * 0x180; step++) {
        SIZE_T next = step < 0x180 ? bytes + 0x100 : bytes - 0x100;
        SIZE_T kept = next < bytes ? next : bytes;
        CALL(block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, next));
        answer("HeapReAlloc", "climb", number(next), "%s %s %s", block_or_null(block),
               contents(block, kept), zeros_or_not(block + kept, next - kept));
        memset(block, 0xFA, next);
        bytes = next;
    }
    free_block("ordinary", heap, block);
}

/* To shrink in place always works; to grow in place, only sometimes: not asked. */
static void shrink_in_place(HANDLE heap)
{
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j <= i; j++) {
            char *block = HeapAlloc(heap, 0, sizes[i]), *same;
            fill(block, sizes[i], (uint64_t)j);
            CALL(same = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, sizes[j]));
            SIZE_T left = HeapSize(heap, 0, block);
            BOOL wide = sizes[i] >= 0x7F000 && sizes[j] < 0x40000;
            answer("HeapReAlloc", wide ? "large-to-small-in-place" : "shrink-in-place",
                   text("%s to %s", number(sizes[i]), number(sizes[j])), "%s, %s",
                   same == block ? "the same block" : block_or_null(same),
                   left == sizes[j]   ? "as small as asked"
                   : left == sizes[i] ? "as it was"
                                      : "of a third size");
            if (!wide)
                tell("HeapReAlloc", "shrink-in-place", "contents", "%s",
                     contents(block, sizes[j]));
            HeapFree(heap, 0, block);
        }
}

static void refuse_to_reallocate(HANDLE heap)
{
    void *block;
    CALL(block = HeapReAlloc(heap, 0, NULL, 1));
    answer("HeapReAlloc", "null-block", "1 byte", "%s", block_or_null(block));
    CALL(block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, NULL, 256));
    answer("HeapReAlloc", "null-block", "256 bytes", "%s", block_or_null(block));
    CALL(block = HeapReAlloc(heap, 0, elsewhere + sizeof elsewhere / 2, 16));
    answer("HeapReAlloc", "foreign", "", "%s", block_or_null(block));
    for (int i = 0; i < SIZES; i++) {
        char *old = HeapAlloc(heap, 0, sizes[i]);
        fill(old, sizes[i], 7);
        for (int j = 0; j < TOO_LARGE; j++)
            for (DWORD flags = 0; flags <= HEAP_REALLOC_IN_PLACE_ONLY; flags += 8) {
                CALL(block = HeapReAlloc(heap, flags, old, too_large[j]));
                answer("HeapReAlloc", "too-large",
                       text("%s to %s, flags %lx", number(sizes[i]), number(too_large[j]),
                            (unsigned long)flags),
                       "%s", block_or_null(block));
            }
        tell("HeapReAlloc", "too-large", "contents", "%s", contents(old, sizes[i]));
        say_size("reallocated", heap, old);
        say_validity("ordinary", heap, old);
        CALL(block = HeapReAlloc(NULL, 0, old, 16));
        answer("HeapReAlloc", "null-heap", "", "%s", block_or_null(block));
        free_block("ordinary", heap, old);
    }
}

static void refuse_pointers(HANDLE heap, HANDLE other)
{
    char *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 4096), *large;
    large = HeapAlloc(heap, HEAP_ZERO_MEMORY, 1 << 21);
    char *middle = elsewhere + sizeof elsewhere / 2;
    static const int inside[] = {1, 4, 8, 15, 16, 32, 48, 64, 1024};
    free_block("null-block", heap, NULL);
    free_block("null-block", NULL, NULL);
    free_block("foreign", heap, middle);
    free_block("foreign", heap, (void *)1);
    free_block("other-heaps", other, block);
    say_size("foreign", heap, middle);
    say_size("other-heaps", other, block);
    say_validity("foreign", heap, middle);
    say_validity("foreign", heap, (void *)1);
    say_validity("foreign", heap, (void *)0xDEADBE00);
    say_validity("other-heaps", other, block);
    say_validity("other-heaps", other, large);
    say_validity("whole", heap, NULL);
    say_validity("null-heap", NULL, NULL);
    for (unsigned i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        free_block("interior", heap, block + inside[i]);
        say_size("interior", heap, block + inside[i]);
        say_validity("interior", heap, block + inside[i]);
        void *got;
        CALL(got = HeapReAlloc(heap, 0, block + inside[i], 16));
        answer("HeapReAlloc", "interior", "", "%s", block_or_null(got));
    }
    say_validity("ordinary", heap, block);
    say_validity("ordinary", heap, large);
    say_size("ordinary", heap, block);
    free_block("ordinary", heap, large);
    free_block("ordinary", heap, block);
    say_validity("freed", heap, block);
    free_block("freed", heap, block);
    say_size("freed", heap, block);
    say_validity("whole", heap, NULL);
}

int main(void)
{
    begin_report();
    HANDLE heaps[] = {GetProcessHeap(), HeapCreate(0, 0, 0),
                      HeapCreate(HEAP_NO_SERIALIZE, 100000, 0)};
    for (int i = 0; i < 3; i++) {
        allocate(heaps[i], 0);
        allocate(heaps[i], HEAP_NO_SERIALIZE | HEAP_ZERO_MEMORY);
        reallocate(heaps[i], i == 1 ? HEAP_NO_SERIALIZE : 0);
        reallocate(heaps[i], HEAP_ZERO_MEMORY);
        refuse_to_allocate(heaps[i]);
        ignore_flags(heaps[i]);
        shrink_and_grow(heaps[i]);
        climb(heaps[i]);
        shrink_in_place(heaps[i]);
        refuse_to_reallocate(heaps[i]);
        refuse_pointers(heaps[i], heaps[(i + 1) % 3]);
    }
    return end_report();
}
