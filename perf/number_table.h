/* SPDX-License-Identifier: MIT */
/* From an address or a handle, not 0, to a number; memory from mmap. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct number_entry {
    uint64_t key; /* 0: free */
    uint64_t number;
};

struct number_table {
    struct number_entry *entries;
    size_t mask; /* how many places, less 1 */
    size_t used;
};

/* The key's number, 0: it has none. */
uint32_t number_table_find(const struct number_table *table, uint64_t key);

/* Enter a key that is not there, with a number that is not 0. */
void number_table_add(struct number_table *table, uint64_t key, uint32_t number);

/* Take a key out that is there. */
void number_table_remove(struct number_table *table, uint64_t key);

void number_table_finish(struct number_table *table);

/*
 * `old` of so many bytes made larger, what is new zero; ends the program for want of it.
 */
void *number_pages(void *old, size_t old_bytes, size_t bytes);
