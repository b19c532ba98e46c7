/* SPDX-License-Identifier: MIT */
/*
 * What a workload allocates with. The build defines exactly one TARGET_*, and every
 * workload and harness.c are compiled once for each, so that the same source drives them
 * all:
 *
 *   TARGET_MALLOC  malloc: one binary for all of them, LD_PRELOAD chooses
 *   TARGET_HEAP    HeapAlloc on one heap for all threads; or no_serialize=1
 *   TARGET_FLOOR   the floor, floor.h: how fast two calls into a shared library can be
 *   TARGET_EMPTY   nothing: the loop around the calls, to count instructions
 *
 * perf_free_all frees an array's blocks, but for those that are NULL.
 *
 * A scope is what a request allocates from: on heaps one of its own, that takes its
 * blocks with it; on malloc nothing, and the blocks are freed one by one. Both free a
 * single one by PERF_SCOPE_RELEASE.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined TARGET_MALLOC

#include <stdlib.h>

#define PERF_ALLOC(bytes) malloc(bytes)
#define PERF_CALLOC(bytes) calloc(1, bytes)
#define PERF_REALLOC(block, bytes) realloc(block, bytes)
#define PERF_FREE(block) free(block)

#define PERF_SCOPE_CREATE() NULL
#define PERF_SCOPE_ALLOC(scope, bytes) ((void)(scope), malloc(bytes))
#define PERF_SCOPE_FREE(scope, block) ((void)(scope), free(block))
#define PERF_SCOPE_RELEASE(scope, block) ((void)(scope), free(block))
#define PERF_SCOPE_DESTROY(scope) ((void)(scope))

#elif defined TARGET_HEAP

#include <molehill/heapapi.h>

extern HANDLE perf_heap;        /* harness.c; set before the first workload call */
extern DWORD perf_heap_options; /* as given to HeapCreate */

#define PERF_ALLOC(bytes) HeapAlloc(perf_heap, 0, bytes)
#define PERF_CALLOC(bytes) HeapAlloc(perf_heap, HEAP_ZERO_MEMORY, bytes)
#define PERF_REALLOC(block, bytes) HeapReAlloc(perf_heap, 0, block, bytes)
#define PERF_FREE(block) HeapFree(perf_heap, 0, block)

#define PERF_SCOPE_CREATE() HeapCreate(perf_heap_options, 0, 0)
#define PERF_SCOPE_ALLOC(scope, bytes) HeapAlloc(scope, 0, bytes)
#define PERF_SCOPE_FREE(scope, block) ((void)(scope), (void)(block))
#define PERF_SCOPE_RELEASE(scope, block) HeapFree(scope, 0, block)
#define PERF_SCOPE_DESTROY(scope) HeapDestroy(scope)

#elif defined TARGET_FLOOR

#include "floor.h"

#define PERF_ALLOC(bytes) floor_alloc(bytes)
#define PERF_FREE(block) floor_free(block)

#elif defined TARGET_EMPTY

static char perf_nowhere[64];

/*
 * The compiler must believe that the argument is used and the result could be anything.
 */
static inline void *perf_empty_alloc(size_t bytes)
{
    void *block = perf_nowhere;
    __asm__ volatile("" : "+r"(block) : "r"(bytes) : "memory");
    return block;
}

static inline void perf_empty_free(void *block)
{
    __asm__ volatile("" : : "r"(block) : "memory");
}

#define PERF_ALLOC(bytes) perf_empty_alloc(bytes)
#define PERF_FREE(block) perf_empty_free(block)

#else
#error "define one of TARGET_MALLOC, TARGET_HEAP, TARGET_FLOOR, TARGET_EMPTY"
#endif

static inline void perf_free_all(void **slots, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (slots[i] != NULL)
            PERF_FREE(slots[i]);
        slots[i] = NULL;
    }
}
