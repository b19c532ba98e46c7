/* SPDX-License-Identifier: MIT */
/*
 * Replies on their way to one client: RESP text in a queue of chunks, blocks of the
 * connection's heap. Owned by the thread that serves the connection. When memory runs
 * short in the middle of a reply the queue is broken for good, and the connection has to
 * be closed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "memory.h"

struct kv_chunk;

struct kv_reply {
    struct kv_heap *heap;
    struct kv_chunk *first;
    struct kv_chunk *last;
    size_t pending_bytes; /* in all chunks, not yet sent */
    bool is_broken;
};

void kv_reply_init(struct kv_reply *reply, struct kv_heap *heap);

void kv_reply_status(struct kv_reply *reply, const char *text);
void kv_reply_error(struct kv_reply *reply, const char *text);
void kv_reply_number(struct kv_reply *reply, int64_t number);
void kv_reply_bulk(struct kv_reply *reply, struct kv_bytes bytes);
void kv_reply_nothing(struct kv_reply *reply);

/* Send what the socket takes and free what was sent. False when the client is gone. */
bool kv_reply_send(struct kv_reply *reply, int fd);
