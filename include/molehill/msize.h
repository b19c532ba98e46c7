/* SPDX-License-Identifier: MIT */
/*
 * _msize, which Windows' <malloc.h> declares beside malloc.
 */
#pragma once

#include <stddef.h>

#include "molehill.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How many bytes a block of malloc's holds: at least what was asked for. Those beyond may
 * be used, but malloc keeps no exact sizes, so that Windows' answer is not to be had. A
 * block of the process heap has one, and it is given.
 *
 *   memblock  a live block of malloc, calloc or realloc, whoever serves them; or one of
 *             the process heap
 *   returns   bytes; or (size_t)-1 for NULL
 *   errors    errno EINVAL for NULL. Other pointers are malloc's to judge: molehill's
 *             aborts for what is no live block in its memory, glibc's does not look.
 *   threads   any
 *   progress  wait-free, if malloc's own malloc_usable_size is
 */
MH_API size_t _msize(void *memblock) MH_WIN32_SYMBOL(_msize);

#ifdef __cplusplus
}
#endif
