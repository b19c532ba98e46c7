/* SPDX-License-Identifier: MIT */
/*
 * Where the server's memory comes from, and the only thing in which its two builds
 * differ: kv-molehill links memory_molehill.c, kv-malloc links memory_malloc.c.
 *
 *   one shared heap    keys and values: any thread allocates, any thread frees
 *   a heap for each    the connection itself, its parsed requests and its replies: one
 *   connection         thread at a time, and gone as a whole when the client leaves
 */
#pragma once

#include <stddef.h>

struct kv_heap;

/* "molehill" or "malloc". */
extern const char kv_heap_kind[];

/* NULL when memory is short. */
struct kv_heap *kv_heap_create_shared(void);
struct kv_heap *kv_heap_create_private(void);

/* A private heap takes its blocks along; a shared one must be empty by now. */
void kv_heap_destroy(struct kv_heap *heap);

/* A block of `bytes`, not zeroed; NULL when memory is short. */
void *kv_heap_alloc(struct kv_heap *heap, size_t bytes);

/* `block` came from this heap, or is NULL. */
void kv_heap_free(struct kv_heap *heap, void *block);

/*
 * Heaps that are there, as the allocator counts them: the process may have others than
 * ours.
 */
size_t kv_heap_count(void);
