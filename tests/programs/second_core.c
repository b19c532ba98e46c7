/* SPDX-License-Identifier: MIT */
/*
 * Several cores in one process, for run_second_core.py: each works, and refuses what
 * another one made.
 *
 * usage: second_core LIBRARY...    copies of core_copy.c's library
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_copy.h"

enum { MOST = 8 };

static const struct core_copy *cores[MOST];
static int count, failed;

static void check(int is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    failed = 1;
}

static void open_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "core_copy") : NULL;
    if (!symbol) {
        printf("FAILED: %s\n", dlerror());
        exit(1);
    }
    const struct core_copy *(*get)(void) =
        (const struct core_copy *(*)(void))(uintptr_t)symbol;
    cores[count++] = get();
}

/* The heap and its block are of core `one`; `other` is asked about them. */
static void refuse(const struct core_copy *other, HANDLE heap, void *block, size_t bytes)
{
    HANDLE own = other->process_heap();
    check(own && own != heap, "two cores have one heap");
    check(!other->alloc(heap, 0, 10), "HeapAlloc took a heap of another core");
    check(!other->destroy(heap), "HeapDestroy took a heap of another core");
    check(!other->free(heap, 0, block) && !other->free(own, 0, block),
          "HeapFree took a block of another core");
    check(other->size(own, 0, block) == (SIZE_T)-1, "HeapSize took one");
    check(!other->resize(own, 0, block, bytes * 2), "HeapReAlloc took one");
    check(!other->validate(own, 0, block), "HeapValidate took one");
}

static void try_size(const struct core_copy *one, const struct core_copy *other,
                     size_t bytes)
{
    HANDLE heap = one->create(0, 0, 0);
    unsigned char *block = heap ? one->alloc(heap, 0, bytes) : NULL;
    check(block != NULL, "no memory");
    if (!block)
        return;
    memset(block, 7, bytes);
    refuse(other, heap, block, bytes);
    check(one->size(heap, 0, block) == bytes && block[0] == 7 && block[bytes - 1] == 7,
          "the block was disturbed");
    check(one->free(heap, 0, block) && one->destroy(heap), "its own core refuses it");
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc && count < MOST; i++)
        open_library(argv[i]);
    for (int one = 0; one < count; one++)
        for (int other = 0; other < count; other++)
            for (size_t bytes = 1; cores[one] != cores[other] && bytes < 3000000;
                 bytes *= 12)
                try_size(cores[one], cores[other], bytes);
    for (int i = 0; i < count; i++) {
        void *block = cores[i]->alloc(cores[i]->process_heap(), 0, 100);
        check(block && cores[i]->free(cores[i]->process_heap(), 0, block),
              "a core is ill");
    }
    puts(failed ? "bad" : "good");
    return failed;
}
