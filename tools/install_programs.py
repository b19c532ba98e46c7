# SPDX-License-Identifier: MIT
"""The programs that check_install.py compiles as a client would."""

APP = r"""
#include <molehill/heapapi.h>
#include <molehill/molehill.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    char *text = (char *)HeapAlloc(heap, HEAP_ZERO_MEMORY, 27);
    if (text == NULL || HeapSize(heap, 0, text) != 27)
        return 1;
    strcpy(text, "a small heap");
    puts(text);
    if (!HeapFree(heap, 0, text) || !HeapDestroy(heap))
        return 2;
    return 0;
}
"""

# Bare names, found at run time as P/Invoke and dlsym do.
WIN32 = r"""
#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
    void *library = dlopen("libmolehill-win32.so.0", RTLD_NOW);
    if (library == NULL)
        return puts(dlerror()), 1;
    void *(*process_heap)(void) = (void *(*)(void))dlsym(library, "GetProcessHeap");
    void *(*alloc)(void *, unsigned, size_t) =
        (void *(*)(void *, unsigned, size_t))dlsym(library, "HeapAlloc");
    if (process_heap == NULL || alloc == NULL || alloc(process_heap(), 0, 5) == NULL)
        return 2;
    puts("a small heap");
    return 0;
}
"""

# The same by the names that .NET programs import; the folder of links is all that the loader knows.
LINKED = WIN32.replace("libmolehill-win32.so.0", "libkernel32.dll.so").replace(
    "    puts(", """    if (dlopen("libOle32.so", RTLD_NOW) != library)
        return 3;
    puts(""")

# A block of malloc's own, counted by molehill: that is how the program knows who served it.
MALLOC = r"""
#include <molehill/molehill.h>

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    struct mh_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    mh_stats_get(&before);
    for (int i = 0; i < 1000; i++) {
        char *volatile block = malloc(100);
        free(block);
    }
    mh_stats_get(&after);
    if (after.malloc_frees < before.malloc_frees + 1000)
        return 1;
    puts("a small heap");
    return 0;
}
"""

# It stays until its input ends, on a malloc that is part of it.
STATIC = r"""
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    free(malloc(1));
    return getchar() != EOF;
}
"""

# The bare names, linked; in C++ too.
BARE = r"""
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif
void *GetProcessHeap(void);
void *HeapAlloc(void *, unsigned, size_t);
size_t HeapSize(void *, unsigned, const void *);
int HeapFree(void *, unsigned, void *);
void *CoTaskMemAlloc(size_t);
extern const unsigned char IID_IMalloc[16];
#ifdef __cplusplus
}
#endif

int main(void)
{
    void *block = HeapAlloc(GetProcessHeap(), 0, 27);
    if (HeapSize(GetProcessHeap(), 0, block) != 27 || !HeapFree(GetProcessHeap(), 0, block))
        return 1;
    if (!CoTaskMemAlloc(0) || IID_IMalloc[0] != 2 || IID_IMalloc[8] != 0xC0 ||
        IID_IMalloc[15] != 0x46)
        return 2;
    puts("a small heap");
    return 0;
}
"""

# A source for Windows, in C and C++, as such sources spell their includes.
WINDOWS = r"""
#include <Windows.h>
#include <ObjBase.h>
#include <malloc.h>
#include <stdio.h>

int main(void)
{
    IMalloc *pMalloc = NULL;
    LPVOID lpBlock = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 27);

    if (lpBlock == NULL || _msize(lpBlock) != 27 || FAILED(CoGetMalloc(1, &pMalloc)))
        return 1;
    CoTaskMemFree(lpBlock);
    if (GlobalFree(GlobalAlloc(GPTR, 5)) != NULL)
        return 2;
    puts("a small heap");
    return 0;
}
"""

# new and delete are molehill's, and a new that fails throws. This much refers to nothing else of
# the C++ library that throws bad_alloc.
CXX = r"""
#include <molehill/molehill.h>

#include <cstdint>
#include <cstdio>
#include <new>

int main()
{
    struct mh_stats before = {}, after = {};
    before.size = after.size = sizeof(before);
    mh_stats_get(&before);
    for (int i = 0; i < 1000; i++) {
        char *volatile block = new char[100];
        delete[] block;
    }
    mh_stats_get(&after);
    if (after.malloc_frees < before.malloc_frees + 1000)
        return 1;
    volatile std::size_t bytes = PTRDIFF_MAX / 2;
    try {
        char *volatile block = new char[bytes];
        delete[] block;
        return 2;
    } catch (const std::bad_alloc &) {
        std::puts("a small heap");
    }
    return 0;
}
"""

# A spy in a shared object, which tells that it was there.
SPY = r"""
#include <molehill/spy_module.h>

static struct mh_spy spy;
const unsigned mh_spy_module_version = MH_SPY_MODULE_VERSION;

const struct mh_spy *mh_spy_module_start(const char *args, void **heap, char *error,
                                         size_t error_bytes)
{
    (void)args;
    (void)heap;
    (void)error;
    (void)error_bytes;
    spy.size = sizeof spy;
    spy.name = "small";
    return &spy;
}

void mh_spy_module_stop(void (*write)(void *to, const char *text, size_t bytes), void *to)
{
    write(to, "a small spy\n", 12);
}
"""
