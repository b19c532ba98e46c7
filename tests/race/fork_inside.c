/* SPDX-License-Identifier: MIT */
/*
 * fork in a signal handler that interrupted the library, and fork while other threads
 * hold stdio's locks and want the library's. A child that hangs is killed and is a
 * failure.
 */
#include <spawn.h>
#include <sys/time.h>

#include "fork.h"

static volatile sig_atomic_t handler_forks, wanted_forks, signals_outside;
static volatile pid_t handler_child;

/* In the middle of a call, and nowhere else. */
static void fork_in_handler(int signal)
{
    (void)signal;
    int saved = errno;
    if (!is_inside) {
        signals_outside++;
        return;
    }
    if (handler_child || handler_forks >= wanted_forks)
        return;
    pid_t child = fork();
    if (child == 0) {
        if (handler_forks % 4 == 0)
            execl("/bin/true", "true", (char *)NULL);
        _exit(0);
    }
    handler_child = child;
    handler_forks++;
    errno = saved;
}

/* Steps until as many forks as wanted interrupted a call. */
static void step_until_forked(void)
{
    struct busy *own = &busy_threads[THREADS];
    double limit = race_now() + (race_brief() ? 120 : 60);
    while ((handler_forks < wanted_forks || handler_child) && race_now() < limit) {
        for (size_t i = 0; i < 500; i++)
            step(own->own, &own->random);
        if (handler_child) {
            (void)reap(handler_child, "fork in a signal handler");
            handler_child = 0;
        }
    }
}

static void fork_in_signal_handlers(void)
{
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    struct itimerval timer = {.it_interval = {.tv_usec = 700},
                              .it_value = {.tv_usec = 700}};
    wanted_forks = (int)race_size(200, 40, 10);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    step_until_forked();
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    action.sa_handler = SIG_IGN; /* one may still be on its way, under valgrind */
    sigaction(SIGALRM, &action, NULL);
    visit_records(true);
    race_case(handler_forks >= wanted_forks, "only %d forks in the middle of a call",
              (int)handler_forks);
    printf("signal handlers: %d forks in the middle of a call, %d signals elsewhere\n",
           (int)handler_forks, (int)signals_outside);
}

/* --- fork beside stdio ------------------------------------------------------------ */

static FILE *stream;

/* Holds a stream's lock and wants the allocator's. */
static void *allocate_under_stream(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        flockfile(stream);
        for (size_t i = 1; i < 20; i++) {
            void *block = HeapAlloc(heaps[1], 0, i * 20000);
            mh_free(mh_malloc(i * 10000));
            race_require(HeapFree(heaps[1], 0, block), "HeapFree failed");
        }
        funlockfile(stream);
    }
    return NULL;
}

/* Holds stdio's list lock and wants the streams'. */
static void *flush_all(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        fputc('x', stream);
        fflush(NULL);
    }
    return NULL;
}

/*
 * fork wants stdio's list lock: with one of ours held at that time, nobody would go on.
 */
static void fork_beside_stdio(void)
{
    atomic_store(&is_over, false);
    stream = fopen("/dev/null", "we");
    race_require(stream != NULL, "/dev/null cannot be opened");
    pthread_t holder = race_thread(allocate_under_stream, NULL);
    pthread_t flusher = race_thread(flush_all, NULL);
    race_sleep_ms(200);
    size_t forks = race_size(100, 20, 5);
    for (size_t i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0) {
            atomic_store(&race_failed, 0);
            allocate_many(NULL);
            _exit(atomic_load(&race_failed) ? 1 : 0);
        }
        if (!reap(child, "fork beside stdio"))
            break;
    }
    atomic_store(&is_over, true);
    race_join(holder);
    race_join(flusher);
    fclose(stream);
}

static void spawn(void)
{
    static char name[] = "true";
    char *arguments[] = {name, NULL};
    pid_t child;
    int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, arguments + 1);
    race_case(error == 0, "posix_spawn: %s", strerror(error));
    if (error == 0)
        (void)reap(child, "posix_spawn");
}

int main(void)
{
    race_begin("fork_inside");
    set_up();
    pthread_detach(race_thread(watch, NULL));
    if (RACE_TSAN) {
        (void)mh_configure("purger:calls");
        race_skip("signal handlers: ThreadSanitizer runs them later than they come");
        race_skip("fork beside stdio: ThreadSanitizer holds locks of its own over fork");
    } else {
        fork_in_signal_handlers();
        fork_beside_stdio();
    }
    spawn();
    return race_end();
}
