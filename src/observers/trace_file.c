/* SPDX-License-Identifier: MIT */
#include "observers/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atom.h"

enum { HIGH = 500 }; /* descriptors below this may be expected to be free */

/* Const while threads append. */
static int file = -1;
static pid_t process;
static struct stat opened;
static char path_name[PATH_MAX];

/*
 * end_a: where the next chunk goes.
 *   writers  who appends
 *   readers  the same; who finishes
 *   orders   relaxed: each wants a place of its own
 *   keeps    no two chunks overlap
 *
 * error_a: errno of the first write that failed, 0: none.
 *   writers  who appends
 *   readers  the same; who finishes
 *   orders   relaxed: it is all that is told
 *   keeps    stays what it is once it is not 0
 */
static _Atomic(uint64_t) end_a;
static _Atomic(int) error_a;

/* The path with the process's id where %p stands. False: it is no path for a trace. */
static bool name_file(const char *path)
{
    size_t at = 0;
    for (; *path; path++) {
        bool is_id = path[0] == '%' && path[1] == 'p';
        size_t room = sizeof path_name - at;
        int length = is_id ? snprintf(path_name + at, room, "%ld", (long)getpid())
                           : snprintf(path_name + at, room, "%c", *path);
        if ((*path == '%' && !is_id) || (size_t)length >= room)
            return false;
        at += (size_t)length;
        path += is_id;
    }
    return at > 0 && path_name[0] == '/';
}

static void set_error(int code)
{
    int none = 0;
    (void)cas_acq(&error_a, &none, code);
}

/* errno of what went wrong, 0: nothing. */
static int write_at(const char *data, size_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t done = pwrite(file, data, bytes, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : EIO;
        data += done;
        offset += (uint64_t)done;
        bytes -= (size_t)done;
    }
    return 0;
}

/* What this process has left behind when it became another program by exec. */
static bool is_left_over(int old)
{
    struct trace_header header;
    return pread(old, &header, sizeof header, 0) == sizeof header &&
           memcmp(header.magic, TRACE_MAGIC, sizeof header.magic) == 0 &&
           header.bytes == 0 && header.process == (uint64_t)getpid();
}

/* The new file, or -1 and errno. */
static int make(void)
{
    int made = open(path_name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (made >= 0 || errno != EEXIST)
        return made;
    int old = open(path_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (old >= 0 && is_left_over(old) && ftruncate(old, 0) == 0)
        return old;
    if (old >= 0)
        close(old);
    errno = EEXIST;
    return -1;
}

/* Its descriptor where programs seldom look for one. */
static int move_up(int low)
{
    int high = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, HIGH);
    if (high < 0)
        return low;
    close(low);
    return high;
}

bool trace_file_open(const char *path, char *error, size_t error_bytes)
{
    struct trace_header header = {.magic = TRACE_MAGIC, .version = TRACE_VERSION};
    if (!name_file(path)) {
        snprintf(error, error_bytes, "not an absolute path, or a %% without p: %.100s",
                 path);
        return false;
    }
    process = getpid();
    header.process = (uint64_t)process;
    store_rlx(&error_a, 0);
    store_rlx(&end_a, sizeof header);
    file = move_up(make());
    int code = file < 0 || fstat(file, &opened) != 0
                   ? errno
                   : write_at((char *)&header, sizeof header, 0);
    if (code == 0)
        return true;
    if (file >= 0)
        close(file);
    file = -1;
    snprintf(error, error_bytes, "%.200s: %s", path_name, strerror(code));
    return false;
}

bool trace_file_is_ours(void)
{
    return file >= 0 && process == getpid();
}

/* Whether the descriptor is still the file that was opened. */
static bool is_same(void)
{
    struct stat now;
    return fstat(file, &now) == 0 && now.st_dev == opened.st_dev &&
           now.st_ino == opened.st_ino;
}

void trace_file_append(const void *data, size_t bytes)
{
    if (!trace_file_is_ours() || load_rlx(&error_a))
        return;
    uint64_t offset = add_rlx(&end_a, bytes);
    int code = is_same() ? write_at(data, bytes, offset) : EBADF;
    if (code)
        set_error(code);
}

const char *trace_file_finish(struct trace_header *header)
{
    memcpy(header->magic, TRACE_MAGIC, sizeof header->magic);
    header->version = TRACE_VERSION;
    header->bytes = load_rlx(&end_a);
    header->process = (uint64_t)process;
    header->check = trace_check(0, header, offsetof(struct trace_header, check));
    bool is_open = is_same();
    if (!is_open)
        set_error(EBADF);
    if (load_rlx(&error_a) == 0)
        set_error(write_at((char *)header, sizeof *header, 0));
    if (is_open && close(file) != 0)
        set_error(errno);
    file = -1;
    return load_rlx(&error_a) ? strerror(load_rlx(&error_a)) : NULL;
}

const char *trace_file_path(void)
{
    return path_name;
}
