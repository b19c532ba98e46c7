/* SPDX-License-Identifier: MIT */
/*
 * What a trace is replayed on. On malloc a heap is nothing, and its blocks are freed one
 * by one where it is destroyed; heaps are those of the trace, malloc's blocks in the one
 * that the harness has made.
 */
#pragma once

#include "plan.h"
#include "target.h"

#if defined TARGET_MALLOC

#define REPLAY_MALLOC_HEAP ((void *)1)
#define REPLAY_ALLOC(heap, bytes) ((void)(heap), malloc(bytes))
#define REPLAY_REALLOC(heap, block, bytes) \
    ((void)(heap), realloc(block, (bytes) ? (bytes) : 1))
#define REPLAY_FREE(heap, block) ((void)(heap), free(block))
#define REPLAY_GONE(block) free(block)
#define REPLAY_CREATE() ((void *)1)
#define REPLAY_DESTROY(heap) ((void)(heap))

#else

#define REPLAY_MALLOC_HEAP perf_heap
#define REPLAY_ALLOC(heap, bytes) HeapAlloc(heap, 0, bytes)
#define REPLAY_REALLOC(heap, block, bytes) HeapReAlloc(heap, 0, block, bytes)
#define REPLAY_FREE(heap, block) HeapFree(heap, 0, block)
#define REPLAY_GONE(block) ((void)(block))
#define REPLAY_CREATE() HeapCreate(perf_heap_options, 0, 0)
#define REPLAY_DESTROY(heap) HeapDestroy(heap)

#endif
