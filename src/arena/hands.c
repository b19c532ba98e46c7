/* SPDX-License-Identifier: MIT */
#include "arena/hands.h"

#include "arena/bins.h"
#include "os/thread.h"

enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

static struct mole_lock lock = {PTHREAD_MUTEX_INITIALIZER};

/* All under lock; a fork's child reads them. */
static uintptr_t holder;                /* mole_thread_self of who has it; 0: nobody */
static struct mole_run *held;           /* the hands */
static struct mole_meta *caught;        /* what take_all has yet to put there */
static struct mole_run *digits[DIGITS]; /* parts of them, while they are sorted */

void mole_hands_enter(void)
{
    mole_lock_acquire(&lock);
    holder = mole_thread_self();
}

bool mole_hands_try(void)
{
    if (!mole_lock_try(&lock))
        return false;
    holder = mole_thread_self();
    return true;
}

void mole_hands_leave(void)
{
    holder = 0;
    mole_lock_release(&lock);
}

struct mole_run *mole_hands_first(void)
{
    return held;
}

static void push(struct mole_run **list, struct mole_run *run)
{
    run->next = *list;
    fence_compiler(); /* a fork's child must not find the run before its link */
    *list = run;
}

static struct mole_run *pop(struct mole_run **list)
{
    struct mole_run *run = *list;
    *list = run->next;
    fence_compiler(); /* nor in two lists */
    return run;
}

void mole_hands_hold(struct mole_run *run)
{
    push(&held, run);
}

static void hold_caught(void)
{
    while (caught) {
        struct mole_meta *meta = caught;
        caught = mole_meta_below(meta);
        fence_compiler();
        mole_bins_note_taken((struct mole_run *)(void *)meta);
        push(&held, (struct mole_run *)(void *)meta);
    }
}

void mole_hands_take_warm(unsigned bin)
{
    caught = mole_meta_pop_all(mole_bins_warm(bin));
    hold_caught();
}

void mole_hands_put(void)
{
    mole_bins_push(pop(&held));
}

void mole_hands_put_all(void)
{
    while (held)
        mole_hands_put();
}

struct mole_run *mole_hands_best(size_t chunks)
{
    struct mole_run **best = NULL;
    for (struct mole_run **link = &held; *link; link = &(*link)->next)
        if ((*link)->chunks >= chunks && (!best || (*link)->chunks < (*best)->chunks))
            best = link;
    if (!best)
        return NULL;
    push(&held, pop(best));
    return held;
}

struct mole_run *mole_hands_keep(void)
{
    while (held->next) /* first, so that no more than one run is on its way */
        mole_bins_push(pop(&held->next));
    return pop(&held);
}

/* One digit of the chunks' numbers: two reversals keep the order of equal ones. */
static void sort_by(unsigned shift, const char *lowest)
{
    while (held) {
        size_t number = (size_t)(held->base - lowest) / MOLE_CHUNK;
        push(&digits[number >> shift & (DIGITS - 1)], pop(&held));
    }
    for (size_t digit = DIGITS; digit-- > 0;)
        while (digits[digit])
            push(&held, pop(&digits[digit]));
}

void mole_hands_sort(void)
{
    const char *lowest = held ? held->base : NULL;
    const char *highest = lowest;
    for (const struct mole_run *run = held; run; run = run->next) {
        lowest = run->base < lowest ? run->base : lowest;
        highest = run->base > highest ? run->base : highest;
    }
    size_t most = (size_t)(highest - lowest) / MOLE_CHUNK;
    for (unsigned shift = 0; shift < 64 && most >> shift; shift += DIGIT_BITS)
        sort_by(shift, lowest);
}

void mole_hands_repair(void)
{
    mole_lock_init(&lock);
    bool is_interrupted = holder == mole_thread_self();
    holder = 0;
    if (is_interrupted)
        return; /* by the signal whose handler forked: the hands are this thread's */
    hold_caught();
    for (size_t digit = 0; digit < DIGITS; digit++)
        while (digits[digit])
            push(&held, pop(&digits[digit]));
    mole_hands_put_all();
}
