/* SPDX-License-Identifier: MIT */
#include "arena/hands.h"

#include "arena/bins.h"
#include "unit.h"

enum { COUNT = 600 };

static struct mole_run *run_of(size_t chunks)
{
    struct mole_run *run = mole_run_create(chunks);
    require(run != NULL, "no run of %zu chunks", chunks);
    return run;
}

static size_t held(void)
{
    size_t count = 0;
    for (struct mole_run *run = mole_hands_first(); run; run = run->next)
        count++;
    return count;
}

static void begin(void)
{
    stop_passes();
    mole_hands_enter();
    require(held() == 0, "%zu runs are in the hands already", held());
}

Test(hands, sort_is_by_address)
{
    static struct mole_run *runs[COUNT];
    begin();
    for (size_t i = 0; i < COUNT; i++)
        runs[i] = run_of(1 + i % 3);
    for (size_t i = 0; i < COUNT; i++)
        mole_hands_hold(runs[i * 7 % COUNT]);
    mole_hands_sort();
    require(held() == COUNT, "%zu of %d runs are there", held(), COUNT);
    size_t i = 0;
    for (struct mole_run *run = mole_hands_first(); run; run = run->next, i++)
        require(run == runs[i], "place %zu has another run", i);
}

Test(hands, sort_of_one_and_of_none)
{
    begin();
    mole_hands_sort();
    require(held() == 0, "a run came from nowhere");
    struct mole_run *run = run_of(1);
    mole_hands_hold(run);
    mole_hands_sort();
    require(mole_hands_first() == run && held() == 1, "it is not there");
}

Test(hands, best_is_the_smallest_that_will_do)
{
    static const size_t sizes[] = {9, 2, 5, 7, 4};
    begin();
    for (size_t i = 0; i < LENGTH(sizes); i++)
        mole_hands_hold(run_of(sizes[i]));
    require(mole_hands_best(5)->chunks == 5, "not the one of 5");
    require(mole_hands_best(6)->chunks == 7, "not the one of 7");
    require(!mole_hands_best(10), "one of 10 or more");
    require(mole_hands_best(1)->chunks == 2 && held() == LENGTH(sizes),
            "not the one of 2, or it left");
}

Test(hands, keep_takes_the_first_and_puts_the_others_back)
{
    begin();
    for (size_t chunks = 1; chunks < 4; chunks++)
        mole_hands_hold(run_of(chunks));
    require(mole_hands_keep()->chunks == 3 && held() == 0, "not the first one");
    require(mole_bins_pop_cold(0) && mole_bins_pop_cold(1) && !mole_bins_pop_cold(2),
            "the others are not where they belong");
}

Test(hands, put_goes_by_what_the_run_is)
{
    begin();
    struct mole_run *warm = run_of(3), *cold = run_of(3);
    warm->is_zero = 0;
    mole_hands_hold(cold);
    mole_hands_hold(warm);
    mole_hands_put_all();
    require(held() == 0, "%zu are left", held());
    require(mole_bins_pop_warm(2) == warm && mole_bins_pop_cold(2) == cold,
            "they are not where they belong");
}

Test(hands, take_warm_leaves_the_stack_empty)
{
    begin();
    for (size_t i = 0; i < 10; i++) {
        struct mole_run *run = run_of(3);
        run->is_zero = 0;
        mole_bins_push(run);
    }
    mole_hands_take_warm(2);
    require(held() == 10 && !mole_bins_pop_warm(2), "%zu of 10", held());
    mole_hands_take_warm(2);
    require(held() == 10, "an empty stack gave something");
    mole_hands_put_all();
    require(mole_bins_warm_chunks() == 30, "%zu of 30 chunks are counted",
            mole_bins_warm_chunks());
    mole_hands_take_warm(2);
    require(mole_bins_warm_chunks() == 0, "%zu chunks are counted in the hands",
            mole_bins_warm_chunks());
}

static const char *try_to_enter(struct worker *worker)
{
    answer_unless(mole_hands_try() == *(bool *)worker->shared, "wrong");
    return NULL;
}

Test(hands, try_does_not_wait)
{
    static bool is_free;
    begin();
    run_workers(1, try_to_enter, &is_free);
    mole_hands_leave();
    is_free = true;
    run_workers(1, try_to_enter, &is_free);
}

/* As a fork's child does, in which the thread that is inside does not exist. */
static const char *repair(struct worker *worker)
{
    (void)worker;
    mole_hands_repair();
    return NULL;
}

Test(hands, repair_puts_back_what_a_vanished_thread_held)
{
    begin();
    struct mole_run *one = run_of(3), *two = run_of(3);
    mole_hands_hold(one);
    mole_hands_hold(two);
    run_workers(1, repair, NULL);
    require(held() == 0, "%zu are left in the hands", held());
    struct mole_run *first = mole_bins_pop_cold(2), *second = mole_bins_pop_cold(2);
    require((first == one && second == two) || (first == two && second == one),
            "they are not back");
    require(mole_hands_try(), "the lock is still held");
}

Test(hands, repair_leaves_what_the_forking_thread_itself_holds)
{
    begin();
    mole_hands_hold(run_of(3));
    mole_hands_repair();
    require(held() == 1, "it was taken away");
}
