/* SPDX-License-Identifier: MIT */
/* Whether a thread is blocked: what the system says of it, not how long it takes. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline void pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Whether the system has the thread asleep in this call of its. */
static inline bool sleeps_in(int tid, int call)
{
    char path[64];
    char text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    int file = open(path, O_RDONLY);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    char expected[16];
    snprintf(expected, sizeof expected, "%d ", call);
    return length > 0 && strncmp(text, expected, strlen(expected)) == 0;
}

static inline bool sleeps_on_futex(int tid)
{
    return sleeps_in(tid, SYS_futex);
}

/* Whether the system has the thread asleep, wherever. */
static inline bool is_asleep(int tid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int file = open(path, O_RDONLY);
    if (file < 0)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    const char *name_end = length > 0 ? strrchr(text, ')') : NULL;
    return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}
