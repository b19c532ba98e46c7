/* SPDX-License-Identifier: MIT */
#include "arena/group.h"

#include "base/check.h"
#include "os/pages.h"
#include "os/thread.h"

#define LISTED (1ull << 63) /* in the warm stack, or about to be */
#define GONE (1ull << 62)   /* its pages are purged; no bit is set */
#define GOING (1ull << 61)  /* somebody purges them; no bit is set */
#define BITS (GOING - 1)

enum { PAGES_MOST = 16 };

/* const but for state_a, and the link in a stack */
struct group {
    struct mole_meta meta;
    char *start;
    struct group *all_next;
    uint64_t all;   /* a bit for each record */
    uint32_t bytes; /* of its pages */
    uint32_t record_bytes;
    uint32_t size; /* of meta.h */
    uint32_t turn; /* the record that is taken first */

    /*
     * state_a: a bit for each free record; LISTED, GONE, GOING.
     *   writers  take, give, purge; who moves it between stacks
     *   readers  the same
     *   orders   give CAS release, take and purge CAS acquire: HB-GROUP-1
     *   keeps    a set bit's record is nobody's; GONE and GOING: all are, and no bit set
     */
    _Atomic(uint64_t) state_a;
};

/* The groups of one size. */
struct shelf {
    struct mole_meta_stack warm, cold;

    /*
     * whole_a: groups with all bits set.
     *   writers  take, give, purge
     *   readers  give
     *   orders   relaxed: a figure
     *   keeps    one on its way may be counted or not; negative then
     */
    _Atomic(int32_t) whole_a;
};
static struct shelf shelves[MOLE_META_SIZES];

/*
 * all_a: all groups, linked by all_next.
 *   writers  create pushes
 *   readers  a fork's child, tests
 *   orders   relaxed: fork, or the end of the threads, orders
 *   keeps    only grows
 */
static _Atomic(struct group *) all_a;

/*
 * begun_a, ended_a: times that somebody began, and ended, to have a group in hand.
 *   writers  begin, end
 *   readers  who found no group and no memory for one
 *   orders   begin add relaxed, before the CAS of a stack or a state; end add release,
 *            load acquire: HB-GROUP-2
 *   keeps    ended_a <= begun_a, but in the child of a signal's handler
 */
static _Atomic(uint64_t) begun_a;
static _Atomic(uint64_t) ended_a;

static void begin(void)
{
    mole_thread_bits.has_group = true;
    fence_compiler();
    add_rlx(&begun_a, 1);
}

static void end(void)
{
    add_rel(&ended_a, 1); /* HB-GROUP-2 */
    fence_compiler();
    mole_thread_bits.has_group = false;
}

static struct group *group_of(struct mole_meta *record)
{
    return (struct group *)(void *)record;
}

static struct group *of_number(uint32_t number)
{
    return group_of(mole_meta_of_number(number));
}

/* All records are free, and can be found from now on. The group is in no stack. */
static void list(struct group *group)
{
    struct shelf *shelf = &shelves[group->size];
    store_rel(&group->state_a, group->all | LISTED); /* HB-GROUP-1 */
    add_rlx(&shelf->whole_a, 1);
    mole_meta_push(&shelf->warm, &group->meta);
}

/*
 * Of so many pages that least is left over of them. The first record taken is elsewhere
 * in each group, or the slabs that a thread allocates from by turns would share a few
 * places in its processor's cache.
 */
static void cut(struct group *group, unsigned size)
{
    uint32_t least = UINT32_MAX;
    group->bytes = 0;
    group->size = size;
    group->record_bytes = (uint32_t)mole_meta_size_bytes(size);
    for (uint32_t pages = 1; pages <= PAGES_MOST; pages++) {
        uint32_t bytes = pages * MOLE_PAGE, count = bytes / group->record_bytes;
        if (count == 0 || count > MOLE_GROUP_MOST)
            continue;
        uint32_t left = bytes % group->record_bytes * (PAGES_MOST * 2) / pages;
        if (left > least)
            continue;
        least = left;
        group->bytes = bytes;
        group->all = (1ull << count) - 1;
    }
    check(group->bytes > 0);
    uint32_t count = group->bytes / group->record_bytes;
    group->turn =
        (uint32_t)((uint64_t)(mole_meta_number(&group->meta) * 0x9e3779b9u) * count >>
                   32);
}

static bool create(unsigned size)
{
    struct group *group = mole_meta_take(MOLE_META_GROUP, sizeof *group);
    if (!group)
        return false;
    cut(group, size);
    group->start = mole_meta_take_pages(group->bytes);
    if (!group->start) {
        mole_meta_give(group);
        return false;
    }
    begin();
    store_rlx(&group->state_a, GONE); /* in a child forked before it is listed */
    struct group *head = load_rlx(&all_a);
    do {
        group->all_next = head;
    } while (!cas_weak_rel(&all_a, &head, group));
    list(group);
    end();
    return true;
}

/* The group came out of the warm stack: back into it, or where it belongs by now. */
static void refile(struct group *group)
{
    struct shelf *shelf = &shelves[group->size];
    uint64_t state = load_rlx(&group->state_a);
    for (;;) {
        if (state & BITS) {
            mole_meta_push(&shelf->warm, &group->meta);
            return;
        }
        if (!cas_weak_acq_rel(&group->state_a, &state, state & ~LISTED))
            continue;
        if (state & GONE)
            mole_meta_push(&shelf->cold, &group->meta);
        return;
    }
}

/* The group on top has no free record. */
static void pass_over(struct shelf *shelf)
{
    begin();
    struct mole_meta *top = mole_meta_pop(&shelf->warm);
    if (top)
        refile(group_of(top));
    end();
}

/* Have a group whose pages are gone in the warm stack. */
static bool revive(struct shelf *shelf)
{
    if (!mole_meta_top(&shelf->cold))
        return false;
    begin();
    struct mole_meta *top = mole_meta_pop(&shelf->cold);
    if (top)
        list(group_of(top));
    end();
    return top != NULL;
}

/* Whether nobody can have a group in hand that `shelf`, which has none, may get. */
static bool is_bare(const struct shelf *shelf)
{
    uint64_t ended = load_acq(&ended_a); /* HB-GROUP-2 */
    return !mole_meta_top(&shelf->warm) && !mole_meta_top(&shelf->cold) &&
           load_acq(&begun_a) <= ended;
}

/* The record of the first free bit from the group's turn on, or of the first; or NULL. */
static void *take_from(struct group *group)
{
    uint64_t state = load_rlx(&group->state_a), bit;
    do {
        uint64_t from_turn = state >> group->turn << group->turn & BITS;
        uint64_t bits = from_turn ? from_turn : state & BITS;
        bit = bits & -bits;
        if (!bit)
            return NULL;
    } while (!cas_weak_acq_rel(&group->state_a, &state, state & ~bit)); /* HB-GROUP-1 */
    if ((state & BITS) == group->all)
        sub_rlx(&shelves[group->size].whole_a, 1);
    return group->start + (size_t)__builtin_ctzll(bit) * group->record_bytes;
}

void *mole_group_take(size_t bytes, uint32_t *number)
{
    unsigned size = mole_meta_size_for(bytes);
    struct shelf *shelf = &shelves[size];
    for (;;) {
        struct mole_meta *top = mole_meta_top(&shelf->warm);
        if (!top) {
            if (revive(shelf) || create(size))
                continue;
            if (is_bare(shelf))
                return NULL;
            mole_thread_yield();
            continue;
        }
        void *record = take_from(group_of(top));
        if (likely(record)) {
            *number = mole_meta_number(top);
            return record;
        }
        pass_over(shelf);
    }
}

/* The pages of a group that is all free go; one that is not any more is left alone. */
static void purge(struct group *group)
{
    struct shelf *shelf = &shelves[group->size];
    uint64_t state = load_rlx(&group->state_a);
    do {
        if ((state & BITS) != group->all)
            return;
    } while (!cas_weak_acq_rel(&group->state_a, &state,
                               (state & LISTED) | GOING)); /* HB-GROUP-1 */
    sub_rlx(&shelf->whole_a, 1);
    bool is_gone = mole_pages_purge(group->start, group->bytes);
    uint64_t bits = is_gone ? GONE : group->all | LISTED;
    state = swap_acq_rel(&group->state_a, bits); /* HB-GROUP-1 */
    if (!is_gone)
        add_rlx(&shelf->whole_a, 1);
    if (!(state & LISTED)) /* else who meets it in the stack files it */
        mole_meta_push(is_gone ? &shelf->cold : &shelf->warm, &group->meta);
}

/*
 * The record is free, and listed; returns the state before. While this lists the group
 * others may free further records of it, which are in no stack then.
 */
static uint64_t set_bit(struct group *group, size_t index)
{
    uint64_t state = load_rlx(&group->state_a), with;
    bool has_begun = false;
    do {
        check(!(state >> index & 1));
        with = state | 1ull << index | LISTED;
        if (!(state & LISTED) && !has_begun)
            begin();
        has_begun |= !(state & LISTED);
    } while (!cas_weak_acq_rel(&group->state_a, &state, with)); /* HB-GROUP-1, -2 */
    if (!(state & LISTED))
        mole_meta_push(&shelves[group->size].warm, &group->meta);
    if (has_begun)
        end();
    return state;
}

void mole_group_give(uint32_t number, void *record)
{
    struct group *group = of_number(number);
    struct shelf *shelf = &shelves[group->size];
    size_t index = (size_t)((char *)record - group->start) / group->record_bytes;
    uint64_t state = set_bit(group, index), with = state | 1ull << index;
    if ((with & BITS) != group->all || add_rlx(&shelf->whole_a, 1) < MOLE_GROUP_KEPT ||
        group->record_bytes <= MOLE_GROUP_STAYS)
        return;
    begin();
    purge(group);
    end();
}

size_t mole_group_record_bytes(uint32_t group)
{
    return of_number(group)->record_bytes;
}

/* What a group is worth that nobody works with, by its bits alone. */
static void list_anew(struct group *group)
{
    struct shelf *shelf = &shelves[group->size];
    uint64_t state = load_rlx(&group->state_a);
    if (state & GOING)
        state = group->all;
    state &= ~LISTED;
    if (state & BITS)
        state |= LISTED;
    store_rlx(&group->state_a, state);
    if ((state & BITS) == group->all)
        add_rlx(&shelf->whole_a, 1);
    if (state)
        mole_meta_push(state & GONE ? &shelf->cold : &shelf->warm, &group->meta);
}

void mole_group_repair(void)
{
    store_rlx(&begun_a, 0);
    store_rlx(&ended_a, 0);
    if (mole_thread_bits.has_group) /* by the signal whose handler forked */
        return;
    for (unsigned size = 0; size < MOLE_META_SIZES; size++) {
        (void)mole_meta_pop_all(&shelves[size].warm);
        (void)mole_meta_pop_all(&shelves[size].cold);
        store_rlx(&shelves[size].whole_a, 0);
    }
    for (struct group *group = load_rlx(&all_a); group; group = group->all_next)
        list_anew(group);
}

struct mole_group_figures mole_group_figures(void)
{
    struct mole_group_figures figures = {0};
    for (struct group *group = load_rlx(&all_a); group; group = group->all_next) {
        uint64_t state = load_rlx(&group->state_a);
        uint64_t used = state & (GONE | GOING) ? 0 : group->all & ~state;
        figures.groups++;
        figures.used_bytes += (size_t)__builtin_popcountll(used) * group->record_bytes;
        figures.page_bytes += state & GONE ? 0 : group->bytes;
    }
    return figures;
}
