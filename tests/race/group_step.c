/* SPDX-License-Identifier: MIT */
/*
 * Groups of records, one instruction at a time: a take, a give, or a give after which the
 * group's pages go is stopped, and another thread takes and gives records of the same
 * size, uses groups up or lets their pages go. A record is somebody's or free, what is
 * held keeps its contents, and no record is lost: in the end all that there are can be
 * taken without a new group. So it is in the child of a fork, too.
 */
#include "arena/group.h"
#include "os/pages.h"
#include "scenario.h"

enum {
    BYTES = 1000,      /* of a size that no slab here has */
    MOST_OTHERS = 300, /* that another takes one after the other */
    MOST = 1000,
    UNLUCKY = 3, /* groups made because another was in hand just then */
};

static const uint64_t held_mark = 0x48454c4448454c44, free_mark = 0x4652454546524545;

struct holding {
    void *record;
    uint32_t group;
};

/* What a thread has taken. */
struct purse {
    struct holding holdings[MOST];
    size_t count;
};
static struct purse ours, others;
static size_t per_group, records; /* of a group; of all at first */
static size_t most_groups;

static uint64_t *mark_of(const struct holding *holding)
{
    return (uint64_t *)holding->record + 1;
}

/* False: there was none, which never is so here. */
static void take_into(struct purse *purse)
{
    struct holding *holding = &purse->holdings[purse->count];
    holding->record = mole_group_take(BYTES, &holding->group);
    if (!holding->record) {
        complain("acted at %zu: there is no record", chosen);
        return;
    }
    expect(*mark_of(holding) != held_mark, "acted at %zu: one was taken twice", chosen);
    *mark_of(holding) = held_mark;
    purse->count++;
}

static void give_from(struct purse *purse)
{
    if (purse->count == 0)
        return;
    struct holding *holding = &purse->holdings[--purse->count];
    expect(*mark_of(holding) == held_mark, "acted at %zu: what one held is gone", chosen);
    *mark_of(holding) = free_mark;
    mole_group_give(holding->group, holding->record);
}

static void take_so_many(struct purse *purse, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take_into(purse);
}

static void give_all_from(struct purse *purse)
{
    while (purse->count > 0)
        give_from(purse);
}

static size_t group_count(void)
{
    return mole_group_figures().groups;
}

static size_t used_bytes(void)
{
    return mole_group_figures().used_bytes;
}

/* --- the scene ---------------------------------------------------------------------- */

/* All is free: of MOLE_GROUP_KEPT groups the pages are there, of some they are gone. */
static void reset(void)
{
    give_all_from(&ours);
    give_all_from(&others);
}

/* As many as there are can be taken, once each, and no group was made for want of one. */
static void settle(void)
{
    give_all_from(&ours);
    give_all_from(&others);
    size_t used = used_bytes(), groups = group_count();
    expect(groups <= most_groups, "acted at %zu: there are %zu groups", chosen, groups);
    take_so_many(&ours, records);
    expect(group_count() == groups, "acted at %zu: a record is lost", chosen);
    give_all_from(&ours);
    expect(used_bytes() == used, "acted at %zu: records are counted wrongly", chosen);
}

static const struct scene scene = {reset, NULL, settle};

/* --- before ------------------------------------------------------------------------- */

/* Both hold some of one group. */
static void some_before(void)
{
    take_so_many(&ours, 2);
    take_so_many(&others, 3);
}

/* The group on top has one free record. */
static void last_before(void)
{
    take_so_many(&others, per_group - 1);
}

/* The groups that are listed are used up. */
static void used_up_before(void)
{
    take_so_many(&others, per_group * MOLE_GROUP_KEPT);
}

/* The same, and we hold one of them. */
static void full_before(void)
{
    take_so_many(&ours, 1);
    take_so_many(&others, per_group * MOLE_GROUP_KEPT - 1);
}

/* Once we give what we hold, one group more is all free than may stay. */
static void too_many_before(void)
{
    take_so_many(&others, per_group * MOLE_GROUP_KEPT);
    take_so_many(&ours, 1);
    give_all_from(&others);
}

/* --- what is stopped, and what the other does --------------------------------------- */

static void take(void)
{
    take_into(&ours);
}

static void give(void)
{
    give_from(&ours);
}

static void take_one(void)
{
    if (others.count < MOST_OTHERS)
        take_into(&others);
}

static void give_one(void)
{
    give_from(&others);
}

static void take_and_give(void)
{
    take_into(&others);
    give_from(&others);
}

static void take_groups(void)
{
    take_so_many(&others, 3 * per_group);
}

static void give_all(void)
{
    give_all_from(&others);
}

static void take_groups_and_give_all(void)
{
    take_so_many(&others, 3 * per_group);
    give_all_from(&others);
}

/*
 * In the child, which does not have the stopped thread: all but what that one had, or had
 * in hand, can be taken.
 */
static int check_child(void)
{
    size_t groups = group_count();
    take_so_many(&others, records - ours.count - others.count - 1);
    bool is_good = report->failures == 0 && group_count() == groups;
    for (size_t i = 0; i < others.count; i++)
        is_good &= *mark_of(&others.holdings[i]) == held_mark;
    give_all_from(&others);
    return is_good && report->failures == 0 ? 0 : 1;
}

static void fork_now(void)
{
    (void)HeapFree(GetProcessHeap(), 0, HeapAlloc(GetProcessHeap(), 0, 1));
    pid_t child = fork();
    if (child == 0)
        _exit(check_child());
    int status = 0;
    expect(child > 0 && waitpid(child, &status, 0) == child && status == 0,
           "acted at %zu: the child ended with %d", chosen, status);
}

/* --- with no memory for a further group, and a third thread ------------------------- */

/* 0: it rests; 1: it is to take a record; 2: it has one, or was refused. */
static atomic_int third_state;
static struct holding third;

static void *be_the_third(void *unused)
{
    for (;;) {
        while (atomic_load(&third_state) != 1)
            sched_yield();
        third.record = mole_group_take(BYTES, &third.group);
        atomic_store(&third_state, 2);
    }
    return unused;
}

static void all_used_up_before(void)
{
    take_so_many(&others, records);
    mole_pages_inject(1, true);
    while ((third.record = mole_group_take(BYTES, &third.group))) {
        *mark_of(&third) = held_mark;
        others.holdings[others.count++] = third;
    }
}

/* One of them is ours, and the others' next are of its group. */
static void all_but_ours_used_up_before(void)
{
    all_used_up_before();
    ours.holdings[ours.count++] = others.holdings[--others.count];
}

static void try_to_take(void)
{
    struct holding *holding = &ours.holdings[ours.count];
    holding->record = mole_group_take(BYTES, &holding->group);
    if (!holding->record)
        return;
    *mark_of(holding) = held_mark;
    ours.count++;
}

/* Two are free from here on, and two want one each: neither may be refused. */
static void give_two_to_a_third(void)
{
    give_from(&others);
    give_from(&others);
    atomic_store(&third_state, 1);
    for (int turn = 0; turn < 50 && atomic_load(&third_state) != 2; turn++)
        sched_yield();
}

static void settle_with_a_third(void)
{
    while (atomic_load(&third_state) == 1)
        sched_yield();
    mole_pages_inject(0, false);
    expect(!atomic_load(&third_state) || third.record,
           "acted at %zu: a third was refused a record that was to be had", chosen);
    if (atomic_load(&third_state) && third.record)
        mole_group_give(third.group, third.record);
    atomic_store(&third_state, 0);
    settle();
}

static const struct scene with_a_third = {reset, NULL, settle_with_a_third};

/* --- scenarios ---------------------------------------------------------------------- */

#define ONCE SCENARIO_ONCE

#define BY(name, what, before, stepped, act, how)                 \
    {                                                             \
        name ", another " what, before, stepped, act, &scene, how \
    }
#define AGAINST(name, before, stepped)                                      \
    BY(name, "takes", before, stepped, take_one, 0),                        \
        BY(name, "gives", before, stepped, give_one, 0),                    \
        BY(name, "takes and gives", before, stepped, take_and_give, 0),     \
        BY(name, "takes three groups", before, stepped, take_groups, ONCE), \
        BY(name, "gives all", before, stepped, give_all, ONCE),             \
        BY(name, "takes and gives three groups", before, stepped,           \
           take_groups_and_give_all, ONCE),                                 \
        BY(name, "forks", before, stepped, fork_now, ONCE)

static const struct scenario group_scenarios[] = {
    AGAINST("take", some_before, take),
    AGAINST("take of the last", last_before, take),
    AGAINST("take with all used up", used_up_before, take),
    AGAINST("give", some_before, give),
    AGAINST("give to a group that is used up", full_before, give),
    AGAINST("give, and pages go", too_many_before, give),
    {"take with none to be had, another gives two and a third takes", all_used_up_before,
     try_to_take, give_two_to_a_third, &with_a_third, ONCE},
    {"give with none to be had, another gives two and a third takes",
     all_but_ours_used_up_before, give, give_two_to_a_third, &with_a_third, ONCE},
};

/* More than are ever taken; the pages of most are gone once all are free. */
static void set_up(void)
{
    (void)HeapAlloc(GetProcessHeap(), 0, 1);
    size_t before = group_count(), most = MOST_OTHERS;
    while (group_count() < before + 2)
        take_into(&ours);
    per_group = ours.count - 1;
    records = ((most + per_group - 1) / per_group + 4) * per_group;
    take_so_many(&ours, records - ours.count);
    most_groups = group_count() + UNLUCKY;
    pthread_detach(race_thread(be_the_third, NULL));
}

int main(void)
{
    return scenario_main("group_step", group_scenarios,
                         sizeof group_scenarios / sizeof group_scenarios[0], set_up);
}
