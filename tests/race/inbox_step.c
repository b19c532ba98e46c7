/* SPDX-License-Identifier: MIT */
/*
 * The lock-free lists of a slab, one instruction at a time: the inbox and the owner's
 * woken list. What must hold at every stop is in observe().
 */
#include "arena/inbox.h"
#include "scenario.h"
#include "tcache/process.h"

enum { BLOCKS = 16, SLAB_CLASS = 31, SLAB_BYTES = 1024 };

/* --- one slab, seen as its owner and its freeing threads do ------------------------- */

static struct mole_owner owner;
static struct mole_span *slab;    /* whose inbox is tested */
static struct mole_span *another; /* only ever in the woken list */
static bool is_pushed[BLOCKS];    /* handed to mole_inbox_push, by now or soon */
static unsigned returned[BLOCKS]; /* how often it came out again */
static uint32_t next_block;       /* the first not pushed yet */
/* What a stepped take took: looked at when it is over, for the steps' sake. */
static uint32_t taken[3];
static size_t taken_count;

static struct mole_span *make_slab(void)
{
    struct mole_span *span = mole_span_take(BLOCKS);
    struct mole_run *run = mole_pool_take(NULL, 1);
    if (!span || !run)
        abort();
    run->is_cut = 0; /* a full inbox counts as a return */
    mole_span_map_slab(span, run->base, BLOCKS * SLAB_BYTES / MOLE_PAGE, SLAB_CLASS,
                       &owner, run);
    if (span->block_bytes != SLAB_BYTES || span->capacity != BLOCKS)
        abort();
    return span;
}

/* All blocks live, nothing anywhere. */
static void reset(void)
{
    owner.heap = mole_process_heap();
    if (!slab) {
        slab = make_slab();
        another = make_slab();
    }
    store_rlx(&owner.woken_a, NULL);
    store_rlx(&owner.heap->returned_a, 0);
    store_rlx(&slab->inbox_a, MOLE_END);
    store_rlx(&another->inbox_a, MOLE_END);
    slab->woken_next = another->woken_next = NULL;
    slab->fresh = BLOCKS;
    slab->free = MOLE_END;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        store_rlx(&slab->entry_a[i], (uint16_t)MOLE_LIVE);
        is_pushed[i] = false;
        returned[i] = 0;
    }
    next_block = 0;
    taken_count = 0;
}

struct list {
    uint32_t first, last, count;
};

/*
 * Link the next `count` blocks as a batch does. None, count 0, if there are not so many.
 */
static struct list link_next(uint32_t count)
{
    struct list list = {.first = next_block, .last = next_block + count - 1};
    if (list.last >= BLOCKS)
        return list;
    list.count = count;
    for (uint32_t i = list.first; i <= list.last; i++) {
        is_pushed[i] = true;
        store_rlx(&slab->entry_a[i], (uint16_t)(i == list.last ? MOLE_END : i + 1));
    }
    next_block += count;
    return list;
}

static void push(uint32_t count)
{
    struct list list = link_next(count);
    if (list.count)
        mole_inbox_push(slab, list.first, list.last, list.count);
}

/* The owner: put what was taken on the free list. */
static void receive(uint32_t word)
{
    uint32_t count = mole_inbox_count(word), index = mole_inbox_first(word);
    if (count == slab->capacity)
        sub_rlx(&slab->heap->returned_a, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (index >= BLOCKS) {
            complain("stop %zu: a list of %u ends after %u blocks", stop, count, i);
            return;
        }
        uint32_t below = load_rlx(&slab->entry_a[index]);
        expect(is_pushed[index], "stop %zu: block %u came, which nobody pushed", stop,
               index);
        expect(returned[index]++ == 0, "stop %zu: block %u came twice", stop, index);
        store_rlx(&slab->entry_a[index], slab->free);
        slab->free = (uint16_t)index;
        index = below;
    }
    expect(index == MOLE_END, "stop %zu: a list of %u goes on with %u", stop, count,
           index);
}

static void take_blocks(void)
{
    receive(mole_inbox_take(slab, false));
}

/* The owner: take the woken list, and what is in the slabs' inboxes. */
static void take_woken(void)
{
    struct mole_span *span = swap_acq(&owner.woken_a, NULL);
    while (span) {
        struct mole_span *next = span->woken_next;
        uint32_t word = mole_inbox_take(span, true);
        if (span == slab)
            receive(word);
        span = next;
    }
}

static void take_everything(void)
{
    take_woken();
    take_blocks();
}

static size_t times_in_woken_list(const struct mole_span *wanted)
{
    size_t times = 0, steps = 0;
    for (struct mole_span *span = load_rlx(&owner.woken_a); span;
         span = span->woken_next) {
        times += span == wanted;
        if (++steps > 2) {
            complain("stop %zu: the woken list does not end", stop);
            break;
        }
    }
    return times;
}

/* At any instruction of a push, a take or a wake. */
static void observe(void)
{
    uint32_t word = load_acq(&slab->inbox_a);
    uint32_t count = mole_inbox_count(word), index = mole_inbox_first(word);
    bool is_seen[BLOCKS] = {false};
    for (uint32_t i = 0; i < count; i++) {
        if (index >= BLOCKS || is_seen[index]) {
            complain("stop %zu: the inbox of %u is no list", stop, count);
            return;
        }
        is_seen[index] = true;
        uint16_t entry = load_rlx(&slab->entry_a[index]);
        expect(!mole_span_entry_is_live(entry), "stop %zu: live block in the inbox",
               stop);
        expect(is_pushed[index] && !returned[index],
               "stop %zu: block %u in the inbox was not pushed, or has come already",
               stop, index);
        index = entry;
    }
    expect(index == MOLE_END, "stop %zu: the inbox of %u goes on with %u", stop, count,
           index);
    size_t times = times_in_woken_list(slab);
    bool is_listed = word & MOLE_INBOX_LISTED;
    expect(times <= 1, "stop %zu: the slab is in the woken list twice", stop);
    expect(times == 0 || is_listed, "stop %zu: in the woken list, but not LISTED", stop);
    expect(count == 0 || is_listed, "stop %zu: blocks, but not LISTED", stop);
    if (!(present->how & SCENARIO_OWNER_STEPPED))
        mole_span_check(slab);
}

/* After the operation: everything comes out, once. */
static void settle_accounts(void)
{
    bool is_listed = load_rlx(&slab->inbox_a) & MOLE_INBOX_LISTED;
    expect(is_listed == (times_in_woken_list(slab) == 1),
           "at the end the slab is LISTED or in the list, but not both");
    is_listed = load_rlx(&another->inbox_a) & MOLE_INBOX_LISTED;
    expect(is_listed == (times_in_woken_list(another) == 1),
           "at the end another slab is LISTED or in the list, but not both");
    for (size_t i = 0; i < taken_count; i++)
        receive(taken[i]);
    take_everything();
    for (uint32_t i = 0; i < BLOCKS; i++)
        expect(returned[i] == is_pushed[i], "block %u: pushed %d, came %u times", i,
               is_pushed[i], returned[i]);
    expect(mole_inbox_is_quiet(slab), "the inbox is not quiet at the end");
    expect(load_rlx(&owner.heap->returned_a) == 0, "%d returns too many were counted",
           (int)load_rlx(&owner.heap->returned_a));
    mole_span_check(slab);
}

/* --- what is stopped, and what the other thread does -------------------------------- */

static struct list ready; /* what the stepped push hands over */

static void quiet_before(void)
{
    ready = link_next(1);
}

static void quiet_before_batch(void)
{
    ready = link_next(3);
}

static void filled_before_batch(void)
{
    push(1);
    push(1);
    ready = link_next(3);
}

/* LISTED, with nothing in it. */
static void empty_before(void)
{
    push(1);
    take_blocks();
    ready = link_next(1);
}

/* All but the batch, and one for the other thread. */
static void nearly_full_before_batch(void)
{
    push(BLOCKS - 4);
    ready = link_next(3);
}

static void push_ready(void)
{
    mole_inbox_push(slab, ready.first, ready.last, ready.count);
}

static void filled_before(void)
{
    push(1);
    push(1);
}

static void nearly_full_before(void)
{
    push(BLOCKS - 1);
}

static void push_one(void)
{
    push(1);
}

/* As after the push that listed it. */
static void listed_before(void)
{
    store_rlx(&slab->inbox_a, MOLE_INBOX_LISTED | MOLE_END);
}

static void wake(void)
{
    mole_inbox_wake(slab);
}

static void step_take_blocks(void)
{
    taken[taken_count++] = mole_inbox_take(slab, false);
}

static void step_take_woken(void)
{
    struct mole_span *span = swap_acq(&owner.woken_a, NULL);
    while (span) {
        struct mole_span *next = span->woken_next;
        uint32_t word = mole_inbox_take(span, true);
        if (span == slab)
            taken[taken_count++] = word;
        span = next;
    }
}

static void step_take_everything(void)
{
    step_take_woken();
    step_take_blocks();
}

/* Unless it is in the list already. */
static void wake_another(void)
{
    if (load_rlx(&another->inbox_a) & MOLE_INBOX_LISTED)
        return;
    store_rlx(&another->inbox_a, MOLE_INBOX_LISTED | MOLE_END);
    mole_inbox_wake(another);
}

static void wake_another_and_take(void)
{
    wake_another();
    take_everything();
}

static void push_and_take(void)
{
    push(1);
    take_everything();
}

static void take_and_push(void)
{
    take_everything();
    push(1);
}

/* --- scenarios ---------------------------------------------------------------------- */

static const struct scene lists = {reset, observe, settle_accounts};

#define PUSHES(name, before)                                                            \
    {name ", the owner takes", before, push_ready, take_everything, &lists, 0},         \
        {name ", another pushes", before, push_ready, push_one, &lists, SCENARIO_ONCE}, \
        {name ", another pushes, the owner takes",                                      \
         before,                                                                        \
         push_ready,                                                                    \
         push_and_take,                                                                 \
         &lists,                                                                        \
         SCENARIO_ONCE},                                                                \
    {                                                                                   \
        name ", the owner takes, another pushes", before, push_ready, take_and_push,    \
            &lists, SCENARIO_ONCE                                                       \
    }

static const struct scenario inbox_scenarios[] = {
    PUSHES("push to a quiet inbox", quiet_before),
    PUSHES("push of three to a quiet inbox", quiet_before_batch),
    PUSHES("push of three to a filled inbox", filled_before_batch),
    PUSHES("push to an empty listed inbox", empty_before),
    PUSHES("push of the last blocks", nearly_full_before_batch),
    {"wake, the owner takes", listed_before, wake, take_everything, &lists, 0},
    {"wake, another is woken", listed_before, wake, wake_another, &lists, SCENARIO_ONCE},
    {"wake, another is woken, the owner takes", listed_before, wake,
     wake_another_and_take, &lists, SCENARIO_ONCE},
    {"take, others push", filled_before, step_take_blocks, push_one, &lists,
     SCENARIO_OWNER_STEPPED},
    {"take of the woken list, others push", filled_before, step_take_woken, push_one,
     &lists, SCENARIO_OWNER_STEPPED},
    {"take of the woken list, another is woken", filled_before, step_take_woken,
     wake_another, &lists, SCENARIO_OWNER_STEPPED},
    {"take of everything, the last block is pushed", nearly_full_before,
     step_take_everything, push_one, &lists, SCENARIO_OWNER_STEPPED | SCENARIO_ONCE},
};

static void set_up(void)
{
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("inbox_step", inbox_scenarios,
                         sizeof inbox_scenarios / sizeof inbox_scenarios[0], set_up);
}
