/* SPDX-License-Identifier: MIT */
#include "control/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/config.h"
#include "base/check.h"
#include "os/thread.h"

enum {
    WAITING_PEERS = 32,
    LOCK_TRIES = 100, /* of 10 ms */
    TRY_MS = 10,
    PATH_BYTES = MOLE_CONTROL_PATH_MAX,
};
static_assert(sizeof((struct sockaddr_un *)NULL)->sun_path == PATH_BYTES,
              "what the configuration lets through");

/*
 * The socket, and the file as it was made. const while there is a thread; a fork's child
 * forgets the socket.
 */
static struct {
    int socket;
    int file;                 /* the socket's name, open: by that the command finds it */
    pid_t process;            /* which made the name */
    struct stat as_socket;    /* what `socket` is, unless the program closed it */
    struct stat as_file;      /* what is at `path`, unless somebody replaced it */
    struct sockaddr_un place; /* with `path` */
} own = {.socket = -1, .file = -1};

/* Put the process's id in. False: too long then. */
static bool expand(const char *pattern, char *path)
{
    size_t length = 0;
    for (; *pattern; pattern++) {
        int put =
            *pattern == '%'
                ? snprintf(path + length, PATH_BYTES - length, "%ld", (long)getpid())
                : snprintf(path + length, PATH_BYTES - length, "%c", *pattern);
        pattern += *pattern == '%'; /* the p */
        length += (size_t)put;
        if (length >= PATH_BYTES)
            return false;
    }
    return true;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static void warn_errno(const char *path, int code)
{
    mole_warn("no control socket at %s: %s", path, strerrordesc_np(code));
}

/* The directory of the path, locked, as a file; -1 and errno. */
static int lock_directory(const char *path)
{
    char name[PATH_BYTES];
    size_t length = (size_t)(strrchr(path, '/') - path);
    memcpy(name, path, length);
    name[length] = '\0';
    int directory = open(length ? name : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -1;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(directory, LOCK_EX | LOCK_NB) == 0)
            return directory;
        mole_thread_sleep_ms(TRY_MS);
    }
    close(directory);
    errno = EBUSY;
    return -1;
}

/* Whether the file is a socket of this user's at which nobody listens. */
static bool is_stale(void)
{
    struct stat found;
    if (lstat(own.place.sun_path, &found) != 0 || !S_ISSOCK(found.st_mode) ||
        found.st_uid != geteuid())
        return false;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return false;
    bool is_refused = connect(probe, (const void *)&own.place, sizeof own.place) != 0 &&
                      errno == ECONNREFUSED;
    close(probe);
    return is_refused;
}

/* Bind; errno as by bind. Under the directory's lock. */
static bool bind_here(int file)
{
    if (bind(file, (const void *)&own.place, sizeof own.place) == 0)
        return true;
    if (errno != EADDRINUSE)
        return false;
    if (!is_stale()) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(own.place.sun_path) == 0 &&
           bind(file, (const void *)&own.place, sizeof own.place) == 0;
}

/* The socket's own mode is what the file gets: there is no moment with another. */
static int listen_here(void)
{
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        return -1;
    if (fchmod(file, S_IRUSR | S_IWUSR) == 0 && bind_here(file) &&
        listen(file, WAITING_PEERS) == 0 && fstat(file, &own.as_socket) == 0 &&
        (own.file = open(own.place.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC)) >= 0 &&
        fstat(own.file, &own.as_file) == 0)
        return file;
    int code = errno;
    close(file);
    errno = code;
    return -1;
}

bool mole_listener_open(const char *pattern)
{
    own.place.sun_family = AF_UNIX;
    if (!expand(pattern, own.place.sun_path)) {
        warn_errno(pattern, ENAMETOOLONG);
        return false;
    }
    int directory = lock_directory(own.place.sun_path);
    if (directory < 0) {
        warn_errno(own.place.sun_path, errno);
        return false;
    }
    own.process = getpid();
    own.socket = listen_here();
    if (own.socket < 0)
        warn_errno(own.place.sun_path, errno);
    close(directory);
    return own.socket >= 0;
}

/* Not when the program closed all files it did not know, and perhaps opened others. */
static bool is_ours(int file, const struct stat *as)
{
    struct stat found;
    return file >= 0 && fstat(file, &found) == 0 && is_same(&found, as);
}

static bool is_same_user(int peer)
{
    struct ucred who;
    socklen_t bytes = sizeof who;
    return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0 &&
           who.uid == geteuid();
}

int mole_listener_accept(bool *is_allowed)
{
    while (is_ours(own.socket, &own.as_socket)) {
        int peer = accept4(own.socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer >= 0) {
            *is_allowed = is_same_user(peer);
            return peer;
        }
        if (errno != ECONNABORTED)
            mole_thread_sleep_ms(8 * TRY_MS); /* too many files are open, for example */
    }
    return -1;
}

void mole_listener_forget(void)
{
    if (is_ours(own.socket, &own.as_socket))
        close(own.socket);
    if (is_ours(own.file, &own.as_file))
        close(own.file);
    own.socket = own.file = -1;
}

void mole_listener_unlink(void)
{
    struct stat found;
    if (own.process == getpid() && lstat(own.place.sun_path, &found) == 0 &&
        is_same(&found, &own.as_file))
        unlink(own.place.sun_path);
}
