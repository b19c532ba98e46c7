/* SPDX-License-Identifier: MIT */
/*
 * group — records of spans, whose pages go back to the system.
 *
 * There is a span for each slab, so after much was live there are records for all of it.
 * A group is a few pages, cut into records of one size. What is known of them is apart
 * and stays: a bit a record, set while that is free. Once all are free, and enough other
 * groups of the size are so too, the group's pages are purged.
 *
 *   take: the first free bit of the topmost group
 *
 *   warm stack --> group with free records --> group that is used up --> gone group
 *   cold stack --> groups whose pages are gone, used when the warm stack is empty
 *
 * Groups with free records, and some that have none by now, are in the stack of their
 * size (LISTED). Who finds one there without, takes it out; the give that sets a bit of
 * an unlisted group lists it. Who purges takes all bits of the group first, so nobody
 * else has any of its records meanwhile; it stays listed, and whoever meets it afterwards
 * moves it to the cold stack.
 *
 *   free bits --all taken--> GOING --purged--> GONE --popped cold--> all free
 *                              `----refused--> all free
 *
 *  label       release side             acquire side           makes visible
 *  HB-GROUP-1  give: CAS sets a bit;    take, purge: CAS that  what was in the record
 *              purge's end, revival     clears bits
 *  HB-GROUP-2  an attempt's end: add;   fail: load of it;      what it moved is listed;
 *              give: CAS that lists     give: CAS that finds   that an attempt began
 *                                       the group listed
 *
 * A reader that is late, of an address whose slab has gone, sees an old record or zeros,
 * which are a span of nobody's: MOLE_SPAN_NONE, no blocks, no heap. Records without a
 * table, of large spans, are never purged.
 *
 * Nothing is held back: while somebody has a group in hand its records are in no stack,
 * and others make a new group, but where no memory is left they wait for him; not for who
 * makes one just then.
 * Progress: lock-free, while memory lasts.
 * Checked by: tests/race/group_step.c (every instruction), tests/unit/group_test.c,
 * tests/race/groups.c (TSan).
 */
#pragma once

#include "arena/meta.h"

enum {
    MOLE_GROUP_MOST = 61,   /* records of a group */
    MOLE_GROUP_KEPT = 2,    /* groups of a size that are all free and stay as they are */
    MOLE_GROUP_STAYS = 128, /* bytes of a record that is never purged, or less */
};

/* A record of at least `bytes`, and the number of its group; or NULL. */
void *mole_group_take(size_t bytes, uint32_t *group) mole_must_check;
void mole_group_give(uint32_t group, void *record);

/* How many bytes each record of the group has. */
size_t mole_group_record_bytes(uint32_t group);

/*
 * In a fork's child, which is alone: what vanished threads had in hand is listed. Records
 * that they had taken stay taken. Where the fork interrupted such a step of this thread
 * all is left as it is, for that goes on when the signal's handler returns.
 */
void mole_group_repair(void);

/* For tests: all groups; bytes of records in use; bytes of pages that are not purged. */
struct mole_group_figures {
    size_t groups, used_bytes, page_bytes;
};
struct mole_group_figures mole_group_figures(void);
