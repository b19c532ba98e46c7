/* SPDX-License-Identifier: MIT */
#include "tcache/kept.h"

#include <string.h>

#include "tcache/tcache.h"

bool mole_kept_is_alive(const struct mole_kept *kept)
{
    return (load_rlx(&kept->heap->word_a) & ~(uint64_t)MOLE_MODE_MASK) == kept->id;
}

/* The record's place, or the free one where it would be. The table has room. */
static struct mole_kept *place_of(const struct mole_kept_table *table,
                                  const struct mole_heap *heap)
{
    size_t mask = table->room - 1;
    size_t place = (size_t)((uintptr_t)heap * 0x9e3779b97f4a7c15u >> 32) & mask;
    while (table->entries[place].heap && table->entries[place].heap != heap)
        place = (place + 1) & mask;
    return &table->entries[place];
}

struct mole_kept *mole_kept_find(const struct mole_kept_table *table,
                                 struct mole_heap *heap)
{
    struct mole_kept *kept = table->room ? place_of(table, heap) : NULL;
    return kept && kept->heap && mole_kept_is_alive(kept) ? kept : NULL;
}

/*
 * Make room for one more: drop stale entries, and double while more than half would be in
 * use.
 */
static bool make_room(struct mole_kept_table *table)
{
    if (table->count * 2 < table->room)
        return true;
    const struct mole_kept_table old = *table;
    uint32_t live = 0;
    for (uint32_t i = 0; i < old.room; i++)
        live += old.entries[i].heap && mole_kept_is_alive(&old.entries[i]);
    uint32_t room = 16;
    while (room < 4 * (live + 1))
        room *= 2;
    struct mole_kept *kept = mole_meta_take(MOLE_META_LIST, sizeof *kept * (room + 1));
    if (!kept)
        return false;
    /* The first place holds the record's meta. */
    memset(kept + 1, 0, sizeof *kept * room);
    *table = (struct mole_kept_table){.entries = kept + 1, .room = room, .count = live};
    for (uint32_t i = 0; i < old.room; i++)
        if (old.entries[i].heap && mole_kept_is_alive(&old.entries[i]))
            *place_of(table, old.entries[i].heap) = old.entries[i];
    if (old.entries)
        mole_meta_give(old.entries - 1);
    return true;
}

bool mole_kept_add(struct mole_kept_table *table, struct mole_heap *heap,
                   struct mole_tcache *cache)
{
    struct mole_kept *kept = table->room ? place_of(table, heap) : NULL;
    if (!kept || !kept->heap) {
        if (!make_room(table))
            return false;
        kept = place_of(table, heap);
        table->count++;
    }
    *kept = (struct mole_kept){.id = cache->owner.id, .heap = heap, .cache = cache};
    return true;
}

void mole_kept_release(struct mole_kept_table *table)
{
    struct mole_kept *kept = table->entries;
    table->entries = NULL;
    fence_compiler();
    if (kept)
        mole_meta_give(kept - 1);
}
