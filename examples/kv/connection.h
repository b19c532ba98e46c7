/* SPDX-License-Identifier: MIT */
/*
 * One client: reads requests, runs them, sends the replies. A connection lives in a heap
 * of its own, which goes as a whole when the client leaves. What it may use is bounded: a
 * fixed input buffer, one request (resp.h), and replies up to a mark at which it stops to
 * read. One worker owns it from accept to destroy.
 */
#pragma once

#include <stdint.h>

#include "reply.h"
#include "resp.h"
#include "table.h"

enum {
    KV_INPUT_BYTES = 16 << 10,
    KV_REPLY_MARK = 256 << 10, /* with more to send, no request is run */
};

enum kv_connection_stage {
    KV_SERVING,
    KV_HUNG_UP, /* the client sends no more; what it sent is still answered */
    KV_FAILING, /* the request was invalid: the error goes out, then nothing more */
    KV_LEAVING, /* all is said; input is thrown away until the client closes */
};

struct kv_connection {
    struct kv_connection *next; /* the owner's list of connections */
    struct kv_connection *previous;
    uint32_t armed; /* the owner's: the events epoll waits for */
    int fd;

    enum kv_connection_stage stage;
    struct kv_heap *heap; /* holds this very block */
    struct kv_table *table;
    struct kv_resp resp;
    struct kv_reply reply;
    size_t discarded; /* bytes thrown away while KV_LEAVING */
    size_t input_size;
    char input[KV_INPUT_BYTES];
};

/* Takes over the non-blocking socket `fd`. NULL, and not taken, when memory is short. */
struct kv_connection *kv_connection_create(int fd, struct kv_table *table);

/* Closes the socket and destroys the heap. */
void kv_connection_destroy(struct kv_connection *connection);

/*
 * Do what can be done after epoll reported `events`. The events to wait for next, 0 when
 * the connection is over and should be destroyed.
 */
uint32_t kv_connection_serve(struct kv_connection *connection, uint32_t events);
