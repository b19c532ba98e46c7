/* SPDX-License-Identifier: MIT */
/*
 * fork at every instruction of another thread's operation. One thread is stopped in it;
 * another, which is not traced, forks, and the child checks what it has of the heaps,
 * then allocates, frees and destroys. Long operations are forked in at evenly spaced
 * instructions, or at each one if the program is called with the argument `all`.
 *
 *                  the process                the child
 *   first thread   an operation, stopped      gone
 *   the other      forks, waits for it        checks, has a thread of its own, frees all
 *
 * The child may find the block that the operation is about live or free, but not anything
 * else.
 */
#include "fork_operations.h"

enum {
    PATIENCE_MS = 2 * CHILD_LIMIT_MS,
    FORKS_MOST = 40, /* in one operation */
    LEAST_STEPS = 16,
    FORK_STEP_MOST = 20000,
};

/* --- the other thread --------------------------------------------------------------- */

/* The child's exit status; -1: it hung. */
static int await(pid_t child)
{
    enum { QUICK = 100 };
    int status = 0;
    double limit = race_now() + CHILD_LIMIT_MS / 1000.0;
    for (size_t poll = 0; race_now() < limit; poll++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        struct timespec pause = {.tv_nsec = poll < QUICK ? 100000 : 2000000};
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

static void fork_once(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(live_as_child());
    if (child < 0) {
        fork_complain("fork: %s", strerror(errno));
        return;
    }
    int status = await(child);
    fork_told->is_hung =
        status == -1 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
    if (fork_told->is_hung)
        fork_complain("the child hangs");
    else if (status != 0)
        fork_complain("the child ended with status 0x%x", (unsigned)status);
}

static void *be_the_other(void *argument)
{
    fill(theirs);
    step_serve(argument, fork_once);
    return NULL;
}

/* --- the first thread --------------------------------------------------------------- */

static void do_operation(struct step_link *link, const struct operation *operation)
{
    subject = (struct known){0};
    operation->where(operation->bytes);
    operation->prepare();
    step_enter(link);
    operation->run();
    step_leave(link);
    if (subject.at && is_live(&subject))
        (void)release(subject.heap, subject.at);
    free_held();
    drop_runs();
    if (extra)
        race_require(HeapDestroy(extra), "HeapDestroy failed");
    extra = NULL;
}

static int step_everything(struct step_link *link)
{
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    heap = HeapCreate(0, 0, 0);
    race_require(heap != NULL, "HeapCreate failed");
    fill(mine);
    pthread_t other = race_thread(be_the_other, link);
    if (step_begin(link))
        for (size_t i = 0; i < OPERATIONS; i++) {
            do_operation(link, &operations[i]); /* to count its instructions */
            do_operation(link, &operations[i]);
        }
    atomic_store(&link->is_over, true);
    race_join(other);
    drop(mine);
    drop(theirs);
    race_require(race_allocated(heap) == 0, "%zu bytes of the heap are lost",
                 race_allocated(heap));
    race_require(mole_process_malloc_bytes() == 0, "%zu bytes of malloc are lost",
                 mole_process_malloc_bytes());
    return atomic_load(&race_failed) ? 1 : 0;
}

/* --- the parent --------------------------------------------------------------------- */

static bool is_all; /* fork at every instruction */

/*
 * The instructions of one operation; 0: it cannot be gone on with. Forks at every k-th,
 * or never.
 */
static size_t step_through(struct step_tracer *tracer, size_t k, size_t *forks)
{
    size_t steps = 0;
    if (!step_next(tracer))
        return 0;
    do {
        steps++;
        if (!k || steps % k || fork_told->failures)
            continue;
        if (!step_ask(tracer, PATIENCE_MS)) {
            race_fail("the forking thread is held up or dead");
            return 0;
        }
        ++*forks;
    } while (step_once(tracer) && steps < FORK_STEP_MOST);
    return tracer->is_stopped && steps < FORK_STEP_MOST ? steps : 0;
}

static bool fork_in(struct step_tracer *tracer, const struct operation *operation)
{
    size_t forks = 0, most = is_all || operation->is_dense
                                 ? FORK_STEP_MOST
                                 : race_size(FORKS_MOST, FORKS_MOST / 2, 1);
    *fork_told = (struct fork_told){0};
    size_t counted = step_through(tracer, 0, &forks);
    size_t k = counted / most + 1;
    size_t steps = counted ? step_through(tracer, k, &forks) : 0;
    printf("%s: %zu instructions, forked at %zu of them\n", operation->name, steps,
           forks);
    if (steps == 0) {
        race_fail("%s: given up, child status 0x%x", operation->name,
                  (unsigned)tracer->status);
        return false;
    }
    race_case(fork_told->failures == 0, "%s, at instruction %zu: %s", operation->name,
              forks * k, fork_told->first);
    if (fork_told->is_hung)
        return false; /* others would, too */
    race_case(fork_told->failures || (steps >= LEAST_STEPS && forks >= steps / k),
              "%s: hardly anything was done", operation->name);
    return true;
}

static void fork_in_all(void)
{
    fork_told = mmap(NULL, sizeof *fork_told, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fork_told == MAP_FAILED) {
        race_fail("mmap: %s", strerror(errno));
        return;
    }
    struct step_tracer tracer = step_fork(step_everything);
    if (!step_attach_or_skip(&tracer))
        return;
    size_t i = 0;
    while (i < OPERATIONS && fork_in(&tracer, &operations[i]))
        i++;
    if (i < OPERATIONS) {
        kill(tracer.child, SIGKILL);
        return;
    }
    step_finish_well(&tracer);
}

int main(int argc, char **argv)
{
    is_all = argc > 1 && strcmp(argv[1], "all") == 0;
    return step_main("fork_step", fork_in_all);
}
