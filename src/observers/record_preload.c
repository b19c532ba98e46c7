/* SPDX-License-Identifier: MIT */
/*
 * record from a program's start: preloaded behind libmolehill-malloc, with what the
 * command would be given in MOLEHILL_RECORD. Ends a recording at the program's normal
 * exit, whoever began it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observers/record.h"

/* The process's own, if it has a molehill. */
extern __typeof__(mh_spy_attach) mh_spy_attach __attribute__((weak));
extern __typeof__(mh_spy_detach) mh_spy_detach __attribute__((weak));
extern __typeof__(mh_spy_wait) mh_spy_wait __attribute__((weak));

static const struct mh_spy *attached;

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void complain(const char *why)
{
    char line[400];
    snprintf(line, sizeof line, "molehill: nothing is recorded: %.300s\n", why);
    say(line);
}

__attribute__((constructor)) static void begin(void)
{
    const char *words = secure_getenv("MOLEHILL_RECORD");
    char error[256];
    char text[4200];
    void *heap = MH_SPY_MALLOC;
    if (!words)
        return;
    if (!mh_spy_attach || !mh_spy_detach || !mh_spy_wait) {
        complain("there is no molehill in this process");
        return;
    }
    attached = record_begin(words, &heap, error, sizeof error);
    if (!attached) {
        complain(error);
        return;
    }
    if (mh_spy_attach(attached, heap) == 0)
        return;
    complain("the spy cannot be attached");
    attached = NULL;
    record_end(text, sizeof text);
}

/*
 * Threads may go on; none is in the spy once it is detached. Says nothing but of a trace
 * that is not whole.
 */
__attribute__((destructor)) static void end(void)
{
    char text[4200];
    if (!record_is_under_way() || !mh_spy_detach || !mh_spy_wait)
        return;
    if (attached)
        (void)mh_spy_detach(attached);
    if (mh_spy_wait() != 0)
        return;
    record_end(text, sizeof text);
    if (strstr(text, " is not whole: "))
        say(text);
}
