/* SPDX-License-Identifier: MIT */
#include "arena/group.h"

#include <sys/wait.h>

#include "os/pages.h"
#include "unit.h"

enum {
    BYTES = 1000, /* of a size that no slab of these tests has */
    MOST = 2000,
};

static void *records[MOST];
static uint32_t groups[MOST];

static void *take_record(size_t index, size_t bytes)
{
    records[index] = mole_group_take(bytes, &groups[index]);
    require(records[index] != NULL, "no record");
    return records[index];
}

static void take_all(size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++)
        take_record(i, bytes);
}

static void give_all(size_t count)
{
    for (size_t i = 0; i < count; i++)
        mole_group_give(groups[i], records[i]);
}

static bool are_distinct(void)
{
    static void *sorted[MOST];
    memcpy(sorted, records, sizeof sorted);
    return all_distinct(sorted, MOST);
}

static void begin(void)
{
    (void)GetProcessHeap();
    stop_passes();
}

/* Records of a group of that size, and its bytes: from one new group to the next. */
static size_t count_in_group(size_t bytes, size_t *group_bytes)
{
    struct mole_group_figures first = mole_group_figures(), now = first;
    size_t count = 0, began = 0;
    for (size_t made = 0; made < 2; count++) {
        size_t groups_before = now.groups;
        take_record(count, bytes);
        now = mole_group_figures();
        if (now.groups == groups_before)
            continue;
        if (made++ == 0) {
            began = count;
            first = now;
        }
    }
    *group_bytes = now.page_bytes - first.page_bytes;
    give_all(count);
    return count - 1 - began;
}

Test(group, records_do_not_overlap)
{
    enum { COUNT = 300 };
    begin();
    take_all(COUNT, BYTES);
    for (size_t i = 0; i < COUNT; i++)
        stamp(records[i], BYTES, i);
    for (size_t i = 0; i < COUNT; i++)
        require(stamp_is_intact(records[i], BYTES, i), "record %zu was overwritten", i);
}

Test(group, records_begin_on_a_cache_line_and_read_as_zero_at_first)
{
    begin();
    for (size_t i = 0; i < 100; i++)
        require((uintptr_t)take_record(i, 2200) % MOLE_CACHE_LINE == 0 &&
                    is_all(records[i], 2200, 0),
                "record %zu does not", i);
}

/* Of each size a thread has one in use: they shall not all be in the same lines. */
Test(group, the_first_ones_are_at_different_places_in_their_pages)
{
    bool is_seen[MOLE_PAGE / MOLE_CACHE_LINE] = {false};
    size_t sizes = 0, places = 0;
    begin();
    for (size_t bytes = 192; bytes <= 4096; bytes = bytes * 9 / 8, sizes++) {
        uintptr_t at = (uintptr_t)take_record(0, bytes);
        bool *is_place_seen = &is_seen[at % MOLE_PAGE / MOLE_CACHE_LINE];
        places += !*is_place_seen;
        *is_place_seen = true;
    }
    require(places * 2 > sizes, "%zu sizes are at %zu places", sizes, places);
}

Test(group, no_more_than_a_twentieth_of_its_pages_is_left_over)
{
    begin();
    for (size_t bytes = 192; bytes <= 8384; bytes += 64) {
        size_t group_bytes, count = count_in_group(bytes, &group_bytes);
        size_t size = mole_meta_size_bytes(mole_meta_size_for(bytes));
        require(count <= MOLE_GROUP_MOST && group_bytes % MOLE_PAGE == 0,
                "%zu records in %zu bytes", count, group_bytes);
        require(count * size * 20 >= group_bytes * 19,
                "%zu records of %zu bytes in %zu bytes", count, size, group_bytes);
    }
}

Test(group, one_that_was_given_is_taken_next)
{
    begin();
    take_all(100, BYTES);
    mole_group_give(groups[40], records[40]);
    require(take_record(0, BYTES) == records[40], "another one was");
}

/* Else each life of a slab would end and begin with calls of the system. */
Test(group, few_that_are_all_free_stay_as_they_are)
{
    begin();
    size_t group_bytes, count = count_in_group(BYTES, &group_bytes) * MOLE_GROUP_KEPT;
    take_all(count, BYTES);
    for (size_t i = 0; i < count; i++)
        stamp(records[i], BYTES, i);
    size_t page_bytes = mole_group_figures().page_bytes;
    for (size_t times = 0; times < 3; times++) {
        give_all(count);
        require(mole_group_figures().page_bytes == page_bytes, "pages went");
        take_all(count, BYTES);
    }
    bool is_zero = false;
    for (size_t i = 0; i < count; i++)
        is_zero |= is_all(records[i], BYTES, 0);
    require(!is_zero, "what a record held is gone");
}

Test(group, the_pages_of_more_go)
{
    begin();
    size_t group_bytes, count = count_in_group(BYTES, &group_bytes);
    size_t before = mole_group_figures().page_bytes;
    take_all(MOST, BYTES);
    size_t most = mole_group_figures().page_bytes;
    for (size_t i = 0; i < MOST; i++)
        stamp(records[i], BYTES, i);
    give_all(MOST);
    size_t after = mole_group_figures().page_bytes;
    require(most - before > MOST / count * group_bytes / 2 && after <= before,
            "%zu bytes before, %zu, %zu in the end", before, most, after);
    for (size_t i = 0, gone = 0; i < MOST || gone < MOST / 2; i++) {
        require(i < MOST, "%zu records only are zero", gone);
        gone += is_all(records[i], BYTES, 0);
    }
}

Test(group, what_is_in_use_keeps_its_group)
{
    begin();
    size_t group_bytes, count = count_in_group(BYTES, &group_bytes);
    take_all(MOST, BYTES);
    for (size_t i = 0; i < MOST; i++)
        stamp(records[i], BYTES, i);
    for (size_t i = 0; i < MOST; i++)
        if (i % count != 3)
            mole_group_give(groups[i], records[i]);
    for (size_t i = 3; i < MOST; i += count)
        require(stamp_is_intact(records[i], BYTES, i), "record %zu was changed", i);
}

Test(group, those_whose_pages_went_are_used_again)
{
    begin();
    take_all(MOST, BYTES);
    size_t made = mole_group_figures().groups;
    for (size_t times = 0; times < 5; times++) {
        give_all(MOST);
        take_all(MOST, BYTES);
        require(are_distinct(), "a record was taken twice");
    }
    require(mole_group_figures().groups == made, "%zu groups, then %zu", made,
            mole_group_figures().groups);
}

Test(group, one_of_no_table_is_never_purged)
{
    begin();
    take_all(MOST, MOLE_GROUP_STAYS);
    for (size_t i = 0; i < MOST; i++)
        stamp(records[i], MOLE_GROUP_STAYS, i);
    size_t page_bytes = mole_group_figures().page_bytes;
    give_all(MOST);
    require(mole_group_figures().page_bytes == page_bytes, "pages went");
    for (size_t i = 0; i < MOST; i++)
        require(stamp_is_intact(records[i], MOLE_GROUP_STAYS, i), "%zu was changed", i);
}

/* As of a process whose memory is locked. */
Test(group, where_the_system_refuses_to_purge_nothing_is_lost)
{
    begin();
    take_all(MOST, BYTES);
    struct mole_group_figures before = mole_group_figures();
    mole_pages_inject(1, true);
    give_all(MOST);
    require(mole_pages_inject(0, false) > 0, "nobody tried");
    require(mole_group_figures().page_bytes == before.page_bytes, "pages went");
    take_all(MOST, BYTES);
    require(are_distinct(), "a record was taken twice");
    require(mole_group_figures().groups == before.groups, "there are more groups");
}

Test(group, without_memory_there_is_none_and_then_there_is_again)
{
    begin();
    mole_pages_inject(1, true);
    size_t count = 0;
    while (count < MOST && (records[count] = mole_group_take(8000, &groups[count])))
        count++;
    mole_pages_inject(0, false);
    require(count < MOST, "there was memory all the same");
    take_record(count, 8000);
    struct mole_group_figures before = mole_group_figures();
    give_all(count + 1);
    take_all(count + 1, 8000);
    require(mole_group_figures().groups == before.groups, "records get lost");
}

Test(group, a_forks_child_has_all_that_is_free)
{
    begin();
    take_all(MOST, BYTES);
    for (size_t i = 0; i < MOST; i += 3)
        mole_group_give(groups[i], records[i]);
    pid_t child = fork();
    if (child == 0) {
        struct mole_group_figures before = mole_group_figures();
        mole_group_repair();
        for (size_t i = 0; i < MOST; i += 3)
            take_record(i, BYTES);
        struct mole_group_figures after = mole_group_figures();
        bool is_good = are_distinct() && after.groups == before.groups &&
                       after.page_bytes == before.page_bytes;
        give_all(MOST);
        after = mole_group_figures();
        _exit(!(is_good && after.page_bytes < before.page_bytes));
    }
    int status;
    require(waitpid(child, &status, 0) == child, "no child");
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it has others");
}
