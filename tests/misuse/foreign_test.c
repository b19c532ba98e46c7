/* SPDX-License-Identifier: MIT */
/* Pointers that never were a heap's, given to every function that takes a block. */
#include <sys/mman.h>

#include "misuse.h"

static void *one_page(int protection)
{
    void *page = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    require(page != MAP_FAILED, "the test has no page");
    return page;
}

Test(foreign, stack_addresses_are_refused)
{
    alignas(64) char on_stack[256];

    for (size_t at = 0; at < sizeof(on_stack); at += 8)
        require_refused(GetProcessHeap(), on_stack + at, "a stack address");
}

Test(foreign, static_addresses_are_refused)
{
    alignas(64) static char statics[256];

    for (size_t at = 0; at < sizeof(statics); at += 8)
        require_refused(GetProcessHeap(), statics + at, "a static address");
}

Test(foreign, code_addresses_are_refused)
{
    require_refused(GetProcessHeap(), (void *)(uintptr_t)require_refused, "a function");
}

Test(foreign, blocks_of_malloc_are_refused)
{
    for (EACH_SIZE(bytes)) {
        void *block = malloc(bytes);
        require_refused(GetProcessHeap(), block, "a block of malloc");
        free(block);
    }
}

Test(foreign, mapped_pages_are_refused)
{
    require_refused(GetProcessHeap(), one_page(PROT_READ | PROT_WRITE), "a page");
}

Test(foreign, unreadable_pages_are_refused)
{
    require_refused(GetProcessHeap(), one_page(PROT_NONE), "a page without access");
}

Test(foreign, unmapped_pages_are_refused)
{
    void *page = one_page(PROT_READ);

    munmap(page, 4096);
    require_refused(GetProcessHeap(), page, "a page that is gone");
}

/* Every power of two, its neighbours and its complement: the whole address range. */
Test(foreign, addresses_of_every_magnitude_are_refused)
{
    HANDLE heap = create_heap(0);

    take(heap, 0, 100);
    for (unsigned bit = 0; bit < 64; bit++) {
        uintptr_t power = (uintptr_t)1 << bit;
        require_refused(heap, (void *)power, "a power of two");
        require_refused(heap, (void *)(power + 16), "a power of two and 16");
        require_refused(heap, (void *)~power, "a complement");
        require_refused(heap, (void *)(0 - power), "a negative power of two");
    }
}

Test(foreign, the_heaps_own_handle_and_first_pages_are_refused)
{
    HANDLE heap = create_heap(0);

    for (size_t at = 0; at < 0x10000; at += 8)
        require_refused(heap, (char *)heap + at, "an address in an empty heap");
    require_heap_works(heap, 64);
}
