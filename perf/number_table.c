/* SPDX-License-Identifier: MIT */
#include "number_table.h"

#include <sys/mman.h>

#include "harness.h"

enum { FIRST_PLACES = 1 << 14 };

void *number_pages(void *old, size_t old_bytes, size_t bytes)
{
    void *pages = old ? mremap(old, old_bytes, bytes, MREMAP_MAYMOVE)
                      : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        perf_die("no memory for the plan");
    return pages;
}

/* Where the key is, or would be. */
static size_t place_of(const struct number_table *table, uint64_t key)
{
    size_t at = (key >> 4) * 0x9e3779b97f4a7c15u >> 20 & table->mask;
    while (table->entries[at].key != 0 && table->entries[at].key != key)
        at = (at + 1) & table->mask;
    return at;
}

uint32_t number_table_find(const struct number_table *table, uint64_t key)
{
    if (!table->entries)
        return 0;
    return (uint32_t)table->entries[place_of(table, key)].number;
}

static void grow(struct number_table *table)
{
    struct number_table old = *table;
    size_t places = old.entries ? 2 * (old.mask + 1) : FIRST_PLACES;
    table->entries = number_pages(NULL, 0, places * sizeof *table->entries);
    table->mask = places - 1;
    for (size_t i = 0; old.entries && i <= old.mask; i++)
        if (old.entries[i].key)
            table->entries[place_of(table, old.entries[i].key)] = old.entries[i];
    number_table_finish(&old);
}

void number_table_add(struct number_table *table, uint64_t key, uint32_t number)
{
    if (!table->entries || table->used > table->mask / 2)
        grow(table);
    table->entries[place_of(table, key)] = (struct number_entry){key, number};
    table->used++;
}

/* What follows is entered anew, so that each is found from its first place on. */
void number_table_remove(struct number_table *table, uint64_t key)
{
    size_t at = place_of(table, key);
    table->entries[at] = (struct number_entry){0, 0};
    table->used--;
    for (at = (at + 1) & table->mask; table->entries[at].key;
         at = (at + 1) & table->mask) {
        struct number_entry entry = table->entries[at];
        table->entries[at] = (struct number_entry){0, 0};
        table->entries[place_of(table, entry.key)] = entry;
    }
}

void number_table_finish(struct number_table *table)
{
    if (table->entries)
        munmap(table->entries, (table->mask + 1) * sizeof *table->entries);
    table->entries = NULL;
}
