/* SPDX-License-Identifier: MIT */
#include "arena/meta.h"

#include "base/check.h"
#include "os/pages.h"

enum {
    UNIT = 64,
    STEP = 1 << 18,
    FIRST_UNIT = 1, /* index 0 ends a list */
};

/*
 * Bucket sizes: the first ones are spans, whose tables of 32, 64, 96, 128 entries, then
 * four sizes an octave up to 4096 have one entry more, and a thread's cache; the rest
 * powers of two for lists that grow.
 */
static const uint32_t bucket_bytes[] = {
    64,      128,     192,      256,      320,      384,    448,    512,     576,
    640,     704,     832,      960,      1088,     1216,   1472,   1728,    1984,
    2240,    2752,    3264,     3776,     4288,     4352,   5312,   6336,    7360,
    8384,    16384,   32768,    65536,    131072,   262144, 524288, 1048576, 2097152,
    4194304, 8388608, 16777216, 33554432, 67108864,
};
enum { BUCKET_COUNT = sizeof bucket_bytes / sizeof bucket_bytes[0] };

static struct mole_meta_stack stacks[MOLE_META_KINDS * BUCKET_COUNT];

static char *base;         /* const after init */
static size_t total_bytes; /* const after init */

/*
 * next_a, committed_a: bytes handed out for the first time; bytes usable.
 *   writers  take_new
 *   readers  the same; tests
 *   orders   relaxed: new memory is zero for everybody
 *   keeps    next_a <= committed_a <= total_bytes
 */
static _Atomic(size_t) next_a;
static _Atomic(size_t) committed_a;

bool mole_meta_init(void)
{
    if (total_bytes)
        return true;
    size_t bytes = (size_t)1 << 37;
    while (bytes > mole_pages_address_limit() / 4 && bytes > ((size_t)16 << 20))
        bytes /= 2;
    while (bytes >= ((size_t)16 << 20)) {
        base = mole_pages_reserve(bytes, MOLE_PAGE);
        if (base) {
            total_bytes = bytes;
            store_rlx(&next_a, (size_t)FIRST_UNIT * UNIT);
            return true;
        }
        bytes /= 2;
    }
    return false;
}

static unsigned bucket_of(size_t bytes)
{
    unsigned bucket = 0;
    while (bucket < BUCKET_COUNT && bucket_bytes[bucket] < bytes)
        bucket++;
    return bucket;
}

static struct mole_meta *record_at(uint32_t index)
{
    return (struct mole_meta *)(void *)(base + (size_t)index * UNIT);
}

static uint32_t index_of(const struct mole_meta *record)
{
    return (uint32_t)((size_t)((const char *)record - base) / UNIT);
}

static struct mole_meta *take_new(unsigned bucket)
{
    size_t bytes = bucket_bytes[bucket % BUCKET_COUNT];
    size_t next = load_rlx(&next_a);
    for (;;) {
        if (bytes > total_bytes - next)
            return NULL;
        size_t committed = load_rlx(&committed_a);
        if (next + bytes > committed) {
            size_t target = mole_round_up(next + bytes, STEP);
            if (!mole_pages_commit(base + committed, target - committed))
                return NULL;
            while (committed < target &&
                   !cas_weak_rlx(&committed_a, &committed, target)) {
            }
            next = load_rlx(&next_a);
        } else if (cas_weak_rlx(&next_a, &next, next + bytes)) {
            struct mole_meta *record = record_at((uint32_t)(next / UNIT));
            record->bucket = bucket;
            return record;
        }
    }
}

void mole_meta_push(struct mole_meta_stack *stack, struct mole_meta *record)
{
    uint64_t head = load_rlx(&stack->head_a);
    uint64_t with;
    do {
        store_rlx(&record->next_a, (uint32_t)head);
        with = ((head >> 32) + 1) << 32 | index_of(record);
    } while (!cas_weak_rel(&stack->head_a, &head, with)); /* HB-META-1 */
}

struct mole_meta *mole_meta_pop(struct mole_meta_stack *stack)
{
    uint64_t head = load_acq(&stack->head_a); /* HB-META-1 */
    while ((uint32_t)head != 0) {
        struct mole_meta *record = record_at((uint32_t)head);
        uint64_t below = load_rlx(&record->next_a);
        uint64_t tag = (head >> 32) + 1;
        if (cas_weak_acq_rel(&stack->head_a, &head, tag << 32 | below)) /* HB-META-1 */
            return record;
    }
    return NULL;
}

struct mole_meta *mole_meta_pop_all(struct mole_meta_stack *stack)
{
    uint64_t head = load_rlx(&stack->head_a);
    do {
        if ((uint32_t)head == 0)
            return NULL;
    } while (!cas_weak_acq_rel(&stack->head_a, &head, ((head >> 32) + 1) << 32));
    return record_at((uint32_t)head);
}

struct mole_meta *mole_meta_below(const struct mole_meta *record)
{
    uint32_t next = load_rlx(&record->next_a);
    return next ? record_at(next) : NULL;
}

void *mole_meta_take(enum mole_meta_kind kind, size_t bytes)
{
    unsigned bucket = bucket_of(bytes);
    if (bucket == BUCKET_COUNT)
        return NULL;
    bucket += kind * BUCKET_COUNT;
    struct mole_meta *record = mole_meta_pop(&stacks[bucket]);
    return record ? record : take_new(bucket);
}

void mole_meta_give(void *record)
{
    struct mole_meta *meta = record;
    mole_meta_push(&stacks[meta->bucket], meta);
}

size_t mole_meta_ever(void)
{
    return load_rlx(&next_a) - (size_t)FIRST_UNIT * UNIT;
}

size_t mole_meta_bytes(const struct mole_meta *record)
{
    return bucket_bytes[record->bucket % BUCKET_COUNT];
}

size_t mole_meta_free(void)
{
    size_t bytes = 0;
    for (unsigned bucket = 0; bucket < MOLE_META_KINDS * BUCKET_COUNT; bucket++) {
        uint32_t first = (uint32_t)load_rlx(&stacks[bucket].head_a);
        const struct mole_meta *record = first ? record_at(first) : NULL;
        for (; record; record = mole_meta_below(record))
            bytes += mole_meta_bytes(record);
    }
    return bytes;
}

size_t mole_meta_reserved(void)
{
    return total_bytes;
}

size_t mole_meta_committed(void)
{
    return load_rlx(&committed_a);
}
