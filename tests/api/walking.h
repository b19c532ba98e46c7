/* SPDX-License-Identifier: MIT */
/* Whole walks, for tests: all entries of a heap, and its live blocks by address. */
#pragma once

#include "support.h"

struct walked {
    PROCESS_HEAP_ENTRY *entries;
    size_t count, room;
};

/*
 * Go through the heap from its beginning to where the walk ends. False: not at its end.
 */
static inline bool walk_on(HANDLE heap, struct walked *walked)
{
    PROCESS_HEAP_ENTRY entry;
    memset(&entry, 0xCD, sizeof entry);
    entry.lpData = NULL;
    walked->count = 0;
    while (HeapWalk(heap, &entry)) {
        if (walked->count == walked->room) {
            walked->room = walked->room ? 2 * walked->room : 1000;
            walked->entries = realloc(walked->entries, walked->room * sizeof entry);
        }
        walked->entries[walked->count++] = entry;
    }
    return GetLastError() == ERROR_NO_MORE_ITEMS;
}

static inline void walk(HANDLE heap, struct walked *walked)
{
    require(walk_on(heap, walked), "after %zu entries the last error is %u",
            walked->count, GetLastError());
}

static inline bool is_busy(const PROCESS_HEAP_ENTRY *entry)
{
    return entry->wFlags & PROCESS_HEAP_ENTRY_BUSY;
}

static inline size_t busy_count(const struct walked *walked)
{
    size_t count = 0;
    for (size_t i = 0; i < walked->count; i++)
        count += is_busy(&walked->entries[i]);
    return count;
}

/* The entry of a live block, or NULL. */
static inline const PROCESS_HEAP_ENTRY *busy_at(const struct walked *walked,
                                                const void *block)
{
    for (size_t i = 0; i < walked->count; i++)
        if (walked->entries[i].lpData == block && is_busy(&walked->entries[i]))
            return &walked->entries[i];
    return NULL;
}

static inline int compare_entries(const void *left, const void *right)
{
    const PROCESS_HEAP_ENTRY *a = left, *b = right;
    return ((uintptr_t)a->lpData > (uintptr_t)b->lpData) -
           ((uintptr_t)a->lpData < (uintptr_t)b->lpData);
}

static inline void sort_entries(struct walked *walked)
{
    qsort(walked->entries, walked->count, sizeof *walked->entries, compare_entries);
}
