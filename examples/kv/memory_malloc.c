/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * malloc knows no heaps. What a private heap must free at its end is kept in a ring
 * through headers in front of its blocks; the shared heap is malloc itself.
 */
struct link {
    struct link *next;
    struct link *previous;
};

struct kv_heap {
    bool is_private;
    struct link blocks; /* private heaps only: a ring, empty when it points at itself */
};

/* The header must not disturb the alignment that malloc gives. */
_Static_assert(sizeof(struct link) % 16 == 0 || sizeof(void *) < 8,
               "blocks behind a header stay aligned to 16");

const char kv_heap_kind[] = "malloc";

/*
 * count_a: heaps that are there.
 *   writers  any thread that creates or destroys one
 *   readers  any
 *   orders   relaxed: a figure
 *   keeps    the number of `struct kv_heap`s
 */
static _Atomic(size_t) count_a;

static struct kv_heap *create(bool is_private)
{
    struct kv_heap *heap = malloc(sizeof(*heap));
    if (heap) {
        heap->is_private = is_private;
        heap->blocks.next = heap->blocks.previous = &heap->blocks;
        atomic_fetch_add_explicit(&count_a, 1, memory_order_relaxed);
    }
    return heap;
}

struct kv_heap *kv_heap_create_shared(void)
{
    return create(false);
}

struct kv_heap *kv_heap_create_private(void)
{
    return create(true);
}

void kv_heap_destroy(struct kv_heap *heap)
{
    struct link *block = heap->blocks.next;
    while (block != &heap->blocks) {
        struct link *next = block->next;
        free(block);
        block = next;
    }
    free(heap);
    atomic_fetch_sub_explicit(&count_a, 1, memory_order_relaxed);
}

void *kv_heap_alloc(struct kv_heap *heap, size_t bytes)
{
    if (!heap->is_private)
        return malloc(bytes);

    struct link *block = malloc(sizeof(*block) + bytes);
    if (!block)
        return NULL;
    block->previous = &heap->blocks;
    block->next = heap->blocks.next;
    block->next->previous = block;
    heap->blocks.next = block;
    return block + 1;
}

void kv_heap_free(struct kv_heap *heap, void *block)
{
    if (!heap->is_private || !block) {
        free(block);
        return;
    }
    struct link *header = (struct link *)block - 1;
    header->previous->next = header->next;
    header->next->previous = header->previous;
    free(header);
}

size_t kv_heap_count(void)
{
    return atomic_load_explicit(&count_a, memory_order_relaxed);
}
