/* SPDX-License-Identifier: MIT */
/*
 * What the tests of malloc share: a misuse committed in a child process, and how that
 * ends.
 */
#pragma once

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mh_malloc.h"
#include "misuse.h"

static inline void *get(size_t bytes)
{
    void *block = mh_malloc(bytes);

    require(block != NULL, "malloc of %zu bytes failed", bytes);
    return block;
}

/* How a child that commits the misuse ends, and what it writes to stderr. */
struct death {
    int signal; /* 0: it went on */
    char line[512];
};

static inline struct death death_by(void (*misuse)(void *), void *pointer)
{
    struct death death = {0, ""};
    int ends[2], status = 0;
    size_t length = 0;
    ssize_t got;

    require(pipe(ends) == 0, "the test has no pipe");
    pid_t child = fork();
    require(child >= 0, "the test cannot fork");
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        misuse(pointer);
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], death.line + length, sizeof(death.line) - 1 - length)) >
           0)
        length += (size_t)got;
    close(ends[0]);
    waitpid(child, &status, 0);
    death.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return death;
}

/* SIGABRT after exactly one line, in which the pointer is. */
static inline void require_death(void (*misuse)(void *), void *pointer, const char *what)
{
    struct death death = death_by(misuse, pointer);
    const char *end = strchr(death.line, '\n');
    char name[32];

    snprintf(name, sizeof(name), "%p", pointer);
    require(death.signal == SIGABRT, "%s: signal %d", what, death.signal);
    require(end != NULL && end[1] == '\0', "%s: not one line: %s", what, death.line);
    require(strstr(death.line, name) != NULL, "%s: %s is not in: %s", what, name,
            death.line);
}

static inline void free_it(void *pointer)
{
    mh_free(pointer);
}
