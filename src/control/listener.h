/* SPDX-License-Identifier: MIT */
/*
 * The listening socket, of which the process has one at most: made, given up, unlinked.
 *
 * The file has mode 0600 from the moment it is there. Who makes one holds a lock on its
 * directory, so that of several processes with one path one gets it, and what a process
 * left behind that was killed is replaced. The file stays open, without access to it
 * (O_PATH): so the command finds it by /proc/PID/fd, whatever the program did to its
 * environment.
 */
#pragma once

#include "base/attr.h"

/*
 * Listen at `pattern`, in which %p stands for the process's id. False, and one line on
 * stderr: it cannot be had.
 */
bool mole_listener_open(const char *pattern) mole_must_check;

/*
 * The next peer, close-on-exec and not blocking, and whether it is of the same user. -1:
 * the socket is not ours any more, for the program closed it.
 */
int mole_listener_accept(bool *is_allowed) mole_must_check;

/* In a fork's child: give the socket up; the file is the parent's. */
void mole_listener_forget(void);

/* Remove the file if this process made it. */
void mole_listener_unlink(void);
