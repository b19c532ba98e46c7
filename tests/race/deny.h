/* SPDX-License-Identifier: MIT */
/*
 * Denying membarrier, or one of its commands, to this process by a seccomp filter, as
 * containers do: for good, so in a child.
 */
#pragma once

#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "race.h"

enum { ALL = -1 }; /* of membarrier's commands */

enum when { NEVER, AT_START, LATER };

static race_maybe const char *const when_names[] = {
    "with the barrier", "denied at the start", "denied later"};

/*
 * None of membarrier's commands from now on, or not that one; in the threads that there
 * are, too. False: such filters cannot be set here.
 */
static bool deny_barrier(int command)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)command, 0, command == ALL ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
                    &program) == 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) &&
           syscall(SYS_membarrier, command == ALL ? MEMBARRIER_CMD_QUERY : command, 0,
                   0) < 0;
}

/* Run the case in a process of its own, which has 0, 1 or, skipped, 77 as its status. */
static void run_denied(enum when denied, int command, size_t count,
                       void (*run_one)(enum when denied, int command, size_t count))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&race_skipped, 0);
        atomic_store(&race_failed, 0);
        run_one(denied, command, count);
        fflush(stdout);
        _exit(atomic_load(&race_failed) ? 1 : atomic_load(&race_skipped) ? 77 : 0);
    }
    int status = 0;
    race_require(child > 0 && waitpid(child, &status, 0) == child, "fork failed");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        race_skip("a denied barrier: see above");
    else
        race_case(status == 0, "the child ended with status 0x%x", (unsigned)status);
}
