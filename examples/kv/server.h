/* SPDX-License-Identifier: MIT */
/*
 * The worker threads. Each has a listening socket of its own on the same port
 * (SO_REUSEPORT: the kernel spreads new clients over them) and an epoll set; a connection
 * stays with the worker that accepted it. What workers share is the table and the event
 * that stops them.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "connection.h"
#include "table.h"

enum { KV_MOST_WORKERS = 64 };

struct kv_worker {
    struct kv_server *server; /* const after start */
    int epoll_fd;             /* const after start */
    int listen_fd;            /* const after start */
    pthread_t thread;         /* the starter's */
    bool is_accepting;        /* the worker's: false while descriptors are short */
    struct kv_connection *connections; /* the worker's */
};

struct kv_server {
    struct kv_table *table; /* const after start */
    int stop_fd;         /* an eventfd; readable for good once the workers shall stop */
    uint16_t port;       /* const after start */
    size_t worker_count; /* const after start */
    struct kv_worker workers[KV_MOST_WORKERS];
};

/*
 * Listen on the loopback interface, `port` 0 being any free one, and start the workers.
 * False with errno set when that fails; nothing is left open then.
 */
bool kv_server_start(struct kv_server *server, struct kv_table *table, uint16_t port,
                     size_t worker_count);

/* Stop the workers, which hang up on their clients, and wait for them. */
void kv_server_stop(struct kv_server *server);
