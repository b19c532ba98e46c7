/* SPDX-License-Identifier: MIT */
/*
 * GetProcessHeap at the end of a process: an atexit handler and a destructor each
 * allocate from the process heap, free what was allocated before, and create, use and
 * destroy a heap. Each prints one line; run_loading.py compares them.
 */
#include <molehill/heapapi.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 1000 };

static HANDLE process_heap;
static char
    *blocks[COUNT]; /* allocated by main, freed by the handlers, half of them each */

static bool has_bytes(HANDLE heap, const char *block, size_t bytes, char value)
{
    if (!block || HeapSize(heap, 0, block) != bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (block[i] != value)
            return false;
    return true;
}

static bool use(HANDLE heap, size_t bytes)
{
    char *block = HeapAlloc(heap, 0, bytes);
    if (!block)
        return false;
    memset(block, 7, bytes);
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, bytes * 2);
    return block && HeapSize(heap, 0, block) == bytes * 2 && block[0] == 7 &&
           block[bytes - 1] == 7 && block[bytes] == 0 && block[bytes * 2 - 1] == 0 &&
           HeapFree(heap, 0, block);
}

static bool works(size_t first)
{
    bool is_good = GetProcessHeap() == process_heap && process_heap;
    for (size_t i = first; i < COUNT; i += 2)
        is_good = is_good && has_bytes(process_heap, blocks[i], i, (char)i) &&
                  HeapFree(process_heap, 0, blocks[i]);
    HANDLE heap = HeapCreate(0, 0, 0);
    for (size_t bytes = 1; bytes < 3000000; bytes = bytes * 3 + 1)
        is_good = is_good && heap && use(process_heap, bytes) && use(heap, bytes) &&
                  HeapAlloc(heap, 0, bytes);
    return is_good && HeapDestroy(heap) && !HeapValidate(heap, 0, NULL) &&
           GetProcessHeaps(0, NULL) == 1;
}

static void say(const char *line)
{
    if (write(STDOUT_FILENO, line, strlen(line)) < 0)
        _exit(3);
}

static void at_exit(void)
{
    say(works(0) ? "atexit: good\n" : "atexit: bad\n");
}

__attribute__((destructor)) static void at_the_end(void)
{
    say(works(1) ? "destructor: good\n" : "destructor: bad\n");
}

int main(void)
{
    process_heap = GetProcessHeap();
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = HeapAlloc(process_heap, 0, i);
        if (!blocks[i])
            return 1;
        memset(blocks[i], (char)i, i);
    }
    return atexit(at_exit) == 0 ? 0 : 2;
}
