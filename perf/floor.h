/* SPDX-License-Identifier: MIT */
/*
 * The floor: the least an allocator behind two calls into a shared library can do. A
 * thread-local free list for each size, the size of a freed block learnt by one lookup of
 * its address, nothing else: no check, no exact size, no way back from another thread, no
 * memory ever returned. pair.c runs on it, so that HeapAlloc can be compared with what is
 * possible.
 */
#pragma once

#include <stddef.h>

#define FLOOR_API __attribute__((visibility("default")))

/*
 * A block of at most FLOOR_MAX bytes, 16-byte aligned; NULL for more, or when memory is
 * out.
 */
#define FLOOR_MAX 1023u
FLOOR_API void *floor_alloc(size_t bytes);

/* `block` came from floor_alloc; it goes to the list of the calling thread. */
FLOOR_API void floor_free(void *block);
