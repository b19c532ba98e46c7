/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    CHUNK_BYTES = 2000, /* small replies share a chunk of this size */
    CHUNKS_A_SEND = 32,
};

struct kv_chunk {
    struct kv_chunk *next;
    size_t sent;
    size_t size;
    size_t capacity;
    char bytes[];
};

void kv_reply_init(struct kv_reply *reply, struct kv_heap *heap)
{
    *reply = (struct kv_reply){.heap = heap};
}

/* Room at the end of the queue, counted as filled; NULL when memory is short. */
static char *append(struct kv_reply *reply, size_t bytes)
{
    struct kv_chunk *chunk = reply->last;
    if (!chunk || chunk->capacity - chunk->size < bytes) {
        size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = kv_heap_alloc(reply->heap, sizeof(*chunk) + capacity);
        if (!chunk) {
            reply->is_broken = true;
            return NULL;
        }
        *chunk = (struct kv_chunk){.capacity = capacity};
        if (reply->last)
            reply->last->next = chunk;
        else
            reply->first = chunk;
        reply->last = chunk;
    }
    char *room = chunk->bytes + chunk->size;
    chunk->size += bytes;
    reply->pending_bytes += bytes;
    return room;
}

static char *put(char *to, struct kv_bytes bytes)
{
    memcpy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

/* A reply of one line: its mark, the text, the end of line. */
static void append_line(struct kv_reply *reply, char mark, struct kv_bytes text)
{
    char *to = append(reply, 1 + text.size + 2);
    if (!to)
        return;
    *to++ = mark;
    to = put(to, text);
    put(to, kv_bytes_of("\r\n"));
}

void kv_reply_status(struct kv_reply *reply, const char *text)
{
    append_line(reply, '+', kv_bytes_of(text));
}

void kv_reply_error(struct kv_reply *reply, const char *text)
{
    append_line(reply, '-', kv_bytes_of(text));
}

void kv_reply_number(struct kv_reply *reply, int64_t number)
{
    char text[KV_NUMBER_TEXT];
    size_t size = kv_bytes_from_number(number, text);
    append_line(reply, ':', (struct kv_bytes){text, size});
}

void kv_reply_nothing(struct kv_reply *reply)
{
    append_line(reply, '$', kv_bytes_of("-1"));
}

void kv_reply_bulk(struct kv_reply *reply, struct kv_bytes bytes)
{
    char text[KV_NUMBER_TEXT];
    size_t size = kv_bytes_from_number((int64_t)bytes.size, text);
    char *to = append(reply, 1 + size + 2 + bytes.size + 2);
    if (!to)
        return;
    *to++ = '$';
    to = put(to, (struct kv_bytes){text, size});
    to = put(to, kv_bytes_of("\r\n"));
    to = put(to, bytes);
    put(to, kv_bytes_of("\r\n"));
}

/* Free the chunks that are sent to their end. */
static void drop_sent(struct kv_reply *reply, size_t bytes)
{
    reply->pending_bytes -= bytes;
    while (reply->first) {
        struct kv_chunk *chunk = reply->first;
        size_t rest = chunk->size - chunk->sent;
        if (bytes < rest) {
            chunk->sent += bytes;
            return;
        }
        bytes -= rest;
        reply->first = chunk->next;
        if (!reply->first)
            reply->last = NULL;
        kv_heap_free(reply->heap, chunk);
    }
}

bool kv_reply_send(struct kv_reply *reply, int fd)
{
    while (reply->first) {
        struct iovec parts[CHUNKS_A_SEND];
        size_t count = 0;
        struct kv_chunk *chunk = reply->first;
        for (; chunk && count < CHUNKS_A_SEND; chunk = chunk->next) {
            parts[count].iov_base = chunk->bytes + chunk->sent;
            parts[count++].iov_len = chunk->size - chunk->sent;
        }
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        /* MSG_NOSIGNAL: a client that left is an error here, not a SIGPIPE. */
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        drop_sent(reply, (size_t)sent);
    }
    return true;
}
