/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies, one of each a connection.
 *
 *   request  WORD <tab> WORD ... <newline>, at most MOLE_REQUEST_MAX bytes
 *   reply    "ok BYTES" or "error BYTES", a newline, and as many bytes of text
 *
 * Both have to be through in MOLE_MESSAGE_MS each: nobody keeps the thread waiting.
 */
#pragma once

#include "base/attr.h"

enum {
    MOLE_REQUEST_MAX = 8192,
    MOLE_REQUEST_WORDS = 3, /* the last one takes the rest of the line */
    MOLE_REPLY_MAX = 1 << 20,
    MOLE_MESSAGE_MS = 4000,
};

struct mole_request {
    char line[MOLE_REQUEST_MAX];
    char *word[MOLE_REQUEST_WORDS]; /* "" where there is none */
};

/* What is to be said. All zero at the start; mole_reply_finish when it was sent. */
struct mole_reply {
    bool is_error;
    bool is_cut; /* there was more than fits */
    char *text;
    size_t bytes;
    size_t room;
};

/* Receive a request. False: `why` says what was wrong with it, NULL: nobody is there. */
bool mole_request_receive(int peer, struct mole_request *request, const char **why)
    mole_must_check;

/* Add to a reply. What has no room is left out. */
void mole_reply_put(struct mole_reply *reply, const char *text, size_t bytes);
void mole_reply_print(struct mole_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Say this instead of all else: an error, one line. */
void mole_reply_fail(struct mole_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Send the reply, as far as the peer takes it. */
void mole_reply_send(int peer, const struct mole_reply *reply);

void mole_reply_finish(struct mole_reply *reply);
