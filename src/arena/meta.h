/* SPDX-License-Identifier: MIT */
/*
 * Memory for molehill's own records: runs, heaps, caches, threads; and pages for those of
 * spans (group.h). It lies in a mapping of its own, is never given back, and a record's
 * memory is only ever reused for records of the same kind and size: a reader that is late
 * sees an old record, never something else.
 *
 * Free records wait in one stack a bucket; the pool keeps free runs in the same kind of
 * stack:
 *
 *   head: index of the first | tag --> record.meta.next --> record.meta.next --> 0
 *
 *  label      release side             acquire side            makes visible
 *  HB-META-1  push: CAS on the head    pop: CAS on the head    the record's fields
 *
 * Why no ABA: each successful CAS raises the tag; 2^32 of them would have to happen
 * between one thread's load and its CAS. Why pop may read `next` of a record that others
 * took meanwhile: records are never unmapped, and the tag makes its CAS fail.
 * Progress: push, pop and pop_all are lock-free. May run together: anything with
 * anything.
 * Checked by: tests/race/stack_step.c (every instruction), tests/unit/meta_test.c,
 * tests/race/oracle.c (TSan).
 */
#pragma once

#include <stdalign.h>

#include "base/atom.h"
#include "base/attr.h"

/* What a record is for. Records of different kinds never share memory. */
enum mole_meta_kind {
    MOLE_META_GROUP,
    MOLE_META_RUN,
    MOLE_META_HEAP,
    MOLE_META_CACHE,
    MOLE_META_THREAD,
    MOLE_META_LIST,
    MOLE_META_FIXED,
    MOLE_META_KINDS,
};

/* The parts of the mapping: one grows from its start, the other from its end. */
enum mole_meta_part {
    MOLE_META_RECORDS,
    MOLE_META_PAGES, /* of groups */
    MOLE_META_PARTS,
};

/* The first member of every record. */
struct mole_meta {
    /*
     * next_a: the record below in the free stack, in units; 0 ends it.
     *   writers  push, by whoever gives the record away
     *   readers  pop, possibly after another thread took the record
     *   orders   relaxed; the head's CAS orders: HB-META-1
     *   keeps    meaningless while the record is in use
     */
    _Atomic(uint32_t) next_a;
    uint32_t bucket; /* const from the record's first use: kind and size */
};

/* A stack of records that are in nobody's use, linked by their `meta`. */
struct mole_meta_stack {
    /*
     * head_a: tag << 32 | index of the first record, in units; index 0: empty.
     *   writers  push, pop, pop_all
     *   readers  the same
     *   orders   push CAS release, pop CAS acquire: HB-META-1
     *   keeps    the tag rises with every CAS
     */
    alignas(MOLE_CACHE_LINE) _Atomic(uint64_t) head_a;
};

void mole_meta_push(struct mole_meta_stack *stack, struct mole_meta *record);

/* The record pushed last, or NULL. */
struct mole_meta *mole_meta_pop(struct mole_meta_stack *stack);

/* The same, left where it is: by now another may be. */
struct mole_meta *mole_meta_top(const struct mole_meta_stack *stack);

/* All records at once, first the one pushed last; follow them with mole_meta_below. */
struct mole_meta *mole_meta_pop_all(struct mole_meta_stack *stack);
struct mole_meta *mole_meta_below(const struct mole_meta *record);

/* Reserve the mapping, once. */
bool mole_meta_init(void) mole_must_check;

/*
 * A record of at least `bytes`, or NULL. Never-used memory reads as zero; a reused record
 * holds what it held, its `meta` excepted.
 */
void *mole_meta_take(enum mole_meta_kind kind, size_t bytes) mole_must_check;

/* Give a record back. */
void mole_meta_give(void *record);

/* How many bytes a record has. */
size_t mole_meta_bytes(const struct mole_meta *record);

/* A short name for a record, which is never 0; and the record that has it. */
enum { MOLE_META_UNIT = MOLE_CACHE_LINE };
extern mole_own char *mole_meta_base; /* const after init */

mole_hot uint32_t mole_meta_number(const struct mole_meta *record)
{
    return (uint32_t)((size_t)((const char *)record - mole_meta_base) / MOLE_META_UNIT);
}

mole_hot struct mole_meta *mole_meta_of_number(uint32_t number)
{
    char *at = mole_meta_base + (size_t)number * MOLE_META_UNIT;
    return (struct mole_meta *)(void *)at;
}

/* The sizes that records have: of which at least `bytes`, if any; and how many bytes. */
unsigned mole_meta_size_for(size_t bytes);
size_t mole_meta_size_bytes(unsigned size);
enum { MOLE_META_SIZES = 41 };

/* Never used pages, which read as zero, or NULL. */
void *mole_meta_take_pages(size_t bytes) mole_must_check;

/*
 * For tests, while no record is taken or given: bytes ever handed out as records, and how
 * many of them are free.
 */
size_t mole_meta_ever(void);
size_t mole_meta_free(void);

/* The whole mapping; what of a part is usable, and where that begins. */
size_t mole_meta_reserved(void);
size_t mole_meta_committed(enum mole_meta_part part);
const char *mole_meta_start(enum mole_meta_part part);
