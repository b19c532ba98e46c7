/* SPDX-License-Identifier: MIT */
/*
 * The stored keys and values: a hash table cut into shards, each with its own lock. Any
 * thread may call any function but init and finish. An entry is one block of the shared
 * heap, made and freed outside the locks; so a value is often freed by a thread that did
 * not store it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "memory.h"

enum { KV_SHARDS = 64 }; /* a power of two */

struct kv_entry;

struct kv_shard {
    _Alignas(64) pthread_mutex_t lock;
    struct kv_entry **buckets; /* under lock; NULL while bucket_count is 0 */
    size_t bucket_count;       /* under lock: 0 or a power of two */
    size_t entry_count;        /* under lock */
};

struct kv_table {
    struct kv_heap *heap; /* const after init */
    uint64_t seed;        /* const after init: keys that collide cannot be precomputed */
    struct kv_shard shards[KV_SHARDS];
};

enum kv_add_result {
    KV_ADD_DONE,
    KV_ADD_NOT_A_NUMBER,
    KV_ADD_OVERFLOW,
    KV_ADD_NO_MEMORY
};

/* Sees a value where it lies, under its shard's lock: it must not call the table. */
typedef void kv_table_reader(struct kv_bytes value, void *context);

void kv_table_init(struct kv_table *table, struct kv_heap *shared_heap);
void kv_table_finish(struct kv_table *table);

/* Show the key's value to `reader`; false when there is none. */
bool kv_table_get(struct kv_table *table, struct kv_bytes key, kv_table_reader *reader,
                  void *context);

/* Store a copy of both; false when memory is short, and then nothing changed. */
bool kv_table_set(struct kv_table *table, struct kv_bytes key, struct kv_bytes value);

/* False when there was no such key. */
bool kv_table_remove(struct kv_table *table, struct kv_bytes key);

/* Add 1 to a value that is a number in text; an absent one counts as 0. */
enum kv_add_result kv_table_increment(struct kv_table *table, struct kv_bytes key,
                                      int64_t *sum);

/* Entries of all shards; each shard is counted at another moment. */
size_t kv_table_count(struct kv_table *table);

void kv_table_clear(struct kv_table *table);
