/* SPDX-License-Identifier: MIT */
/*
 * Aligned blocks. Alignments are treated as glibc does: one that is no power of two is
 * rounded up, but by posix_memalign, and EINVAL is only what has no power of two above
 * it. And the frees that are told a size, which nobody asks for.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "arena/size_class.h"
#include "malloc/malloc.h"
#include "malloc/names.h"

enum { SIZE_BITS = 64 };
static_assert(sizeof(size_t) * 8 == SIZE_BITS, "power_from counts bits");

static void *fail(int code)
{
    errno = code;
    return NULL;
}

/* The least power of two that is no less than 1 and `align`; 0: there is none. */
static size_t power_from(size_t align)
{
    if (align <= 1)
        return 1;
    int bits = SIZE_BITS - __builtin_clzl(align - 1);
    return bits < SIZE_BITS ? (size_t)1 << bits : 0;
}

static void *alloc_aligned(size_t align, size_t bytes)
{
    size_t power = power_from(align);
    if (!power)
        return fail(EINVAL);
    return power <= MOLE_ALIGN ? MALLOC_NAME(malloc)(bytes)
                               : mole_malloc_alloc_slow(bytes, power, false);
}

int MALLOC_NAME(posix_memalign)(void **block, size_t align, size_t bytes)
{
    if (align == 0 || align % sizeof(void *) || power_from(align) != align)
        return EINVAL;
    void *aligned = alloc_aligned(align, bytes);
    if (!aligned)
        return ENOMEM;
    *block = aligned;
    return 0;
}

void *MALLOC_NAME(aligned_alloc)(size_t align, size_t bytes)
{
    return alloc_aligned(align, bytes);
}

void *MALLOC_NAME(memalign)(size_t align, size_t bytes)
{
    return alloc_aligned(align, bytes);
}

static size_t system_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *MALLOC_NAME(valloc)(size_t bytes)
{
    return alloc_aligned(system_page(), bytes);
}

void *MALLOC_NAME(pvalloc)(size_t bytes)
{
    size_t page = system_page();
    if (bytes > PTRDIFF_MAX - page)
        return fail(ENOMEM);
    return alloc_aligned(page, mole_round_up(bytes ? bytes : 1, page));
}

void MALLOC_NAME(free_sized)(void *block, size_t bytes)
{
    (void)bytes;
    MALLOC_NAME(free)(block);
}

void MALLOC_NAME(free_aligned_sized)(void *block, size_t align, size_t bytes)
{
    (void)align;
    (void)bytes;
    MALLOC_NAME(free)(block);
}
