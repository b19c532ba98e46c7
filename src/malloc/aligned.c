/* SPDX-License-Identifier: MIT */
/*
 * Aligned blocks.
 */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "arena/size_class.h"
#include "malloc/malloc.h"
#include "malloc/names.h"

static void *fail(int code)
{
    errno = code;
    return NULL;
}

static bool is_power_of_two(size_t n)
{
    return n && !(n & (n - 1));
}

static void *alloc_aligned(size_t align, size_t bytes)
{
    return align <= MOLE_ALIGN ? MALLOC_NAME(malloc)(bytes)
                               : mole_malloc_alloc_slow(bytes, align, false);
}

int MALLOC_NAME(posix_memalign)(void **block, size_t align, size_t bytes)
{
    if (!is_power_of_two(align) || align % sizeof(void *))
        return EINVAL;
    int saved = errno;
    void *aligned = alloc_aligned(align, bytes);
    errno = saved;
    if (!aligned)
        return ENOMEM;
    *block = aligned;
    return 0;
}

void *MALLOC_NAME(aligned_alloc)(size_t align, size_t bytes)
{
    return is_power_of_two(align) ? alloc_aligned(align, bytes) : fail(EINVAL);
}

void *MALLOC_NAME(memalign)(size_t align, size_t bytes)
{
    /* Like glibc's, which rounds an odd alignment up. */
    size_t power = MOLE_ALIGN;
    while (power < align && power <= PTRDIFF_MAX / 2)
        power *= 2;
    return power < align ? fail(EINVAL) : alloc_aligned(power, bytes);
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
