/* SPDX-License-Identifier: MIT */
#include "control/message.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "os/thread.h"

/* Wait for the peer to be ready for `events`. False: it was not by then. */
static bool wait_for(int peer, short events, uint64_t until)
{
    uint64_t now = mole_clock_ms();
    struct pollfd file = {.fd = peer, .events = events};
    return now < until && poll(&file, 1, (int)(until - now)) > 0;
}

/* Whether a transfer of `bytes` < 0 is worth another try. */
static bool is_to_wait(ssize_t bytes)
{
    return bytes < 0 && (errno == EAGAIN || errno == EINTR);
}

static void split(struct mole_request *request)
{
    char *rest = request->line;
    char *end = rest + strlen(rest);
    for (size_t i = 0; i < MOLE_REQUEST_WORDS; i++) {
        request->word[i] = rest;
        char *tab = i + 1 < MOLE_REQUEST_WORDS ? strchr(rest, '\t') : NULL;
        if (tab)
            *tab = '\0';
        rest = tab ? tab + 1 : end;
    }
}

/* The rest of a line: unread, it would cost the peer our answer. */
static void discard(int peer, uint64_t until)
{
    char some[4096];
    ssize_t more;
    do
        more = recv(peer, some, sizeof some, 0);
    while (mole_clock_ms() < until &&
           (more > 0 ? !memchr(some, '\n', (size_t)more)
                     : is_to_wait(more) && wait_for(peer, POLLIN, until)));
}

bool mole_request_receive(int peer, struct mole_request *request, const char **why)
{
    uint64_t until = mole_clock_ms() + MOLE_MESSAGE_MS;
    size_t length = 0;
    *why = NULL;
    while (length < sizeof request->line) {
        ssize_t more =
            recv(peer, request->line + length, sizeof request->line - length, 0);
        if (more == 0 || (more < 0 && !is_to_wait(more)))
            return false;
        if (more < 0) {
            if (wait_for(peer, POLLIN, until))
                continue;
            *why = "no request came in time";
            return false;
        }
        char *newline = memchr(request->line + length, '\n', (size_t)more);
        length += (size_t)more;
        if (!newline)
            continue;
        *newline = '\0';
        if (strlen(request->line) != (size_t)(newline - request->line)) {
            *why = "the request holds a NUL";
            return false;
        }
        split(request);
        return true;
    }
    discard(peer, until);
    *why = "the request is too long";
    return false;
}

/* Make room for so many bytes more. False: there is none. */
static bool make_room(struct mole_reply *reply, size_t bytes)
{
    if (bytes > MOLE_REPLY_MAX - reply->bytes)
        return false;
    if (reply->room - reply->bytes >= bytes)
        return true;
    size_t room = reply->room ? reply->room : 4096;
    while (room < reply->bytes + bytes)
        room *= 2;
    char *text = realloc(reply->text, room);
    if (!text)
        return false;
    reply->text = text;
    reply->room = room;
    return true;
}

void mole_reply_put(struct mole_reply *reply, const char *text, size_t bytes)
{
    if (reply->is_cut || !make_room(reply, bytes)) {
        reply->is_cut = true;
        return;
    }
    memcpy(reply->text + reply->bytes, text, bytes);
    reply->bytes += bytes;
}

static void print(struct mole_reply *reply, const char *format, va_list args)
{
    char text[MOLE_REQUEST_MAX];
    int length = vsnprintf(text, sizeof text, format, args);
    if (length >= (int)sizeof text)
        length = sizeof text - 1;
    if (length > 0)
        mole_reply_put(reply, text, (size_t)length);
}

void mole_reply_print(struct mole_reply *reply, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print(reply, format, args);
    va_end(args);
}

void mole_reply_fail(struct mole_reply *reply, const char *format, ...)
{
    va_list args;
    reply->is_error = true;
    reply->is_cut = false;
    reply->bytes = 0;
    va_start(args, format);
    print(reply, format, args);
    va_end(args);
    for (size_t i = 0; i < reply->bytes; i++)
        if (reply->text[i] == '\n')
            reply->text[i] = ' ';
    mole_reply_put(reply, "\n", 1);
}

static bool send_all(int peer, const char *text, size_t bytes, uint64_t until)
{
    while (bytes) {
        ssize_t sent = send(peer, text, bytes, MSG_NOSIGNAL);
        if (sent < 0 && !(is_to_wait(sent) && wait_for(peer, POLLOUT, until)))
            return false;
        if (sent > 0) {
            text += sent;
            bytes -= (size_t)sent;
        }
    }
    return true;
}

void mole_reply_send(int peer, const struct mole_reply *reply)
{
    static const char cut[] = "(there was more than fits)\n";
    uint64_t until = mole_clock_ms() + MOLE_MESSAGE_MS;
    size_t last = reply->is_cut ? sizeof cut - 1 : 0;
    char head[64];
    int length = snprintf(head, sizeof head, "%s %zu\n", reply->is_error ? "error" : "ok",
                          reply->bytes + last);
    if (send_all(peer, head, (size_t)length, until) &&
        send_all(peer, reply->text, reply->bytes, until))
        (void)send_all(peer, cut, last, until);
    /* A child forked meanwhile may have the file still open. */
    shutdown(peer, SHUT_WR);
}

void mole_reply_finish(struct mole_reply *reply)
{
    free(reply->text);
    *reply = (struct mole_reply){.text = NULL};
}
