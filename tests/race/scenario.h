/* SPDX-License-Identifier: MIT */
/*
 * Scenarios for stepped tests of lock-free structures. One thread does one operation and
 * is stopped before each of its instructions; another thread, the other, looks at
 * everything at each stop, and acts: at every stop, or, in one run for each, at the k-th
 * only. When the operation is over, the first thread settles the accounts.
 *
 *   first thread   reset, before, | stepped, instruction by instruction |, settle
 *   the other                          observe; act; observe
 *
 * Stops before the k-th are passed over. After it the first thread goes on without stops
 * when there is nothing to observe.
 *
 * A program has a table of struct scenario and ends in scenario_main.
 */
#pragma once

#include "step.h"

enum {
    SCENARIO_ONCE = 1, /* acting at every stop makes no sense */
    SCENARIO_OWNER_STEPPED =
        2,               /* the structure's owner is stopped, not one that calls on it */
    SCENARIO_COARSE = 4, /* act at every fifth stop */
    SCENARIO_SPARSE = 8, /* or at every 293rd, of all that there are */
    SCENARIO_MOST = 44,
    SCENARIO_MOST_RUNS = 1000,
    SCENARIO_MOST_STEPS = 20000,
    SCENARIO_LEAST_ACTS = 8,
};

/* The structure that is tested. */
struct scene {
    void (*reset)(void);   /* before each run; NULL: nothing */
    void (*observe)(void); /* what must hold at every stop; NULL: nothing */
    void (*settle)(void);  /* what must hold in the end */
};

struct scenario {
    const char *name;
    void (*before)(void); /* or NULL */
    void (*stepped)(void);
    void (*act)(void);
    const struct scene *scene;
    unsigned how;
};

/* What the child tells the parent. */
struct report {
    size_t runs, stops, acts, failures;
    char first_failure[200];
};

static struct report *reports; /* shared */
static struct report *report;  /* of the scenario being run */
static struct step_link *scenario_link;

static const struct scenario *scenarios;
static size_t scenario_count;
static void (*scenario_set_up)(void);  /* in the child, once; or NULL */
static const struct scenario *present; /* being run */
static size_t stop;                    /* number of the present stop in this run */
static size_t chosen;                  /* the stop to act at; 0: every one */

__attribute__((format(printf, 1, 2))) static race_maybe void complain(const char *format,
                                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (report->failures++ == 0)
        vsnprintf(report->first_failure, sizeof report->first_failure, format, arguments);
    va_end(arguments);
}

#define expect(condition, ...) ((condition) ? (void)0 : complain(__VA_ARGS__))

/* --- the other thread --------------------------------------------------------------- */

static void scenario_stop(void)
{
    void (*observe)(void) = present->scene->observe;
    stop++;
    report->stops++;
    if (observe)
        observe();
    if (report->failures || (chosen != 0 && chosen != stop))
        return; /* what is broken already may not end */
    report->acts++;
    present->act();
    if (observe)
        observe();
    else if (chosen != 0)
        atomic_store(&scenario_link->passed_over, SCENARIO_MOST_STEPS);
}

static void *scenario_be_the_other(void *argument)
{
    step_serve(argument, scenario_stop);
    return NULL;
}

/* --- the first thread --------------------------------------------------------------- */

static void scenario_run_once(struct step_link *link)
{
    report->runs++;
    if (present->scene->reset)
        present->scene->reset();
    if (present->before)
        present->before();
    stop = chosen ? chosen - 1 : 0; /* until then it is as in the runs before */
    atomic_store(&link->passed_over, stop);
    step_enter(link);
    present->stepped();
    step_leave(link);
    if (!report->failures)
        present->scene->settle();
}

/* With the act at every stop, then at each one alone, until there are no more stops. */
static void scenario_run(struct step_link *link, size_t index)
{
    present = &scenarios[index];
    report = &reports[index];
    bool is_sparse = present->how & SCENARIO_SPARSE;
    size_t step = is_sparse ? 293 : present->how & SCENARIO_COARSE ? 5 : 1;
    size_t most = is_sparse ? (size_t)SCENARIO_MOST_STEPS : (size_t)SCENARIO_MOST_RUNS;
    for (chosen = present->how & SCENARIO_ONCE; chosen < most && !report->failures;
         chosen += step) {
        scenario_run_once(link);
        if (chosen > stop)
            break;
    }
}

static int scenario_child(struct step_link *link)
{
    report = &reports[0];
    scenario_link = link;
    if (scenario_set_up)
        scenario_set_up();
    pthread_t other = race_thread(scenario_be_the_other, link);
    if (step_begin(link))
        for (size_t i = 0; i < scenario_count && !report->failures; i++)
            scenario_run(link, i); /* what broke in one would break the next */
    atomic_store(&link->is_over, true);
    race_join(other);
    return 0;
}

/* --- the parent --------------------------------------------------------------------- */

static void *scenario_shared(size_t bytes)
{
    void *start =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

/* Step through all operations there are. False: one was held up, or did not end. */
static bool scenario_step_through(struct step_tracer *tracer)
{
    while (step_next(tracer)) {
        size_t steps = 0;
        do {
            if (steps >= atomic_load(&tracer->link->passed_over) &&
                !step_ask(tracer, STEP_PATIENCE_MS)) {
                race_fail("the other thread is held up or dead");
                return false;
            }
        } while (atomic_load(&tracer->link->passed_over) < SCENARIO_MOST_STEPS &&
                 step_once(tracer) && ++steps < SCENARIO_MOST_STEPS);
        if (steps == SCENARIO_MOST_STEPS) {
            race_fail("an operation has not ended after %zu instructions", steps);
            return false;
        }
    }
    return true;
}

/* False: it was not run. */
static bool scenario_tell(const struct scenario *scenario, const struct report *told)
{
    if (told->runs == 0)
        return false;
    printf("%s: %zu runs, %zu stops, %zu acts\n", scenario->name, told->runs, told->stops,
           told->acts);
    race_case(told->failures == 0 && told->acts >= SCENARIO_LEAST_ACTS, "%s: %s",
              scenario->name,
              told->failures ? told->first_failure : "hardly anything was done");
    return true;
}

static void scenario_all(void)
{
    reports = scenario_shared(SCENARIO_MOST * sizeof *reports);
    if (!reports || scenario_count > SCENARIO_MOST) {
        race_fail("no reports: %s", strerror(errno));
        return;
    }
    struct step_tracer tracer = step_fork(scenario_child);
    if (!step_attach_or_skip(&tracer))
        return;
    if (!scenario_step_through(&tracer))
        kill(tracer.child, SIGKILL);
    race_case(WIFEXITED(tracer.status) && WEXITSTATUS(tracer.status) == 0,
              "the stepped process ended with status 0x%x", (unsigned)tracer.status);
    size_t told = 0;
    for (size_t i = 0; i < scenario_count; i++)
        told += scenario_tell(&scenarios[i], &reports[i]);
    race_case(told == scenario_count, "only %zu of %zu scenarios were run", told,
              scenario_count);
}

static race_maybe int scenario_main(const char *name, const struct scenario *table,
                                    size_t count, void (*set_up)(void))
{
    scenarios = table;
    scenario_count = count;
    scenario_set_up = set_up;
    return step_main(name, scenario_all);
}
