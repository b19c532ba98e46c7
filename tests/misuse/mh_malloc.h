/* SPDX-License-Identifier: MIT */
/*
 * The malloc family under the names it has in the test library, where sanitizers,
 * valgrind and the linker leave it alone. Behaviour is glibc's: see the manual pages.
 */
#pragma once

#include <stddef.h>

void *mh_malloc(size_t bytes);
void *mh_calloc(size_t count, size_t bytes);
void *mh_realloc(void *block, size_t bytes);
void *mh_reallocarray(void *block, size_t count, size_t bytes);
void mh_free(void *block);
void mh_free_sized(void *block, size_t bytes);
void mh_free_aligned_sized(void *block, size_t alignment, size_t bytes);
int mh_posix_memalign(void **block, size_t alignment, size_t bytes);
void *mh_aligned_alloc(size_t alignment, size_t bytes);
void *mh_memalign(size_t alignment, size_t bytes);
void *mh_valloc(size_t bytes);
void *mh_pvalloc(size_t bytes);
size_t mh_malloc_usable_size(void *block);
