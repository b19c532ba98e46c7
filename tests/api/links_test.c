/* SPDX-License-Identifier: MIT */
/*
 * The links by which .NET finds the bare names (build/NAME/dotnet), opened as a runtime
 * does. Spec 4.6. tests/dotnet has the same from C#.
 */
#include <dlfcn.h>
#include <stdio.h>

#include "support.h"

static void *open_link(const char *spelling, const char *ending)
{
    const char *build = getenv("MOLEHILL_BUILD");
    char path[4096];

    require(build != NULL, "MOLEHILL_BUILD is not set");
    int length =
        snprintf(path, sizeof(path), "%s/dotnet/lib%s%s", build, spelling, ending);
    require(length > 0 && (size_t)length < sizeof(path), "the path is too long");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    require(library != NULL, "%s", dlerror());
    return library;
}

typedef HANDLE (*heap_getter)(void);
typedef void *(*task_alloc)(SIZE_T bytes);

static void *function(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    require(symbol != NULL, "%s", dlerror());
    return symbol;
}

Test(links, case_126_every_spelling_is_one_library_with_one_process_heap)
{
    static const char *const spellings[] = {"kernel32", "Kernel32",   "KERNEL32",
                                            "ole32",    "Ole32",      "OLE32",
                                            "combase",  "kernelbase", "KernelBase"};
    void *first = open_link("kernel32", ".so");

    for (size_t i = 0; i < 2 * LENGTH(spellings); i++) {
        const char *ending = i % 2 ? ".dll.so" : ".so";
        void *library = open_link(spellings[i / 2], ending);
        require(library == first, "lib%s%s is another library", spellings[i / 2], ending);
        heap_getter heap_of = (heap_getter)(uintptr_t)function(library, "GetProcessHeap");
        require(heap_of() == GetProcessHeap(), "lib%s%s has another process heap",
                spellings[i / 2], ending);
    }
    void *symbol = function(open_link("ole32", ".so"), "CoTaskMemAlloc");
    void *block = ((task_alloc)(uintptr_t)symbol)(27);
    SIZE_T bytes = HeapSize(GetProcessHeap(), 0, block);
    require(bytes == 27, "ole32's block of 27 bytes has %zu by HeapSize", bytes);
    give_back(GetProcessHeap(), block);
}
