/* SPDX-License-Identifier: MIT */
/*
 * One request to a control socket, and the reply: the peer of control/message.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct target;

enum { REQUEST_MAX = 8192 };

/* What came back; `text` is to be freed. */
struct answer {
    bool is_error;
    char *text;
    size_t bytes;
};

/*
 * Connect, send the request, a line, and receive the answer. False: `why`, a line of
 * text, says what is wrong.
 */
bool talk(const struct target *target, const char *request, struct answer *answer,
          char *why, size_t bytes);
