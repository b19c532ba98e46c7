/* SPDX-License-Identifier: MIT */
/*
 * Stepping. The first thread of a child process is stopped before each instruction of an
 * operation, and at each stop a second thread of the child, which runs freely, is asked
 * for one round of whatever it does. A round that does not end means that the stopped
 * thread is in the way.
 *
 *   parent (traces)     child, first thread         child, second thread
 *   step_next   ------> step_enter, operation, step_leave
 *   step_once   ------>    one instruction
 *   step_ask    ----------------------------------> step_is_asked, a round, step_answer
 *
 * The three share a struct step_link. x86-64 only: elsewhere a stop between a load-linked
 * and its store-conditional would make every retry fail.
 */
#pragma once

#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "race.h"

#if defined(__SANITIZE_ADDRESS__) || RACE_HAS_FEATURE(address_sanitizer)
enum { STEP_ASAN = 1 };
#else
enum { STEP_ASAN = 0 };
#endif

#if defined(__x86_64__)
enum { STEP_MACHINE = 1 };
#define step_trap() __asm__ volatile("int3" ::: "memory")
#else
enum { STEP_MACHINE = 0 };
#define step_trap() ((void)raise(SIGTRAP))
#endif

enum {
    STEP_MOST = 4000,         /* instructions of one operation */
    STEP_PATIENCE_MS = 10000, /* for one round */
};

/*
 * Writer: the first thread, but for asked (parent), answered (second thread), is_over
 * (both).
 */
struct step_link {
    atomic_bool is_ready;      /* to be traced */
    atomic_bool is_traced;     /* writer: the parent */
    atomic_bool is_inside;     /* an operation */
    atomic_bool is_over;       /* the second thread may go */
    atomic_size_t passed_over; /* stops of the operation at which nothing is asked */
    atomic_uint asked;
    atomic_uint answered;
};

static race_maybe struct step_link *step_link_create(void)
{
    struct step_link *link = mmap(NULL, sizeof *link, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (link == MAP_FAILED) {
        race_fail("mmap: %s", strerror(errno));
        exit(race_end());
    }
    return link;
}

/* --- the child's first thread ------------------------------------------------------- */

/* Wait to be traced. False: it is not to be. */
static race_maybe bool step_begin(struct step_link *link)
{
    atomic_store(&link->is_ready, true);
    while (!atomic_load(&link->is_traced) && !atomic_load(&link->is_over))
        sched_yield();
    return atomic_load(&link->is_traced);
}

static race_maybe void step_enter(struct step_link *link)
{
    step_trap();
    atomic_store_explicit(&link->is_inside, true, memory_order_release);
}

static race_maybe void step_leave(struct step_link *link)
{
    atomic_store_explicit(&link->is_inside, false, memory_order_release);
}

/* --- the child's second thread ------------------------------------------------------ */

static race_maybe bool step_is_asked(struct step_link *link)
{
    return atomic_load(&link->asked) != atomic_load(&link->answered);
}

static race_maybe void step_answer(struct step_link *link)
{
    atomic_fetch_add(&link->answered, 1);
}

/* What the first thread has the second one do while it prepares an operation. */
static void (*_Atomic step_errand)(void);

static race_maybe void step_have_done(void (*what)(void))
{
    atomic_store(&step_errand, what);
    while (atomic_load(&step_errand))
        sched_yield();
}

/* Until all is over: errands, and a round whenever one is asked for. */
static race_maybe void step_serve(struct step_link *link, void (*do_round)(void))
{
    while (!atomic_load(&link->is_over)) {
        void (*what)(void) = atomic_load(&step_errand);
        if (what) {
            what();
            atomic_store(&step_errand, NULL);
        } else if (step_is_asked(link)) {
            do_round();
            step_answer(link);
        } else {
            sched_yield();
        }
    }
}

/* --- the parent --------------------------------------------------------------------- */

struct step_tracer {
    struct step_link *link;
    pid_t child;
    uintptr_t pc;    /* the next instruction's address */
    bool is_stopped; /* else it runs, or has ended */
    int status;      /* how it ended */
};

/* A child that runs `body` with the link; ended with the parent. */
static race_maybe struct step_tracer step_fork(int (*body)(struct step_link *))
{
    struct step_tracer tracer = {.link = step_link_create()};
    fflush(stdout);
    tracer.child = fork();
    if (tracer.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(240);
        int failed = body(tracer.link);
        fflush(stdout);
        _exit(failed);
    }
    race_require(tracer.child > 0, "fork: %s", strerror(errno));
    while (tracer.child > 0 && !atomic_load(&tracer.link->is_ready))
        sched_yield();
    return tracer;
}

/* False, with errno: not allowed here. */
static race_maybe bool step_attach(struct step_tracer *tracer)
{
    if (ptrace(PTRACE_SEIZE, tracer->child, NULL, NULL) != 0)
        return false;
    atomic_store(&tracer->link->is_traced, true);
    return true;
}

/* Go on as `how` says until the next stop. False: the child has ended. */
static bool step_resume(struct step_tracer *tracer, int how)
{
    long signal = 0;
    for (;;) {
        if (tracer->is_stopped &&
            ptrace((enum __ptrace_request)how, tracer->child, NULL, (void *)signal) != 0)
            return false;
        tracer->is_stopped = false;
        int status = 0;
        pid_t who = waitpid(tracer->child, &status, __WALL);
        if (who < 0 && errno == EINTR)
            continue;
        if (who != tracer->child || !WIFSTOPPED(status)) {
            tracer->status = status;
            return false;
        }
        tracer->is_stopped = true;
        if (WSTOPSIG(status) == SIGTRAP)
            return true;
        signal = WSTOPSIG(status); /* not ours: let it have it */
    }
}

static race_maybe void step_read_pc(struct step_tracer *tracer)
{
#if defined(__x86_64__)
    struct user_regs_struct regs;
    struct iovec area = {.iov_base = &regs, .iov_len = sizeof regs};
    bool is_read =
        ptrace(PTRACE_GETREGSET, tracer->child, (void *)NT_PRSTATUS, &area) == 0;
    tracer->pc = is_read ? (uintptr_t)regs.rip : 0;
#else
    tracer->pc = 0;
#endif
}

/*
 * Run to the first instruction of the next operation. False: there is none, the child
 * ended.
 */
static race_maybe bool step_next(struct step_tracer *tracer)
{
    if (!step_resume(tracer, PTRACE_CONT))
        return false;
    while (!atomic_load(&tracer->link->is_inside))
        if (!step_resume(tracer, PTRACE_SINGLESTEP))
            return false;
    step_read_pc(tracer);
    return true;
}

/* One instruction. False: the operation is over, or the child. */
static race_maybe bool step_once(struct step_tracer *tracer)
{
    if (!step_resume(tracer, PTRACE_SINGLESTEP))
        return false;
    step_read_pc(tracer);
    return atomic_load(&tracer->link->is_inside);
}

/* Ask the second thread for a round. False: it did not end in time. */
static race_maybe bool step_ask(struct step_tracer *tracer, unsigned patience_ms)
{
    enum { YIELDS = 2000, PAUSE_NS = 100000 };
    unsigned round = atomic_fetch_add(&tracer->link->asked, 1) + 1;
    size_t polls = YIELDS + (size_t)patience_ms * 1000000 / PAUSE_NS;
    for (size_t poll = 0; poll < polls; poll++) {
        if (atomic_load(&tracer->link->answered) == round)
            return true;
        struct timespec pause = {.tv_nsec = PAUSE_NS};
        if (poll < YIELDS)
            sched_yield();
        else
            nanosleep(&pause, NULL);
    }
    return false;
}

/* Let the child go on without stops, to its end. Its exit status, or -1. */
static race_maybe int step_finish(struct step_tracer *tracer)
{
    while (tracer->is_stopped && step_resume(tracer, PTRACE_CONT)) {
    }
    return WIFEXITED(tracer->status) ? WEXITSTATUS(tracer->status) : -1;
}

/* Why stepping is not possible here; NULL: it may be. */
static race_maybe const char *step_obstacle(void)
{
    if (!STEP_MACHINE)
        return "single steps are made on x86-64 only";
    if (RACE_TSAN || STEP_ASAN)
        return "a sanitizer's own locks and calls would be stepped";
    if (race_brief() == 2 || getenv("RUNNING_ON_VALGRIND"))
        return "valgrind's instructions would be stepped";
    return NULL;
}

/* Tell a child that cannot be traced to end. */
static race_maybe void step_forget(struct step_tracer *tracer)
{
    atomic_store(&tracer->link->is_over, true);
    waitpid(tracer->child, NULL, 0);
}

/* Attach, or skip loudly. False: the child is gone. */
static race_maybe bool step_attach_or_skip(struct step_tracer *tracer)
{
    if (step_attach(tracer))
        return true;
    race_skip("ptrace is denied here: %s", strerror(errno));
    step_forget(tracer);
    return false;
}

/* The case that the child, going on without stops, ends well. */
static race_maybe void step_finish_well(struct step_tracer *tracer)
{
    int status = step_finish(tracer);
    race_case(status == 0, "the stepped process ended with %d", status);
}

/* The main of a stepped test: `all`, or a loud skip where nothing can be stepped. */
static race_maybe int step_main(const char *name, void (*all)(void))
{
    race_begin(name);
    const char *obstacle = step_obstacle();
    if (obstacle)
        race_skip("nothing is stepped: %s", obstacle);
    else
        all();
    return race_end();
}
