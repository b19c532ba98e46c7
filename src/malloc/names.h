/* SPDX-License-Identifier: MIT */
/*
 * The names of the malloc family: as the system knows them, or with the prefix mh_ in
 * test builds, where sanitizers and valgrind would otherwise replace the functions under
 * test.
 */
#pragma once

#include <stddef.h>

#if defined(MOLE_MALLOC_PREFIX)
#define MALLOC_NAME(name) mh_##name
enum { MOLE_IS_SYSTEM_MALLOC = 0 };
#else
#define MALLOC_NAME(name) name
enum { MOLE_IS_SYSTEM_MALLOC = 1 };
#endif

#define MOLE_EXPORT __attribute__((visibility("default")))

MOLE_EXPORT void *MALLOC_NAME(malloc)(size_t bytes);
MOLE_EXPORT void *MALLOC_NAME(calloc)(size_t count, size_t bytes);
MOLE_EXPORT void *MALLOC_NAME(realloc)(void *block, size_t bytes);
MOLE_EXPORT void MALLOC_NAME(free)(void *block);
MOLE_EXPORT int MALLOC_NAME(posix_memalign)(void **block, size_t align, size_t bytes);
MOLE_EXPORT void *MALLOC_NAME(aligned_alloc)(size_t align, size_t bytes);
MOLE_EXPORT void *MALLOC_NAME(memalign)(size_t align, size_t bytes);
MOLE_EXPORT void *MALLOC_NAME(valloc)(size_t bytes);
MOLE_EXPORT void *MALLOC_NAME(pvalloc)(size_t bytes);
MOLE_EXPORT size_t MALLOC_NAME(malloc_usable_size)(void *block);
MOLE_EXPORT void *MALLOC_NAME(reallocarray)(void *block, size_t count, size_t bytes);
MOLE_EXPORT void MALLOC_NAME(free_sized)(void *block, size_t bytes);
MOLE_EXPORT void MALLOC_NAME(free_aligned_sized)(void *block, size_t align, size_t bytes);
