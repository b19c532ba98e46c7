/* SPDX-License-Identifier: MIT */
#include "arena/meta.h"

#include <assert.h>

#include "base/check.h"
#include "os/pages.h"

enum {
    STEP = 1 << 18,
    FIRST_UNIT = 1, /* index 0 ends a list */
};

/*
 * The first sizes are spans', whose tables of 32, 64, 96, 128 entries, then four sizes an
 * octave up to 4096 have one entry more, and a thread's cache; the rest powers of two for
 * lists that grow.
 */
static const uint32_t size_bytes[] = {
    64,      128,     192,      256,      320,      384,    448,    512,     576,
    640,     704,     832,      960,      1088,     1216,   1472,   1728,    1984,
    2240,    2752,    3264,     3776,     4288,     4352,   5312,   6336,    7360,
    8384,    16384,   32768,    65536,    131072,   262144, 524288, 1048576, 2097152,
    4194304, 8388608, 16777216, 33554432, 67108864,
};
static_assert(sizeof size_bytes / sizeof size_bytes[0] == MOLE_META_SIZES,
              "all sizes are counted");

/* Free records, by kind and size: a record's bucket. */
static struct mole_meta_stack stacks[MOLE_META_KINDS * MOLE_META_SIZES];

char *mole_meta_base;
static size_t total_bytes; /* const after init */

/*
 * taken_a: units taken from the start, for records, and pages << 32 from the end.
 *   writers  take_new
 *   readers  the same; tests
 *   orders   relaxed: new memory is zero for everybody
 *   keeps    neither falls; what is taken from both ends does not meet
 */
static _Atomic(uint64_t) taken_a;

/*
 * committed_a: bytes usable from the start, and from the end.
 *   writers  take_new
 *   readers  the same; tests
 *   orders   relaxed, likewise
 *   keeps    no less than what is taken there
 */
static _Atomic(size_t) committed_a[MOLE_META_PARTS];

bool mole_meta_init(void)
{
    if (total_bytes)
        return true;
    size_t bytes = (size_t)1 << 37;
    while (bytes > mole_pages_address_limit() / 4 && bytes > ((size_t)16 << 20))
        bytes /= 2;
    while (bytes >= ((size_t)16 << 20)) {
        mole_meta_base = mole_pages_reserve(bytes, MOLE_PAGE);
        if (mole_meta_base) {
            total_bytes = bytes;
            store_rlx(&taken_a, FIRST_UNIT);
            return true;
        }
        bytes /= 2;
    }
    return false;
}

unsigned mole_meta_size_for(size_t bytes)
{
    unsigned size = 0;
    while (size < MOLE_META_SIZES && size_bytes[size] < bytes)
        size++;
    return size;
}

size_t mole_meta_size_bytes(unsigned size)
{
    return size_bytes[size];
}

static size_t taken_of(enum mole_meta_part part, uint64_t taken)
{
    return part == MOLE_META_RECORDS ? (uint32_t)taken * (size_t)MOLE_META_UNIT
                                     : (taken >> 32) * MOLE_PAGE;
}

/* Where the `bytes` of the part end, or begin, that were taken last. */
static char *edge_of(enum mole_meta_part part, size_t bytes)
{
    return part == MOLE_META_RECORDS ? mole_meta_base + bytes
                                     : mole_meta_base + total_bytes - bytes;
}

/* Have so many bytes of the part usable. */
static bool commit(enum mole_meta_part part, size_t bytes)
{
    size_t committed = load_rlx(&committed_a[part]);
    size_t target = mole_round_up(bytes, STEP);
    if (bytes <= committed)
        return true;
    char *start = edge_of(part, part == MOLE_META_RECORDS ? committed : target);
    if (!mole_pages_commit(start, target - committed))
        return false;
    while (committed < target && !cas_weak_rlx(&committed_a[part], &committed, target)) {
    }
    return true;
}

static void *take_new(enum mole_meta_part part, size_t bytes)
{
    bool is_record = part == MOLE_META_RECORDS;
    uint64_t more =
        is_record ? bytes / MOLE_META_UNIT : (uint64_t)(bytes / MOLE_PAGE) << 32;
    uint64_t taken = load_rlx(&taken_a);
    for (;;) {
        size_t records = taken_of(MOLE_META_RECORDS, taken);
        size_t pages = taken_of(MOLE_META_PAGES, taken);
        size_t before = is_record ? records : pages;
        if (bytes > total_bytes - records - pages || !commit(part, before + bytes))
            return NULL;
        if (cas_weak_rlx(&taken_a, &taken, taken + more))
            return edge_of(part, is_record ? before : before + bytes);
    }
}

void *mole_meta_take_pages(size_t bytes)
{
    return take_new(MOLE_META_PAGES, bytes);
}

void mole_meta_push(struct mole_meta_stack *stack, struct mole_meta *record)
{
    uint64_t head = load_rlx(&stack->head_a);
    uint64_t with;
    do {
        store_rlx(&record->next_a, (uint32_t)head);
        with = ((head >> 32) + 1) << 32 | mole_meta_number(record);
    } while (!cas_weak_rel(&stack->head_a, &head, with)); /* HB-META-1 */
}

struct mole_meta *mole_meta_pop(struct mole_meta_stack *stack)
{
    uint64_t head = load_acq(&stack->head_a); /* HB-META-1 */
    while ((uint32_t)head != 0) {
        struct mole_meta *record = mole_meta_of_number((uint32_t)head);
        uint64_t below = load_rlx(&record->next_a);
        uint64_t tag = (head >> 32) + 1;
        if (cas_weak_acq_rel(&stack->head_a, &head, tag << 32 | below)) /* HB-META-1 */
            return record;
    }
    return NULL;
}

struct mole_meta *mole_meta_top(const struct mole_meta_stack *stack)
{
    uint32_t first = (uint32_t)load_acq(&stack->head_a); /* HB-META-1 */
    return first ? mole_meta_of_number(first) : NULL;
}

struct mole_meta *mole_meta_pop_all(struct mole_meta_stack *stack)
{
    uint64_t head = load_rlx(&stack->head_a);
    do {
        if ((uint32_t)head == 0)
            return NULL;
    } while (!cas_weak_acq_rel(&stack->head_a, &head, ((head >> 32) + 1) << 32));
    return mole_meta_of_number((uint32_t)head);
}

struct mole_meta *mole_meta_below(const struct mole_meta *record)
{
    uint32_t next = load_rlx(&record->next_a);
    return next ? mole_meta_of_number(next) : NULL;
}

void *mole_meta_take(enum mole_meta_kind kind, size_t bytes)
{
    unsigned size = mole_meta_size_for(bytes);
    if (size == MOLE_META_SIZES)
        return NULL;
    unsigned bucket = kind * MOLE_META_SIZES + size;
    struct mole_meta *record = mole_meta_pop(&stacks[bucket]);
    if (record)
        return record;
    record = take_new(MOLE_META_RECORDS, size_bytes[size]);
    if (record)
        record->bucket = bucket;
    return record;
}

void mole_meta_give(void *record)
{
    struct mole_meta *meta = record;
    mole_meta_push(&stacks[meta->bucket], meta);
}

size_t mole_meta_ever(void)
{
    return taken_of(MOLE_META_RECORDS, load_rlx(&taken_a) - FIRST_UNIT);
}

size_t mole_meta_bytes(const struct mole_meta *record)
{
    return size_bytes[record->bucket % MOLE_META_SIZES];
}

size_t mole_meta_free(void)
{
    size_t bytes = 0;
    for (unsigned bucket = 0; bucket < MOLE_META_KINDS * MOLE_META_SIZES; bucket++) {
        const struct mole_meta *record = mole_meta_top(&stacks[bucket]);
        for (; record; record = mole_meta_below(record))
            bytes += mole_meta_bytes(record);
    }
    return bytes;
}

size_t mole_meta_reserved(void)
{
    return total_bytes;
}

size_t mole_meta_committed(enum mole_meta_part part)
{
    return load_rlx(&committed_a[part]);
}

const char *mole_meta_start(enum mole_meta_part part)
{
    return part == MOLE_META_RECORDS ? mole_meta_base
                                     : edge_of(part, mole_meta_committed(part));
}
