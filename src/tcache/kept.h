/* SPDX-License-Identifier: MIT */
/*
 * The caches that a thread keeps, by the records of their heaps: a table with open
 * addressing. An entry whose heap has another id by now is stale: the heap was destroyed,
 * its cache with it or kept for another life. The entry goes when the record's next heap
 * takes its place, or when the table grows.
 *
 * The thread's alone, but for a fork's child, which gives back those of vanished threads.
 */
#pragma once

#include "base/attr.h"

struct mole_heap;
struct mole_tcache;

struct mole_kept {
    uint64_t id; /* of the heap: if its word differs, the cache may be gone */
    struct mole_heap *heap;
    struct mole_tcache *cache;
};

struct mole_kept_table {
    struct mole_kept *entries; /* NULL: none yet */
    uint32_t room;             /* a power of two, or 0 */
    uint32_t count;            /* entries in use, stale ones included */
};

/* The live heap's entry, or NULL. */
struct mole_kept *mole_kept_find(const struct mole_kept_table *table,
                                 struct mole_heap *heap);

/* Note a cache. False: no memory; nothing happened. */
bool mole_kept_add(struct mole_kept_table *table, struct mole_heap *heap,
                   struct mole_tcache *cache) mole_must_check;

/* Whether the entry's heap still lives. */
bool mole_kept_is_alive(const struct mole_kept *kept);

/* Give the table's memory back. It goes off it first: a fork may come at any step. */
void mole_kept_release(struct mole_kept_table *table);
