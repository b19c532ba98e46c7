/* SPDX-License-Identifier: MIT */
#include "cli/talk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/process.h"

enum { ANSWER_MAX = 2 << 20 };

/*
 * Who listens there must be the same user, else he would be told what we want; and the
 * process that was named, not another that has the same path.
 */
static bool is_right_peer(int file, const struct target *target, char *why, size_t bytes)
{
    struct ucred who;
    socklen_t length = sizeof who;
    if (getsockopt(file, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) {
        snprintf(why, bytes, "%s: %s", target->path, strerror(errno));
        return false;
    }
    if (who.uid != geteuid()) {
        snprintf(why, bytes, "%s is user %ld's, this is user %ld", target->path,
                 (long)who.uid, (long)geteuid());
        return false;
    }
    if (target->process && who.pid != target->process) {
        snprintf(why, bytes, "%s is process %ld's, not %ld's", target->path,
                 (long)who.pid, (long)target->process);
        return false;
    }
    return true;
}

/* A connection; -1, and `why`. */
static int connect_to(const struct target *target, char *why, size_t bytes)
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    static_assert(sizeof place.sun_path == sizeof target->path, "both hold a path");
    memcpy(place.sun_path, target->path, sizeof place.sun_path);
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0 || connect(file, (const void *)&place, sizeof place) != 0) {
        const char *reason = errno == ENOENT         ? "there is no socket"
                             : errno == ECONNREFUSED ? "nobody listens there"
                                                     : strerror(errno);
        snprintf(why, bytes, "%s: %s", target->path, reason);
    } else if (is_right_peer(file, target, why, bytes)) {
        return file;
    }
    if (file >= 0)
        close(file);
    return -1;
}

static bool send_all(int file, const char *text, size_t bytes)
{
    while (bytes) {
        ssize_t sent = send(file, text, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        text += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

/* All that comes, with a NUL behind it; its length, or -1. */
static ssize_t receive_all(int file, char *text, size_t room)
{
    size_t length = 0;
    while (length < room - 1) {
        ssize_t more = recv(file, text + length, room - 1 - length, 0);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        length += (size_t)more;
    }
    text[length] = '\0';
    return (ssize_t)length;
}

/* Take the head off what came. False: it is not whole. */
static bool parse(struct answer *answer, char *text, size_t length)
{
    char *newline = memchr(text, '\n', length);
    if (!newline)
        return false;
    size_t head = (size_t)(newline + 1 - text);
    char kind[8];
    size_t bytes;
    char end;
    if (sscanf(text, "%7s %zu%c", kind, &bytes, &end) != 3 || end != '\n' ||
        bytes != length - head)
        return false;
    answer->is_error = strcmp(kind, "error") == 0;
    if (!answer->is_error && strcmp(kind, "ok") != 0)
        return false;
    memmove(text, newline + 1, bytes + 1);
    answer->text = text;
    answer->bytes = bytes;
    return true;
}

bool talk(const struct target *target, const char *request, struct answer *answer,
          char *why, size_t bytes)
{
    int file = connect_to(target, why, bytes);
    if (file < 0)
        return false;
    char *text = malloc(ANSWER_MAX);
    /* Who refuses us may have hung up before the request is through: the answer tells. */
    bool is_sent = send_all(file, request, strlen(request));
    ssize_t length = text ? receive_all(file, text, ANSWER_MAX) : -1;
    bool is_good = length >= 0 && parse(answer, text, (size_t)length) &&
                   (is_sent || answer->is_error);
    close(file);
    if (is_good)
        return true;
    free(text);
    snprintf(why, bytes, "%s: no whole answer came", target->path);
    return false;
}
