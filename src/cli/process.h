/* SPDX-License-Identifier: MIT */
/*
 * Which control socket is meant: by its path, or by the process that has it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What was named on the command line. */
struct target {
    char path[108]; /* of the socket */
    pid_t process;  /* 0: only the socket was named */
};

/*
 * Find out what `name` means. False: `why`, a line of text, says what is wrong.
 */
bool find_target(const char *name, struct target *target, char *why, size_t bytes);
