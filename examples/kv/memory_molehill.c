/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <molehill/heapapi.h>
#include <molehill/molehill.h>

/* `struct kv_heap *` is a heap's handle here: nothing needs to be stored beside it. */

const char kv_heap_kind[] = "molehill";

struct kv_heap *kv_heap_create_shared(void)
{
    return HeapCreate(0, 0, 0);
}

struct kv_heap *kv_heap_create_private(void)
{
    /* A connection stays with one worker, so its heap needs no protection from others. */
    return HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
}

void kv_heap_destroy(struct kv_heap *heap)
{
    HeapDestroy(heap);
}

void *kv_heap_alloc(struct kv_heap *heap, size_t bytes)
{
    return HeapAlloc(heap, 0, bytes);
}

void kv_heap_free(struct kv_heap *heap, void *block)
{
    HeapFree(heap, 0, block);
}

size_t kv_heap_count(void)
{
    struct mh_stats stats = {.size = sizeof(stats)};
    return mh_stats_get(&stats) == 0 ? stats.heaps : 0;
}
