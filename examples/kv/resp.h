/* SPDX-License-Identifier: MIT */
/*
 * Requests as RESP sends them, an array of bulk strings, parsed as they come in: a
 * request may arrive in any number of pieces. Arguments are blocks of the connection's
 * heap, of the size the client announced; limits keep a client from announcing too much.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "memory.h"

enum {
    KV_MOST_ARGUMENTS = 1024,
    KV_MOST_REQUEST_BYTES = 1 << 20, /* all arguments of a request together */
};

/* A request while it is parsed; owned by its connection. */
struct kv_resp {
    struct kv_heap *heap;
    struct kv_bytes *arguments; /* complete ones, and room for all `expected` */
    size_t expected;            /* 0 between requests */
    size_t count;               /* complete arguments */
    char *filling;              /* the argument that is incomplete, or NULL */
    size_t filling_size;        /* what it will hold, the end of line included */
    size_t filled;
    size_t request_bytes; /* announced so far */
};

enum kv_resp_step {
    KV_RESP_REQUEST, /* arguments[0 .. count - 1] is a request: run it, then reset */
    KV_RESP_STARVED, /* more input is needed */
    KV_RESP_INVALID, /* *error says why; the connection cannot go on */
};

void kv_resp_init(struct kv_resp *resp, struct kv_heap *heap);

/* Forget the request and free its arguments. */
void kv_resp_reset(struct kv_resp *resp);

/*
 * Go on with `input`, from which the bytes used up are taken off. What a starved parser
 * leaves there, a few bytes of an unfinished line, it wants to see again with more behind
 * it.
 */
enum kv_resp_step kv_resp_parse(struct kv_resp *resp, struct kv_bytes *input,
                                const char **error);
