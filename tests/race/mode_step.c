/* SPDX-License-Identifier: MIT */
/*
 * A mode of malloc's heap takes hold at every instruction. A thread is stopped before the
 * k-th instruction of a call; then another one switches the fast paths off and looks
 * whether the thread is inside of an operation. If it is not, the fast path must not
 * touch the cache any more; if it is, it may go on, and does.
 */
#include "bait.h"
#include "malloc_mode.h"
#include "step.h"
#include "tcache/head.h"

enum { LEAST_OUTSIDE = 4, LEAST_INSIDE = 4 };

/* What happened at a stop. */
enum { NOT_STOPPED, INSIDE, OUTSIDE };

struct shared {
    atomic_uint operation; /* writer: the parent */
    atomic_uint outcome;   /* writers: the second thread, and the first after it */
    uint64_t state;        /* of the bait when the fast paths were switched off */
};

static struct shared *shared;
static struct bait bait;
static void *subject; /* the block an operation is about */

static void prepare_nothing(void)
{
}

static void prepare_block(void)
{
    bait_lift(&bait);
    subject = mh_malloc(200);
    bait_lay(&bait);
}

static void prepare_own_block(void)
{
    subject = mh_malloc(BAIT_SMALL);
}

static void alloc_small(void)
{
    subject = mh_malloc(BAIT_SMALL);
}

static void alloc_medium(void)
{
    subject = mh_malloc(BAIT_MEDIUM);
}

static void free_it(void)
{
    mh_free(subject);
    subject = NULL;
}

/* The first two leave a block; all of them work on the bait when they are fast. */
static const struct operation {
    const char *name;
    void (*prepare)(void);
    void (*run)(void);
} operations[] = {
    {"malloc", prepare_nothing, alloc_small},
    {"malloc beyond the direct sizes", prepare_nothing, alloc_medium},
    {"free by the owner", prepare_own_block, free_it},
    {"free into a batch", prepare_block, free_it},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

/* --- the thread that is stopped ----------------------------------------------------- */

/* Put the block back where it came from. */
static void tidy_up(void)
{
    bait_lift(&bait);
    struct mole_span *span = mole_span_map_find(subject);
    size_t index;
    if (subject && span->owner == &bait.cache.owner &&
        mole_span_index(span, subject, &index))
        race_require(mole_head_push(span, index, subject), "the bait's countdown ended");
    else
        mh_free(subject);
    mole_tcache_flush(&bait.cache);
    subject = NULL;
}

static void do_operation(struct step_link *link, const struct operation *operation)
{
    atomic_store(&shared->outcome, NOT_STOPPED);
    bait_lay(&bait);
    operation->prepare();
    uint64_t before = bait_state(&bait);
    step_enter(link);
    operation->run();
    step_leave(link);
    uint64_t after = bait_state(&bait);
    unsigned outcome = atomic_load(&shared->outcome);
    if (outcome == OUTSIDE)
        race_require(after == shared->state,
                     "%s: a fast path went on while it was switched off",
                     operation->name);
    else
        race_require(after != before, "%s: it was no fast path", operation->name);
    malloc_switch(true);
    tidy_up();
}

/* --- the thread that sets the mode -------------------------------------------------- */

static void set_mode(void)
{
    malloc_switch(false);
    bool is_inside = load_acq(&bait.cache.owner.busy_a); /* HB-GATE-1 */
    shared->state = bait_state(&bait);
    atomic_store(&shared->outcome, is_inside ? INSIDE : OUTSIDE);
    if (is_inside)
        malloc_switch(true);
}

static void *run_on(void *argument)
{
    struct step_link *link = argument;
    while (!atomic_load(&link->is_over))
        if (step_is_asked(link)) {
            set_mode();
            step_answer(link);
        } else {
            sched_yield();
        }
    return NULL;
}

static int step_everything(struct step_link *link)
{
    mh_free(mh_malloc(1));
    race_require(bait_init(&bait), "no memory for the bait");
    pthread_t other = race_thread(run_on, link);
    unsigned operation = 0;
    if (step_begin(link))
        while ((operation = atomic_load(&shared->operation)) < OPERATIONS)
            do_operation(link, &operations[operation]);
    atomic_store(&link->is_over, true);
    race_join(other);
    return atomic_load(&race_failed) ? 1 : 0;
}

/* --- the parent --------------------------------------------------------------------- */

/* Stop before instruction `k`. False: the operation has fewer, or the child ended. */
static bool stop_at(struct step_tracer *tracer, size_t k)
{
    if (!step_next(tracer)) {
        race_fail("the stepped process ended with status 0x%x", (unsigned)tracer->status);
        return false;
    }
    for (size_t i = 0; i < k; i++)
        if (!step_once(tracer))
            return false;
    race_require(k < STEP_MOST, "an operation does not end");
    return k < STEP_MOST;
}

/* Once for each instruction. */
static void step_operation(struct step_tracer *tracer, const struct operation *operation)
{
    size_t counts[] = {0, 0, 0};
    for (size_t k = 0; stop_at(tracer, k); k++) {
        if (!step_ask(tracer, STEP_PATIENCE_MS)) {
            race_fail("%s: the mode could not be set", operation->name);
            return;
        }
        counts[atomic_load(&shared->outcome)]++;
    }
    printf("%s: %zu instructions inside of an operation, %zu outside\n", operation->name,
           counts[INSIDE], counts[OUTSIDE]);
    race_case(counts[INSIDE] >= LEAST_INSIDE && counts[OUTSIDE] >= LEAST_OUTSIDE,
              "%s: exercised too little", operation->name);
}

static void step_all(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    race_require(shared != MAP_FAILED, "mmap: %s", strerror(errno));
    struct step_tracer tracer = step_fork(step_everything);
    if (!step_attach_or_skip(&tracer))
        return;
    for (unsigned i = 0; i < OPERATIONS && !atomic_load(&race_failed); i++) {
        atomic_store(&shared->operation, i);
        step_operation(&tracer, &operations[i]);
    }
    atomic_store(&shared->operation, OPERATIONS);
    step_finish_well(&tracer);
}

int main(void)
{
    return step_main("mode_step", step_all);
}
