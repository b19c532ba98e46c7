/* SPDX-License-Identifier: MIT */
#include "cli/process.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Whether the file behind this link is a socket's name, as a process has it open that
 * listens there (control/listener.h). Sockets themselves have no path. The path goes to
 * `target`.
 */
static bool is_socket_name(const char *link, struct target *target)
{
    struct stat found;
    ssize_t length = readlink(link, target->path, sizeof target->path);
    if (length <= 0 || (size_t)length >= sizeof target->path)
        return false;
    target->path[length] = '\0';
    return target->path[0] == '/' && stat(link, &found) == 0 && S_ISSOCK(found.st_mode);
}

/* The process's socket, by what it has open. */
static bool find_socket(struct target *target, char *why, size_t bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)target->process);
    DIR *files = opendir(path);
    if (!files) {
        const char *reason = errno == ENOENT ? "there is none" : strerror(errno);
        snprintf(why, bytes, "process %ld: %s", (long)target->process, reason);
        return false;
    }
    bool is_found = false;
    struct dirent *file;
    while (!is_found && (file = readdir(files))) {
        char link[sizeof path + sizeof file->d_name];
        snprintf(link, sizeof link, "%s/%s", path, file->d_name);
        is_found = is_socket_name(link, target);
    }
    closedir(files);
    if (!is_found)
        snprintf(why, bytes,
                 "process %ld has no control socket; it must be started on molehill with "
                 "MOLEHILL_CONF=control:PATH",
                 (long)target->process);
    return is_found;
}

bool find_target(const char *name, struct target *target, char *why, size_t bytes)
{
    *target = (struct target){.process = 0};
    if (name[0] && strspn(name, "0123456789") == strlen(name)) {
        errno = 0;
        long process = strtol(name, NULL, 10);
        if (errno != 0 || process < 1 || process > INT_MAX) {
            snprintf(why, bytes, "process %s: there is none", name);
            return false;
        }
        target->process = (pid_t)process;
        return find_socket(target, why, bytes);
    }
    if (!name[0] || strlen(name) >= sizeof target->path) {
        snprintf(why, bytes, "%s: not the path of a socket", name);
        return false;
    }
    memcpy(target->path, name, strlen(name) + 1);
    return true;
}
