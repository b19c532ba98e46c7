/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"

/* A client in error may have this much more under way before we hang up on it. */
enum { MOST_DISCARDED = 4 * KV_MOST_REQUEST_BYTES };

struct kv_connection *kv_connection_create(int fd, struct kv_table *table)
{
    struct kv_heap *heap = kv_heap_create_private();
    if (!heap)
        return NULL;
    struct kv_connection *connection = kv_heap_alloc(heap, sizeof(*connection));
    if (!connection) {
        kv_heap_destroy(heap);
        return NULL;
    }
    connection->armed = 0;
    connection->fd = fd;
    connection->stage = KV_SERVING;
    connection->heap = heap;
    connection->table = table;
    kv_resp_init(&connection->resp, heap);
    kv_reply_init(&connection->reply, heap);
    connection->discarded = 0;
    connection->input_size = 0;
    return connection;
}

void kv_connection_destroy(struct kv_connection *connection)
{
    close(connection->fd);
    kv_heap_destroy(connection->heap);
}

/* Read what there is room for. False when the connection is broken. */
static bool receive(struct kv_connection *connection)
{
    size_t room = KV_INPUT_BYTES - connection->input_size;
    if (connection->stage == KV_HUNG_UP || room == 0)
        return true;
    ssize_t got;
    do
        got = recv(connection->fd, connection->input + connection->input_size, room, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK;
    if (got > 0)
        connection->input_size += (size_t)got;
    else if (connection->stage == KV_LEAVING)
        return false;
    else if (connection->stage == KV_SERVING)
        connection->stage = KV_HUNG_UP;
    return true;
}

/* Run one request off the front of `input`. False when there is none. */
static bool run_request(struct kv_connection *connection, struct kv_bytes *input)
{
    const char *error = NULL;
    struct kv_resp *resp = &connection->resp;
    switch (kv_resp_parse(resp, input, &error)) {
    case KV_RESP_REQUEST:
        kv_command_run(connection->table, resp->arguments, resp->count,
                       &connection->reply);
        kv_resp_reset(resp);
        return true;
    case KV_RESP_INVALID:
        kv_reply_error(&connection->reply, error);
        kv_resp_reset(resp);
        connection->stage = KV_FAILING;
        return false;
    case KV_RESP_STARVED:
        break;
    }
    return false;
}

/* Run requests until the input lacks one or the replies are at their mark: then true. */
static bool run_requests(struct kv_connection *connection)
{
    struct kv_bytes input = {connection->input, connection->input_size};
    bool goes_on = true;
    while (goes_on && connection->reply.pending_bytes < KV_REPLY_MARK)
        goes_on = run_request(connection, &input);
    memmove(connection->input, input.data, input.size);
    connection->input_size = input.size;
    return goes_on;
}

/* Run and send until one of the two has to wait. False when the connection is over. */
static bool work(struct kv_connection *connection)
{
    struct kv_reply *reply = &connection->reply;
    bool has_more;
    do {
        has_more = run_requests(connection);
        if (reply->is_broken || !kv_reply_send(reply, connection->fd))
            return false;
    } while (has_more && reply->pending_bytes < KV_REPLY_MARK);
    return connection->stage != KV_HUNG_UP || has_more || reply->pending_bytes > 0;
}

/* The client has to learn of its error: to close with input unread would lose it. */
static bool leave(struct kv_connection *connection)
{
    if (connection->stage == KV_FAILING) {
        if (!kv_reply_send(&connection->reply, connection->fd))
            return false;
        if (connection->reply.pending_bytes > 0)
            return true;
        shutdown(connection->fd, SHUT_WR);
        connection->stage = KV_LEAVING;
    }
    connection->discarded += connection->input_size;
    connection->input_size = 0;
    return connection->discarded <= MOST_DISCARDED;
}

uint32_t kv_connection_serve(struct kv_connection *connection, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP))
        return 0;
    if (events & EPOLLIN && !receive(connection))
        return 0;
    if (connection->stage <= KV_HUNG_UP && !work(connection))
        return 0;
    if (connection->stage >= KV_FAILING && !leave(connection))
        return 0;

    size_t pending = connection->reply.pending_bytes;
    bool may_read = connection->stage == KV_LEAVING ||
                    (connection->stage == KV_SERVING && pending < KV_REPLY_MARK &&
                     connection->input_size < KV_INPUT_BYTES);
    return (pending > 0 ? (uint32_t)EPOLLOUT : 0) | (may_read ? (uint32_t)EPOLLIN : 0);
}
