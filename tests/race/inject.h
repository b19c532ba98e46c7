/* SPDX-License-Identifier: MIT */
/*
 * Out of memory at every system call of the OS layer, for inject.c and inject_give.c. A
 * scenario makes one thing after another; the k-th system call of it fails, once or from
 * then on. What was asked for then is NULL with ENOMEM or was done all the same, what was
 * there before is intact, everything works once memory is back, and in the end nothing is
 * left over. k rises until no call fails any more.
 *
 * Nothing is lost either: once all things are unmade, they are made and unmade again with
 * all calls working. Then every chunk ever handed out must be in a heap or in the pool,
 * and every record free, or of a run or span that is found there, or of what a run
 * without a failure has too; heaps hold what they hold without a failure.
 *
 * Every run is a process of its own, so that each begins with the same state. For the
 * first use, which comes before main, the process also is a new program.
 */
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>

#include "arena/bins.h"
#include "arena/group.h"
#include "arena/hands.h"
#include "arena/region.h"
#include "arena/span_map.h"
#include "os/pages.h"
#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

int mh_malloc_trim(size_t pad);

enum {
    MOST_THINGS = 4000,
    MOST_CALLS = 400,
    MOST_LOST = 64, /* chunks of a run that a move lost */
    OLD_MS = 500,   /* memory free for longer goes back to the system */
};

/* How a run, which is a process, ends. */
enum { RUN_FAILED = 1, RUN_INJECTED = 10, RUN_UNTOUCHED = 11 };

struct scenario {
    const char *name;
    size_t things;   /* how many to make */
    size_t few;      /* and how many under valgrind, which takes its time for each */
    bool at_start;   /* the first use of the library is part of it */
    bool has_passes; /* memory that is free for long goes back meanwhile */
    bool (*make)(size_t index); /* false: not enough memory, and errno says so */
    bool (*is_intact)(size_t index);
    void (*unmake)(size_t index);
};

/* What molehill holds when a run is over. */
struct figures {
    size_t known;            /* bytes of records of runs that were found, and of groups */
    size_t span_bytes;       /* bytes of records of spans that were found */
    size_t lost_spans;       /* bytes of others */
    size_t others;           /* bytes of the other records in use */
    size_t chunks;           /* handed out since the start */
    size_t free_chunks;      /* in the pool */
    size_t lost;             /* runs that the system took: MOLE_PAGES_LOST */
    size_t runs, run_chunks; /* in heaps */
    size_t spans;            /* in heaps */
    unsigned long calls;     /* made while calls could fail */
};

static HANDLE heap; /* of the scenario, with nothing in it */
static void *things[MOST_THINGS];
static bool is_injected_at_start;
static const char
    *program;            /* how this one was called; /proc/self/exe may be valgrind's */
static size_t lost_ever; /* moves that lost their target, in all runs */

/* Before the library's own constructor. */
__attribute__((constructor(101))) static void inject_at_start(void)
{
    const char *nth = getenv("MOLE_INJECT"), *forever = getenv("MOLE_INJECT_FOREVER");
    is_injected_at_start = nth && forever;
    if (is_injected_at_start)
        mole_pages_inject(strtoul(nth, NULL, 10), atoi(forever));
}

static race_maybe bool stamp(size_t index, size_t bytes)
{
    if (things[index])
        race_stamp(things[index], bytes, index);
    return things[index] != NULL;
}

static void add_run(const struct mole_run *run, struct figures *figures)
{
    figures->runs++;
    figures->run_chunks += run->chunks;
    figures->known += mole_meta_bytes(&run->meta);
    const struct mole_span *last = &mole_span_nobody;
    for (size_t page = 0; page < run->chunks * (size_t)MOLE_CHUNK_PAGES; page++) {
        const struct mole_span *span = mole_span_map_find(run->base + page * MOLE_PAGE);
        if (span != last && span != &mole_span_nobody) {
            figures->spans++;
            figures->span_bytes += mole_group_record_bytes(span->group);
        }
        last = span;
    }
}

/* The runs that are free. Nobody else has any in his hands. */
static void add_pool(struct figures *figures)
{
    struct mole_run *taken = NULL, *run;
    (void)mole_spare_release(true);
    mole_pool_drain(mole_thread_slots());
    mole_hands_enter();
    for (unsigned bin = 0; bin < MOLE_BINS; bin++)
        while ((run = mole_bins_pop_warm(bin)) || (run = mole_bins_pop_cold(bin))) {
            figures->free_chunks += run->chunks;
            figures->known += mole_meta_bytes(&run->meta);
            run->next = taken;
            taken = run;
        }
    while ((run = taken)) {
        taken = run->next;
        mole_bins_push(run);
    }
    mole_hands_leave();
}

static struct figures take_figures(void)
{
    struct figures figures = {.lost = mole_pages_lost()};
    (void)mole_large_cache_pass(true); /* what caches keep is free, */
    if (heap)                          /* and their empty slabs, of whatever size, are: */
        (void)HeapCompact(heap, 0);
    (void)mh_malloc_trim(0);
    for (struct mole_heap *each = mole_heap_first(); each; each = mole_heap_next(each))
        if (load_rlx(&each->word_a))
            for (const struct mole_run *run = each->arena.runs; run; run = run->next)
                add_run(run, &figures);
    add_pool(&figures);
    figures.chunks = mole_region_taken() / MOLE_CHUNK;
    struct mole_group_figures groups = mole_group_figures();
    figures.lost_spans = groups.used_bytes - figures.span_bytes;
    figures.known += groups.groups * MOLE_CACHE_LINE;
    figures.others = mole_meta_ever() - mole_meta_free() - figures.known;
    return figures;
}

static void require_intact(const struct scenario *scenario, size_t count)
{
    for (size_t i = 0; i < count; i++)
        race_require(scenario->is_intact(i), "%s: thing %zu was disturbed",
                     scenario->name, i);
}

/* Make one thing; a call may fail, and then all is well with it the next time. */
static unsigned long make_one(const struct scenario *scenario, size_t index, bool forever)
{
    errno = 0;
    if (scenario->make(index))
        return 0;
    race_require(errno == ENOMEM, "%s: errno is %d, not ENOMEM", scenario->name, errno);
    if (forever) /* it stays bad */
        require_intact(scenario, index);
    unsigned long calls = mole_pages_inject(0, false);
    require_intact(scenario, index);
    if (!scenario->make(index)) {
        race_fail("%s: thing %zu fails again with memory back", scenario->name, index);
        _exit(RUN_FAILED);
    }
    return calls;
}

static size_t count_of(const struct scenario *scenario)
{
    return race_size(scenario->things, scenario->things, scenario->few);
}

/* Make all things while calls fail; returns the number of calls. */
static unsigned long make_all(const struct scenario *scenario, unsigned long nth,
                              bool forever)
{
    unsigned long calls = 0;
    if (!scenario->at_start)
        mole_pages_inject(nth, forever);
    size_t count = count_of(scenario);
    for (size_t index = 0; index < count; index++)
        calls += make_one(scenario, index, forever);
    calls += mole_pages_inject(0, false);
    require_intact(scenario, count);
    for (size_t index = 0; index < count; index++)
        scenario->unmake(index);
    return calls;
}

/* One run, in a process of its own; returns its exit status. */
static int run(const struct scenario *scenario, unsigned long nth, bool forever,
               int figures_file)
{
    size_t before = 0;
    (void)mh_configure("purger:calls"); /* no calls by another thread */
    if (!scenario->has_passes)
        mole_pool_leave_passes(true); /* what is reused must not depend on the time */
    if (!scenario->at_start) {
        heap = HeapCreate(0, 0, 0);
        race_require(heap != NULL, "HeapCreate failed");
        before = race_allocated(heap);
        race_require(mole_process_malloc_bytes() == 0, "malloc is in use already");
    }
    unsigned long calls = make_all(scenario, nth, forever);
    race_require(mole_process_malloc_bytes() == 0,
                 "%s: malloc holds %zu bytes at the end", scenario->name,
                 mole_process_malloc_bytes());
    race_require(GetProcessHeaps(0, NULL) == (scenario->at_start ? 1 : 2),
                 "%s: %u heaps are left", scenario->name,
                 (unsigned)GetProcessHeaps(0, NULL));
    if (heap)
        race_require(race_allocated(heap) == before, "%s: %zu bytes are left",
                     scenario->name, race_allocated(heap));
    mole_pages_inject(0, false);
    (void)make_all(scenario, 0, false);
    struct figures figures = take_figures();
    figures.calls = calls;
    if (pwrite(figures_file, &figures, sizeof figures, 0) != sizeof figures)
        race_fail("the figures cannot be written");
    if (atomic_load(&race_failed))
        return RUN_FAILED;
    return calls >= nth ? RUN_INJECTED : RUN_UNTOUCHED;
}

static race_maybe int in_child(int (*body)(const void *), const void *argument)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(race_brief() ? 250 : 100);
        atomic_store(&race_failed, 0); /* the parent's are the parent's */
        _exit(body(argument));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct plan {
    const struct scenario *scenario, *first;
    unsigned long nth;
    bool forever;
    int figures_file;
};

static int run_plan(const void *argument)
{
    const struct plan *plan = argument;
    if (!plan->scenario->at_start)
        return run(plan->scenario, plan->nth, plan->forever, plan->figures_file);
    char index[20], nth[20], file[20];
    snprintf(index, sizeof index, "%d", (int)(plan->scenario - plan->first));
    snprintf(file, sizeof file, "%d", plan->figures_file);
    snprintf(nth, sizeof nth, "%lu", plan->nth);
    setenv("MOLE_INJECT", nth, 1);
    setenv("MOLE_INJECT_FOREVER", plan->forever ? "1" : "0", 1);
    execl(program, program, index, file, (char *)NULL);
    return RUN_FAILED;
}

/* The new program of run_plan: continue there. */
static race_maybe int run_at_start(const struct scenario *first, char **argv)
{
    const char *nth = getenv("MOLE_INJECT"), *forever = getenv("MOLE_INJECT_FOREVER");
    race_name = "inject";
    if (!nth || !forever)
        return RUN_FAILED;
    return run(&first[atoi(argv[1])], strtoul(nth, NULL, 10), forever[0] == '1',
               atoi(argv[2]));
}

static int carry_out(const struct plan *plan, struct figures *figures)
{
    *figures = (struct figures){0};
    int status = in_child(run_plan, plan);
    if (status != RUN_FAILED && status >= 0 &&
        pread(plan->figures_file, figures, sizeof *figures, 0) != sizeof *figures)
        race_fail("%s: no figures", plan->scenario->name);
    return status;
}

static void print_figures(const char *what, const struct figures *figures)
{
    printf(
        "%s: %zu chunks, of them %zu in %zu runs of heaps, %zu free, %zu runs lost; %zu "
        "spans, %zu bytes of others; %zu bytes of records of runs, %zu of others\n",
        what, figures->chunks, figures->run_chunks, figures->runs, figures->free_chunks,
        figures->lost, figures->spans, figures->lost_spans, figures->known,
        figures->others);
}

/*
 * Nothing was lost: each chunk ever handed out is in a heap or in the pool, and records
 * in use are those of runs, spans and what there is without a failure. But a run that the
 * system took is never used again, nor is its record. Heaps keep no more, but for a slab
 * or two with nothing in them that a cache has at hand.
 */
static bool is_as_good(const struct figures *figures, const struct figures *wanted)
{
    size_t missing = figures->chunks - figures->run_chunks - figures->free_chunks;
    return missing <= figures->lost * MOST_LOST &&
           figures->others == wanted->others + figures->lost * sizeof(struct mole_run) &&
           figures->lost_spans == wanted->lost_spans &&
           figures->run_chunks <= wanted->run_chunks + 2 &&
           figures->spans <= wanted->spans + 2;
}

/* Let each call fail in turn. One case for each. */
static race_maybe void try_scenario(const struct scenario *first, size_t index,
                                    bool forever)
{
    const struct scenario *scenario = &first[index];
    unsigned long step = (unsigned long)race_size(1, 1, 12), nth;
    struct figures figures, wanted;
    struct plan plan = {.scenario = scenario,
                        .first = first,
                        .nth = MOST_CALLS * 10,
                        .forever = forever,
                        .figures_file = memfd_create("figures", 0)};
    race_case(carry_out(&plan, &wanted) == RUN_UNTOUCHED, "%s: fails without a failure",
              scenario->name);
    for (nth = 1; nth < MOST_CALLS; nth += step) {
        plan.nth = nth;
        int status = carry_out(&plan, &figures);
        if (status == RUN_UNTOUCHED)
            break;
        race_case(status == RUN_INJECTED, "%s: call %lu failed %s: ended with %d",
                  scenario->name, nth, forever ? "for good" : "once", status);
        bool is_good = is_as_good(&figures, &wanted);
        race_case(is_good, "%s: call %lu failed %s: something was lost", scenario->name,
                  nth, forever ? "for good" : "once");
        if (!is_good) {
            print_figures("with a failure", &figures);
            print_figures("without", &wanted);
        }
        lost_ever += figures.lost;
    }
    close(plan.figures_file);
    race_case(nth > 1 && nth < MOST_CALLS, "%s: %lu calls failed", scenario->name,
              nth - 1);
    printf("%s: %lu system calls failed %s\n", scenario->name, nth - 1,
           forever ? "for good" : "once");
}
