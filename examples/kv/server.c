/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_A_WAIT = 64,
    ACCEPTS_A_TURN = 64,
    BACKLOG = 1024,
    ACCEPT_PAUSE_MS = 50,
};

/* What an event belongs to: a connection, or the address of one of these descriptors. */
static bool watch(int epoll_fd, int operation, int fd, uint32_t events, void *subject)
{
    struct epoll_event event = {.events = events, .data.ptr = subject};
    return epoll_ctl(epoll_fd, operation, fd, &event) == 0;
}

static void hang_up(struct kv_worker *worker, struct kv_connection *connection)
{
    if (connection->next)
        connection->next->previous = connection->previous;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        worker->connections = connection->next;
    kv_connection_destroy(connection);
}

/* Take over a client, or hang up on it when memory is short. */
static void welcome(struct kv_worker *worker, int fd)
{
    /* Replies already go out in one piece; waiting for more would only delay them. */
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct kv_connection *connection = kv_connection_create(fd, worker->server->table);
    if (!connection) {
        close(fd);
        return;
    }
    connection->armed = EPOLLIN;
    connection->previous = NULL;
    connection->next = worker->connections;
    if (connection->next)
        connection->next->previous = connection;
    worker->connections = connection;
    if (!watch(worker->epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, connection))
        hang_up(worker, connection);
}

static void set_accepting(struct kv_worker *worker, bool is_accepting)
{
    worker->is_accepting = is_accepting;
    watch(worker->epoll_fd, EPOLL_CTL_MOD, worker->listen_fd, is_accepting ? EPOLLIN : 0,
          &worker->listen_fd);
}

static void accept_clients(struct kv_worker *worker)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(worker->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(worker, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        /* No descriptors or memory: clients wait in the backlog, and we do not spin. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            set_accepting(worker, false);
            return;
        }
        /* Anything else ended one client before we saw it. */
    }
}

static void serve(struct kv_worker *worker, struct kv_connection *connection,
                  uint32_t events)
{
    uint32_t wanted = kv_connection_serve(connection, events);
    if (wanted == connection->armed)
        return;
    connection->armed = wanted;
    if (wanted == 0 ||
        !watch(worker->epoll_fd, EPOLL_CTL_MOD, connection->fd, wanted, connection))
        hang_up(worker, connection);
}

/* False when it is time to stop. */
static bool dispatch(struct kv_worker *worker, const struct epoll_event *event)
{
    if (event->data.ptr == &worker->server->stop_fd)
        return false;
    if (event->data.ptr == &worker->listen_fd)
        accept_clients(worker);
    else
        serve(worker, event->data.ptr, event->events);
    return true;
}

static void *run_worker(void *argument)
{
    struct kv_worker *worker = argument;
    bool goes_on = true;
    while (goes_on) {
        struct epoll_event events[EVENTS_A_WAIT];
        int timeout = worker->is_accepting ? -1 : ACCEPT_PAUSE_MS;
        int count = epoll_wait(worker->epoll_fd, events, EVENTS_A_WAIT, timeout);
        if (!worker->is_accepting)
            set_accepting(worker, true);
        for (int i = 0; i < count && goes_on; i++)
            goes_on = dispatch(worker, &events[i]);
    }
    while (worker->connections)
        hang_up(worker, worker->connections);
    return NULL;
}

/* A listening socket on the port, or -1. */
static int listen_on(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &size);
    return ntohs(address.sin_port);
}

static bool worker_init(struct kv_worker *worker, struct kv_server *server)
{
    *worker = (struct kv_worker){.server = server, .is_accepting = true};
    worker->listen_fd = listen_on(server->port);
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->listen_fd < 0 || worker->epoll_fd < 0)
        return false;
    server->port = port_of(worker->listen_fd);
    return watch(worker->epoll_fd, EPOLL_CTL_ADD, server->stop_fd, EPOLLIN,
                 &server->stop_fd) &&
           watch(worker->epoll_fd, EPOLL_CTL_ADD, worker->listen_fd, EPOLLIN,
                 &worker->listen_fd);
}

static void worker_finish(struct kv_worker *worker)
{
    if (worker->listen_fd >= 0)
        close(worker->listen_fd);
    if (worker->epoll_fd >= 0)
        close(worker->epoll_fd);
}

/* Ready the next worker and let it run. False with errno set when that fails. */
static bool add_worker(struct kv_server *server)
{
    struct kv_worker *worker = &server->workers[server->worker_count];
    int error = 0;
    if (!worker_init(worker, server))
        error = errno;
    else
        error = pthread_create(&worker->thread, NULL, run_worker, worker);
    if (error == 0) {
        server->worker_count++;
        return true;
    }
    worker_finish(worker);
    errno = error;
    return false;
}

bool kv_server_start(struct kv_server *server, struct kv_table *table, uint16_t port,
                     size_t worker_count)
{
    *server = (struct kv_server){.table = table, .port = port};
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0)
        return false;
    while (server->worker_count < worker_count) {
        if (!add_worker(server)) {
            int error = errno;
            kv_server_stop(server);
            errno = error;
            return false;
        }
    }
    return true;
}

void kv_server_stop(struct kv_server *server)
{
    /* The counter is never read back to 0, so every worker sees it, however late. */
    eventfd_write(server->stop_fd, 1);
    for (size_t i = 0; i < server->worker_count; i++) {
        pthread_join(server->workers[i].thread, NULL);
        worker_finish(&server->workers[i]);
    }
    close(server->stop_fd);
}
