/* SPDX-License-Identifier: MIT */
/*
 * Spec case 8: eight threads call GetProcessHeap before anything else was called, and all
 * get the same handle. Two ways: from main, and from a constructor that runs before
 * molehill's own, where nothing is set up and the eight have to agree on who does it.
 * Each attempt is a new program.
 */
#include <sched.h>
#include <sys/wait.h>

#include "race.h"

enum { CALLERS = 8, LEAST_TOGETHER = 20, IN_CONSTRUCTOR = 1, IN_MAIN = 2 };
enum { GOOD = 10, GOOD_TOGETHER = 11 }; /* how an attempt ends */

struct caller {
    pthread_t thread;
    HANDLE answer;
    void *block;
    double begin, end;
};

static struct caller callers[CALLERS];
static atomic_uint arrived;
static int attempt_kind; /* 0: this is the program that makes the attempts */

static void *call_first(void *argument)
{
    struct caller *caller = argument;
    atomic_fetch_add(&arrived, 1);
    for (unsigned turn = 1; atomic_load(&arrived) < CALLERS; turn++)
        if (turn % 1024 == 0)
            sched_yield();
    caller->begin = race_now();
    caller->answer = GetProcessHeap();
    caller->end = race_now();
    caller->block = HeapAlloc(caller->answer, HEAP_ZERO_MEMORY, 64);
    return NULL;
}

static void call_by_all(void)
{
    for (size_t i = 0; i < CALLERS; i++)
        callers[i].thread = race_thread(call_first, &callers[i]);
    for (size_t i = 0; i < CALLERS; i++)
        race_join(callers[i].thread);
}

/* Before the library's own constructor. */
__attribute__((constructor(101))) static void start(void)
{
    const char *kind = getenv("MOLE_FIRST_CALL");
    attempt_kind = kind ? atoi(kind) : 0;
    race_name = "first_call";
    if (attempt_kind == IN_CONSTRUCTOR)
        call_by_all();
}

/* Whether the first call to end had not ended when another began. */
static bool were_together(void)
{
    double first_end = callers[0].end;
    unsigned before = 0;
    for (size_t i = 1; i < CALLERS; i++)
        first_end = callers[i].end < first_end ? callers[i].end : first_end;
    for (size_t i = 0; i < CALLERS; i++)
        before += callers[i].begin < first_end;
    return before > 1;
}

static int attempt(void)
{
    if (attempt_kind == IN_MAIN)
        call_by_all();
    HANDLE heap = GetProcessHeap(), listed[CALLERS];
    race_require(heap != NULL, "GetProcessHeap gives NULL");
    for (size_t i = 0; i < CALLERS; i++) {
        const struct caller *caller = &callers[i];
        race_require(caller->answer == heap, "caller %zu got %p, not %p", i,
                     caller->answer, heap);
        race_require(caller->block && race_is_zero(caller->block, 64) &&
                         HeapSize(heap, 0, caller->block) == 64 &&
                         HeapFree(heap, 0, caller->block),
                     "caller %zu got no good block", i);
    }
    race_require(GetProcessHeaps(CALLERS, listed) == 1 && listed[0] == heap,
                 "the process heap is not the one heap");
    race_require(race_allocated(heap) == 0, "it holds %zu bytes", race_allocated(heap));
    if (atomic_load(&race_failed))
        return 1;
    return were_together() ? GOOD_TOGETHER : GOOD;
}

static int run_attempt(const char *program, const char *kind)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(100);
        setenv("MOLE_FIRST_CALL", kind, 1);
        setenv("TSAN_OPTIONS", "halt_on_error=1:exitcode=66:atexit_sleep_ms=0", 1);
        execl(program, program, (char *)NULL);
        _exit(1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool has_two_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) > 1;
}

/* Until calls came together often enough; valgrind lets one thread run at a time. */
static void try_often(const char *program, const char *kind, const char *where)
{
    size_t least =
        has_two_processors() ? race_size(LEAST_TOGETHER, LEAST_TOGETHER, 0) : 0;
    size_t most = race_size(3000, 3000, 4), together = 0, attempts = 0, failed = 0;
    while ((together < least || attempts < most / 60 + 4) && attempts < most && !failed) {
        int status = run_attempt(program, kind);
        attempts++;
        together += status == GOOD_TOGETHER;
        failed += status != GOOD && status != GOOD_TOGETHER;
        race_require(!failed, "%s: attempt %zu ended with %d", where, attempts, status);
    }
    race_case(!failed, "%s: see above", where);
    race_case(together >= least, "exercised too little: %zu of %zu came together",
              together, attempts);
    printf("%s: %zu attempts, in %zu of them calls came together\n", where, attempts,
           together);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (attempt_kind) {
        int status = attempt();
        fflush(stdout);
        _exit(status);
    }
    race_begin("first_call");
    if (!has_two_processors())
        race_skip("calls that come together: there is one processor only");
    try_often(argv[0], "1", "in a constructor");
    try_often(argv[0], "2", "in main");
    return race_end();
}
