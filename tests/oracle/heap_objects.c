/* SPDX-License-Identifier: MIT */
/* Heaps as such: HeapCreate, HeapDestroy, GetProcessHeap(s), HeapLock, HeapCompact. */
#include "say.h"

static void destroy(const char *input, HANDLE heap)
{
    BOOL gone;
    CALL(gone = HeapDestroy(heap));
    answer("HeapDestroy", input, "", "%s", truth(gone));
}

/* All flags that HeapCreate knows, one by one and some together; not the checking flags,
 * which molehill honours and Windows does not. */
static void create(void)
{
    static const DWORD flags[] = {0,       0x1,     0x2,        0x4,     0x8,     0x80,
                                  0x100,   0x200,   0x300,      0x10000, 0x20000, 0x40000,
                                  0x40001, 0x70081, 0x12000000, 0x12};
    static const SIZE_T initial[] = {0, 1, 4096, 4097, 0x40000, 0x100000, 0x1000000};
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++)
        for (unsigned j = 0; j < sizeof initial / sizeof initial[0]; j++) {
            HANDLE heap;
            CALL(heap = HeapCreate(flags[i], initial[j], 0));
            answer("HeapCreate", "ordinary",
                   text("flags %lx, %llu bytes", (unsigned long)flags[i],
                        (unsigned long long)initial[j]),
                   "%s %d", heap_or_null(heap), (int)((uintptr_t)heap % 65536));
            char *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 1000);
            char *large = HeapAlloc(heap, 0, 2000000);
            tell("HeapAlloc", "ordinary", "1000 and 2000000", "%s %s",
                 zeros_or_not(block, 1000), block_or_null(large));
            destroy("ordinary", heap);
        }
    HANDLE heap;
    CALL(heap = HeapCreate(0, (SIZE_T)-1, 0));
    answer("HeapCreate", "too-large", "", "%s", heap_or_null(heap));
}

static void destroy_what_cannot_be(void)
{
    destroy("process-heap", GetProcessHeap());
    void *block;
    CALL(block = HeapAlloc(GetProcessHeap(), 0, 100));
    answer("HeapAlloc", "ordinary", "after that", "%s", block_or_null(block));
    HeapFree(GetProcessHeap(), 0, block);
    destroy("null-heap", NULL);
}

enum { HEAPS = 5, ROOM = 64 };

/* Where the heap stands in the list, among what the process had before. */
static int place(HANDLE heap, const HANDLE *list, int count)
{
    for (int i = 0; i < count; i++)
        if (list[i] == heap)
            return i;
    return -1;
}

static void list(void)
{
    HANDLE before[ROOM], heaps[HEAPS], after[ROOM];
    DWORD count, had, got;
    CALL(had = GetProcessHeaps(0, NULL));
    answer("GetProcessHeaps", "count", "", "%s", had >= 1 ? "some" : "none");
    CALL(count = GetProcessHeaps(ROOM, before));
    answer("GetProcessHeaps", "list", "", "%s", count == had ? "as many" : "others");
    tell("GetProcessHeap", "ordinary", "", "at %d",
         place(GetProcessHeap(), before, (int)count));
    tell("GetProcessHeap", "ordinary", "again", "%s",
         GetProcessHeap() == before[0] ? "the same" : "another");
    for (int i = 0; i < HEAPS; i++)
        heaps[i] = HeapCreate(i % 2 ? HEAP_NO_SERIALIZE : 0, 0, 0);
    CALL(got = GetProcessHeaps(ROOM, after));
    answer("GetProcessHeaps", "list", "five more", "%d more", (int)(got - had));
    int in_order = 1, known = 0;
    for (int i = 0; i < HEAPS; i++) {
        known += place(heaps[i], after, (int)got) >= 0;
        in_order &= place(heaps[i], after, (int)got) == (int)had + i;
    }
    tell("GetProcessHeaps", "list", "five more", "%d of them listed", known);
    tell("GetProcessHeaps", "order-of-creation", "", "%s",
         in_order ? "as created" : "in another order");
    HANDLE one[2] = {NULL, NULL};
    CALL(got = GetProcessHeaps(1, one));
    answer("GetProcessHeaps", "short-buffer", "", "%d more, %s, %s", (int)(got - had),
           one[0] == GetProcessHeap() ? "the process heap" : "nothing",
           one[1] ? "and beyond" : "not beyond");
    for (int i = HEAPS - 1; i >= 0; i--)
        destroy("ordinary", heaps[i]);
    CALL(got = GetProcessHeaps(ROOM, after));
    answer("GetProcessHeaps", "list", "and without them", "%d more", (int)(got - had));
}

static void lock(DWORD flags)
{
    HANDLE heap = HeapCreate(flags, 0, 0);
    BOOL done;
    for (int depth = 0; depth < 3; depth++) {
        CALL(done = HeapLock(heap));
        answer("HeapLock", "ordinary", text("depth %d", depth), "%s", truth(done));
    }
    char *block;
    CALL(block = HeapAlloc(heap, 0, 500));
    answer("HeapAlloc", "ordinary", "locked", "%s", block_or_null(block));
    CALL(block = HeapReAlloc(heap, 0, block, 5000));
    answer("HeapReAlloc", "ordinary", "locked", "%s", block_or_null(block));
    CALL(done = HeapValidate(heap, 0, NULL));
    answer("HeapValidate", "whole", "locked", "%s", truth(done));
    CALL(done = HeapFree(heap, 0, block));
    answer("HeapFree", "ordinary", "locked", "%s", truth(done));
    for (int depth = 0; depth < 3; depth++) {
        CALL(done = HeapUnlock(heap));
        answer("HeapUnlock", "ordinary", text("depth %d", depth), "%s", truth(done));
    }
    HeapLock(heap);
    destroy("locked", heap);
}

static void compact(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    char *blocks[200];
    for (int i = 0; i < 200; i++) {
        blocks[i] = HeapAlloc(heap, 0, (SIZE_T)i * 37);
        fill(blocks[i], (SIZE_T)i * 37, (uint64_t)i);
    }
    for (int i = 0; i < 200; i += 2)
        HeapFree(heap, 0, blocks[i]);
    SIZE_T largest;
    CALL(largest = HeapCompact(heap, 0));
    answer("HeapCompact", "heap", "", "%s", largest ? "some bytes" : "0");
    CALL(largest = HeapCompact(heap, HEAP_NO_SERIALIZE));
    answer("HeapCompact", "heap", "no serialize", "%s", largest ? "some bytes" : "0");
    uint64_t sum = 0;
    for (int i = 1; i < 200; i += 2)
        sum = sum * 31 + hash(blocks[i], HeapSize(heap, 0, blocks[i]));
    tell("HeapCompact", "contents", "", "%016llx", (unsigned long long)sum);
    destroy("ordinary", heap);
}

static void last_error(void)
{
    static const DWORD values[] = {0, 1, 8, 87, 0xFFFFFFFF, 0x80070057, SENTINEL};
    SetLastError(5);
    CALL((void)0);
    answer("GetLastError", "ordinary", "", "%s", "the sentinel");
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        CALL(SetLastError(values[i]));
        answer("SetLastError", "ordinary", text("%lx", (unsigned long)values[i]), "%s",
               GetLastError() == values[i] ? "the same again" : "changed");
    }
}

int main(void)
{
    begin_report();
    create();
    destroy_what_cannot_be();
    list();
    lock(0);
    lock(HEAP_NO_SERIALIZE);
    compact();
    last_error();
    return end_report();
}
