/* SPDX-License-Identifier: MIT */
/*
 * Spies for run_control.py, one a value of WHAT: COUNTING tells how often it was called,
 * and how often after it was stopped; the others are wrong in one way each.
 *
 * COUNTING takes "all", "report:BYTES", or anything, which it repeats.
 */
#include <errno.h>
#include <molehill/spy_module.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNTING 0
#define REFUSING 1 /* does not start */
#define OLD 2      /* made for another version */
#define PARTIAL 3  /* lacks a function */
#define INVALID 4  /* its spy cannot be attached */
#define LEAVING 5  /* detaches itself from inside a callback */

static _Atomic(unsigned long) allocated;
static _Atomic(unsigned long) freed;
static _Atomic(unsigned long) gone; /* callbacks after the stop: there must be none */
static atomic_bool is_stopped;
static atomic_bool is_finished; /* the object: no code of it may run any more */
static char arguments[4096];
static struct mh_spy spy;

/* At exit, other threads get the time to call what is not there any more. */
__attribute__((destructor)) static void finish(void)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    atomic_store(&is_finished, 1);
    if (!atomic_load(&is_stopped))
        nanosleep(&pause, NULL);
}

static void count(_Atomic(unsigned long) *counter)
{
    if (atomic_load(&is_finished))
        abort();
    atomic_fetch_add(atomic_load(&is_stopped) ? &gone : counter, 1);
}

static void on_allocated(void *context, void *heap, void *block, size_t bytes)
{
    (void)heap;
    (void)bytes;
    if (context != &spy || !block)
        abort();
    count(&allocated);
    free(malloc(1)); /* it may allocate, and does not hear of that */
    if (WHAT == LEAVING && mh_spy_detach(&spy) == MH_INVALID)
        abort();
}

static void on_freed(void *context, void *heap, void *block, size_t bytes)
{
    (void)heap;
    (void)bytes;
    if (context != &spy || !block)
        abort();
    count(&freed);
}

extern const unsigned mh_spy_module_version;
const unsigned mh_spy_module_version = MH_SPY_MODULE_VERSION + (WHAT == OLD);

const struct mh_spy *mh_spy_module_start(const char *args, void **heap, char *error,
                                         size_t error_bytes)
{
    if (*heap != MH_SPY_MALLOC || error_bytes < 256)
        abort();
    if (WHAT == REFUSING) {
        snprintf(error, error_bytes, "not today,\nnot with %s", args);
        return NULL;
    }
    if (strcmp(args, "all") == 0)
        *heap = MH_SPY_ALL;
    snprintf(arguments, sizeof arguments, "%s", args);
    spy = (struct mh_spy){.size = WHAT == INVALID ? 1 : sizeof spy,
                          .name = WHAT == COUNTING ? "counting" : NULL,
                          .context = &spy,
                          .allocated = on_allocated,
                          .freed = on_freed};
    return &spy;
}

#if WHAT != PARTIAL
static void report_much(void (*write)(void *to, const char *text, size_t bytes), void *to,
                        size_t bytes)
{
    for (; bytes > 100; bytes -= 100)
        write(to,
              "..................................................."
              "................................................\n",
              100);
}

void mh_spy_module_stop(void (*write)(void *to, const char *text, size_t bytes), void *to)
{
    char text[8192];
    sigset_t blocked;
    atomic_store(&is_stopped, 1);
    if (strncmp(arguments, "report:", 7) == 0)
        report_much(write, to, strtoul(arguments + 7, NULL, 10));
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    int length = snprintf(text, sizeof text,
                          "allocated=%lu freed=%lu gone=%lu term_blocked=%d args=%s\n",
                          atomic_load(&allocated), atomic_load(&freed),
                          atomic_load(&gone), sigismember(&blocked, SIGTERM), arguments);
    write(to, text, (size_t)length);
}
#endif
