/* SPDX-License-Identifier: MIT */
#include "arena/meta.h"

#include "unit.h"

enum { BYTES = 3000 }; /* a size that nothing else in the process asks for */

static struct mole_meta *take_record(enum mole_meta_kind kind, size_t bytes)
{
    struct mole_meta *record = mole_meta_take(kind, bytes);
    require(record != NULL, "no record of %zu bytes", bytes);
    return record;
}

Test(meta, records_do_not_overlap)
{
    enum { COUNT = 200 };
    char *records[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t bytes = 64 + i * 97;
        records[i] = (char *)take_record(MOLE_META_LIST, bytes);
        memset(records[i] + sizeof(struct mole_meta), (int)i,
               bytes - sizeof(struct mole_meta));
    }
    for (size_t i = 0; i < COUNT; i++)
        require(is_all(records[i] + sizeof(struct mole_meta),
                       64 + i * 97 - sizeof(struct mole_meta), (unsigned char)i),
                "record %zu was overwritten", i);
}

Test(meta, a_never_used_record_reads_as_zero)
{
    char *record = (char *)take_record(MOLE_META_HEAP, BYTES);
    require(
        is_all(record + sizeof(struct mole_meta), BYTES - sizeof(struct mole_meta), 0),
        "it does not");
}

Test(meta, records_begin_on_a_cache_line)
{
    for (size_t bytes = 1; bytes < 5000; bytes += 333)
        require((uintptr_t)take_record(MOLE_META_LIST, bytes) % MOLE_CACHE_LINE == 0,
                "one of %zu bytes does not", bytes);
}

Test(meta, the_record_given_last_is_taken_first)
{
    struct mole_meta *a = take_record(MOLE_META_HEAP, BYTES);
    struct mole_meta *b = take_record(MOLE_META_HEAP, BYTES);
    mole_meta_give(a);
    mole_meta_give(b);
    require(take_record(MOLE_META_HEAP, BYTES) == b, "not the last one given");
    require(take_record(MOLE_META_HEAP, BYTES) == a, "not the one given before");
}

Test(meta, a_reused_record_holds_what_it_held)
{
    char *record = (char *)take_record(MOLE_META_HEAP, BYTES);
    stamp(record + 64, BYTES - 64, 1);
    mole_meta_give(record);
    require((char *)take_record(MOLE_META_HEAP, BYTES) == record, "another record");
    require(stamp_is_intact(record + 64, BYTES - 64, 1), "it was changed");
}

Test(meta, records_of_different_kinds_never_share_memory)
{
    void *given[MOLE_META_KINDS];
    for (unsigned kind = 0; kind < MOLE_META_KINDS; kind++)
        mole_meta_give(given[kind] = take_record((enum mole_meta_kind)kind, BYTES));
    for (unsigned kind = 0; kind < MOLE_META_KINDS; kind++)
        require(take_record((enum mole_meta_kind)kind, BYTES) == given[kind],
                "kind %u got another kind's record", kind);
}

Test(meta, records_of_different_sizes_never_share_memory)
{
    struct mole_meta *small = take_record(MOLE_META_HEAP, BYTES);
    mole_meta_give(small);
    require(take_record(MOLE_META_HEAP, BYTES * 4) != small, "a larger record is there");
    require(take_record(MOLE_META_HEAP, BYTES / 4) != small, "a smaller record is there");
}

Test(meta, a_record_too_large_is_refused)
{
    require(!mole_meta_take(MOLE_META_LIST, (size_t)128 << 20), "128 MiB were not");
    require(!mole_meta_take(MOLE_META_LIST, SIZE_MAX), "SIZE_MAX bytes were not");
}

Test(meta, an_empty_stack_has_no_record)
{
    static struct mole_meta_stack stack;
    require(!mole_meta_pop(&stack) && !mole_meta_pop_all(&stack), "it has one");
}

Test(meta, pop_all_gives_the_last_push_first_and_leaves_nothing)
{
    static struct mole_meta_stack stack;
    enum { COUNT = 20 };
    struct mole_meta *records[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        mole_meta_push(&stack, records[i] = take_record(MOLE_META_LIST, 64));
    struct mole_meta *record = mole_meta_pop_all(&stack);
    require(!mole_meta_pop(&stack), "something is left");
    for (size_t i = COUNT; i-- > 0; record = mole_meta_below(record))
        require(record == records[i], "record %zu is not in its place", i);
    require(!record, "there is one more");
}

enum { WORKERS = 4, RECORDS = 50 };

static const char *pop_and_push(struct worker *worker)
{
    struct mole_meta_stack *stack = worker->shared;
    for (size_t i = 0; i < repeats(20000); i++) {
        struct mole_meta *record = mole_meta_pop(stack);
        answer_unless(record, "the stack was empty");
        int *mark = (int *)(void *)(record + 1);
        answer_unless(*mark == 0, "two threads had one record");
        *mark = 1;
        *mark = 0;
        mole_meta_push(stack, record);
    }
    return NULL;
}

Test(meta, threads_that_pop_and_push_lose_nothing)
{
    static struct mole_meta_stack stack;
    void *found[RECORDS];
    for (size_t i = 0; i < RECORDS; i++) {
        struct mole_meta *record = take_record(MOLE_META_LIST, 64);
        *(int *)(void *)(record + 1) = 0;
        mole_meta_push(&stack, record);
    }
    run_workers(WORKERS, pop_and_push, &stack);
    size_t count = 0;
    for (struct mole_meta *record; count <= RECORDS && (record = mole_meta_pop(&stack));)
        found[count++ % RECORDS] = record;
    require(count == RECORDS, "%zu of %d records are left", count, RECORDS);
    require(all_distinct(found, RECORDS), "a record is there twice");
}
