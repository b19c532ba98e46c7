/* SPDX-License-Identifier: MIT */
/*
 * The tagged stacks of records, one instruction at a time: a push, a pop or the taking of
 * all is stopped, and another thread pops and pushes, so that the stack's first record is
 * the one it was, with others below it.
 */
#include "arena/meta.h"
#include "scenario.h"

enum { RECORDS = 6, NOBODY = RECORDS };

static struct mole_meta_stack stack;
static struct mole_meta *records[RECORDS];
static bool is_others[RECORDS]; /* popped by the other thread, and kept */
static struct mole_meta *ready; /* what the stepped push pushes */
static struct mole_meta *taken; /* by the stepped pop, or a list by the stepped pop_all */
static bool was_empty;          /* seen by the other thread */

/* NOBODY: no record of ours. */
static size_t number_of(const struct mole_meta *record)
{
    size_t i = 0;
    while (i < RECORDS && records[i] != record)
        i++;
    return i;
}

static void reset(void)
{
    for (size_t i = 0; i < RECORDS; i++) {
        if (!records[i])
            records[i] = mole_meta_take(MOLE_META_LIST, 64);
        if (!records[i])
            abort();
        is_others[i] = false;
    }
    (void)mole_meta_pop_all(&stack);
    ready = taken = NULL;
    was_empty = false;
}

/* Note in `times` what is in a list. */
static void walk(const struct mole_meta *record, unsigned times[RECORDS],
                 const char *what)
{
    for (size_t steps = 0; record; record = mole_meta_below(record)) {
        size_t number = number_of(record);
        if (number == NOBODY || ++steps > RECORDS) {
            complain("acted at %zu: %s does not end", chosen, what);
            return;
        }
        times[number]++;
    }
}

/* What the stack has, without taking it: its head looks like a link. */
static void look(unsigned times[RECORDS])
{
    struct mole_meta head;
    store_rlx(&head.next_a, (uint32_t)load_acq(&stack.head_a));
    walk(mole_meta_below(&head), times, "the stack");
}

static void observe(void)
{
    unsigned times[RECORDS] = {0};
    size_t count = 0;
    look(times);
    for (size_t i = 0; i < RECORDS; i++) {
        count += times[i];
        expect(times[i] + is_others[i] <= 1,
               "acted at %zu, stop %zu: record %zu is in the stack %u times, the other "
               "thread has it %d times",
               chosen, stop, i, times[i], is_others[i]);
    }
    was_empty |= count == 0;
}

/* Every record is somewhere, once; `times` has what the stepped thread took. */
static void settle_with(unsigned times[RECORDS])
{
    look(times);
    for (size_t i = 0; i < RECORDS; i++)
        expect(times[i] + is_others[i] == 1, "acted at %zu: record %zu is there %u times",
               chosen, i, times[i] + is_others[i]);
    expect(ready || taken || was_empty, "acted at %zu: nothing came from a stack of some",
           chosen);
}

static void settle(void)
{
    unsigned times[RECORDS] = {0};
    if (number_of(taken) != NOBODY)
        times[number_of(taken)]++;
    settle_with(times);
}

static void settle_all(void)
{
    unsigned times[RECORDS] = {0};
    walk(taken, times, "what was taken");
    settle_with(times);
}

/* --- what is stopped, and what the other thread does -------------------------------- */

/* Two records are the other thread's, the rest in the stack. */
static void filled_before(void)
{
    is_others[0] = is_others[1] = true;
    for (size_t i = RECORDS; i-- > 2;)
        mole_meta_push(&stack, records[i]);
}

/* The same, but for one that is to be pushed. */
static void ready_before(void)
{
    filled_before();
    ready = mole_meta_pop(&stack);
}

/* The stack is empty, but for what is to be pushed. */
static void alone_before(void)
{
    memset(is_others, true, sizeof is_others);
    is_others[2] = false;
    ready = records[2];
}

static void push_ready(void)
{
    mole_meta_push(&stack, ready);
}

static void pop(void)
{
    taken = mole_meta_pop(&stack);
}

static void pop_all(void)
{
    taken = mole_meta_pop_all(&stack);
}

static size_t other_pops(void)
{
    struct mole_meta *record = mole_meta_pop(&stack);
    size_t number = number_of(record);
    if (number == NOBODY)
        return NOBODY;
    expect(!is_others[number], "acted at %zu: record %zu was popped twice", chosen,
           number);
    is_others[number] = true;
    return number;
}

static void other_pushes(size_t number)
{
    if (number == NOBODY || !is_others[number])
        return;
    is_others[number] = false;
    mole_meta_push(&stack, records[number]);
}

static void pop_one(void)
{
    (void)other_pops();
}

/* A new first record: what the other thread has. */
static void push_one(void)
{
    size_t number = 0;
    while (number < RECORDS && !is_others[number])
        number++;
    other_pushes(number);
}

static void push_and_pop(void)
{
    push_one();
    (void)other_pops();
}

/* The first record is the first again, with the next one gone. */
static void pop_two_and_push_first(void)
{
    size_t first = other_pops();
    (void)other_pops();
    other_pushes(first);
}

/* The first record is the first again, with another one below it. */
static void pop_first_and_push_two(void)
{
    size_t first = other_pops();
    push_one();
    other_pushes(first);
}

/* All are gone but the first. */
static void pop_all_and_push_first(void)
{
    struct mole_meta *record = mole_meta_pop_all(&stack);
    size_t first = number_of(record);
    for (size_t steps = 0; record && steps < RECORDS; steps++) {
        size_t number = number_of(record);
        record = mole_meta_below(record);
        if (number == NOBODY)
            break;
        expect(!is_others[number], "acted at %zu: record %zu was popped twice", chosen,
               number);
        is_others[number] = true;
    }
    other_pushes(first);
}

/* --- scenarios ---------------------------------------------------------------------- */

static const struct scene one = {reset, observe, settle};
static const struct scene all = {reset, observe, settle_all};

#define ONCE SCENARIO_ONCE

#define AGAINST(name, before, stepped, scene)                                           \
    {name ", another pops", before, stepped, pop_one, scene, 0},                        \
        {name ", another pushes", before, stepped, push_one, scene, 0},                 \
        {name ", another pushes and pops", before, stepped, push_and_pop, scene, ONCE}, \
        {name ", the first stays and the second goes",                                  \
         before,                                                                        \
         stepped,                                                                       \
         pop_two_and_push_first,                                                        \
         scene,                                                                         \
         ONCE},                                                                         \
        {name ", the first stays and another comes below it",                           \
         before,                                                                        \
         stepped,                                                                       \
         pop_first_and_push_two,                                                        \
         scene,                                                                         \
         ONCE},                                                                         \
    {                                                                                   \
        name ", only the first stays", before, stepped, pop_all_and_push_first, scene,  \
            ONCE                                                                        \
    }

static const struct scenario stack_scenarios[] = {
    AGAINST("push", ready_before, push_ready, &one),
    AGAINST("push to an empty stack", alone_before, push_ready, &one),
    AGAINST("pop", filled_before, pop, &one),
    AGAINST("pop of all", filled_before, pop_all, &all),
};

static void set_up(void)
{
    (void)GetProcessHeap();
}

int main(void)
{
    return scenario_main("stack_step", stack_scenarios,
                         sizeof stack_scenarios / sizeof stack_scenarios[0], set_up);
}
