/* SPDX-License-Identifier: MIT */
/*
 * glibc's second names for malloc's functions: callers of these must not reach glibc's
 * heap.
 */
#include <malloc.h>

#include "malloc/names.h"

MOLE_EXPORT void *__libc_malloc(size_t bytes);
MOLE_EXPORT void *__libc_calloc(size_t count, size_t bytes);
MOLE_EXPORT void *__libc_realloc(void *block, size_t bytes);
MOLE_EXPORT void __libc_free(void *block);
MOLE_EXPORT void *__libc_memalign(size_t align, size_t bytes);
MOLE_EXPORT void *__libc_valloc(size_t bytes);
MOLE_EXPORT void *__libc_pvalloc(size_t bytes);
MOLE_EXPORT int __posix_memalign(void **block, size_t align, size_t bytes);
/* The header calls mallinfo deprecated. */
extern struct mallinfo mallinfo_by_name(void) __asm__("mallinfo");
MOLE_EXPORT struct mallinfo __libc_mallinfo(void);
MOLE_EXPORT int __libc_mallopt(int parameter, int value);
MOLE_EXPORT void cfree(void *block);

void *__libc_malloc(size_t bytes)
{
    return MALLOC_NAME(malloc)(bytes);
}

void *__libc_calloc(size_t count, size_t bytes)
{
    return MALLOC_NAME(calloc)(count, bytes);
}

void *__libc_realloc(void *block, size_t bytes)
{
    return MALLOC_NAME(realloc)(block, bytes);
}

void __libc_free(void *block)
{
    MALLOC_NAME(free)(block);
}

void *__libc_memalign(size_t align, size_t bytes)
{
    return MALLOC_NAME(memalign)(align, bytes);
}

void *__libc_valloc(size_t bytes)
{
    return MALLOC_NAME(valloc)(bytes);
}

void *__libc_pvalloc(size_t bytes)
{
    return MALLOC_NAME(pvalloc)(bytes);
}

int __posix_memalign(void **block, size_t align, size_t bytes)
{
    return MALLOC_NAME(posix_memalign)(block, align, bytes);
}

void cfree(void *block)
{
    MALLOC_NAME(free)(block);
}

struct mallinfo __libc_mallinfo(void)
{
    return mallinfo_by_name();
}

int __libc_mallopt(int parameter, int value)
{
    return mallopt(parameter, value);
}
