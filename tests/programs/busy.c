/* SPDX-License-Identifier: MIT */
/*
 * A program for run_control.py: THREADS threads allocate and free until the end, and the
 * main thread does what lines on stdin say, one line of answer each.
 *
 * usage: busy THREADS
 *
 *   fork    a child that allocates and exits; its status
 *   stay    a child that stays until it is killed; its id
 *   raw     the same, made without any of the hooks of fork
 *   close   close all files but stdin, stdout and stderr, and listen at ./own by the
 *           numbers that are free now
 *   accept  tell a peer there that we are here
 *   work    how often the threads have allocated
 *   end     exit
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 256 };

static _Atomic(unsigned long) count;
static int own_listener;

static void *work(void *unused)
{
    static _Thread_local void *held[HELD];
    (void)unused;
    for (size_t i = 0;; i++) {
        size_t at = i * 7919 % HELD;
        free(held[at]);
        held[at] = malloc(i * 31 % 3000 + 1);
        if (!held[at])
            abort();
        if (i % 64 == 0)
            held[at] = realloc(held[at], i * 17 % 5000 + 1);
        atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    }
    return NULL;
}

static void child(int is_to_stay, const int *pipe_ends)
{
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    for (size_t i = 0; i < 1000; i++)
        free(malloc(i));
    if (!is_to_stay)
        exit(7);
    for (;;)
        pause();
}

/* Its id; it is through with what fork does in it. */
static pid_t start_child(int is_to_stay)
{
    int pipe_ends[2];
    char byte;
    if (pipe(pipe_ends) != 0)
        abort();
    pid_t process = fork();
    if (process == 0)
        child(is_to_stay, pipe_ends);
    close(pipe_ends[1]);
    while (read(pipe_ends[0], &byte, 1) > 0) {
    }
    close(pipe_ends[0]);
    return process;
}

static pid_t start_raw(void)
{
    pid_t process = (pid_t)syscall(SYS_fork);
    if (process != 0)
        return process;
    for (;;)
        pause();
}

/* 0: a program could have done so, too. */
static int close_and_listen(void)
{
    const struct sockaddr_un place = {.sun_family = AF_UNIX, .sun_path = "own"};
    if (close_range(3, ~0U, 0) != 0)
        return 1;
    own_listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(own_listener, (const void *)&place, sizeof place) != 0 ||
        listen(own_listener, 5) != 0)
        return 1;
    while (dup(own_listener) < 20) {
    }
    return 0;
}

static int accept_one(void)
{
    int peer = accept(own_listener, NULL, NULL);
    int is_told = write(peer, "mine\n", 5) == 5;
    close(peer);
    return !is_told;
}

static void obey(const char *line)
{
    int status = 0;
    pid_t process = -1;
    fflush(stdout);
    if (strcmp(line, "fork\n") == 0 || strcmp(line, "stay\n") == 0)
        process = start_child(line[0] == 's');
    if (strcmp(line, "fork\n") == 0 && waitpid(process, &status, 0) == process)
        printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    else if (strcmp(line, "stay\n") == 0)
        printf("%ld\n", (long)process);
    else if (strcmp(line, "raw\n") == 0)
        printf("%ld\n", (long)start_raw());
    else if (strcmp(line, "close\n") == 0)
        printf("%d\n", close_and_listen());
    else if (strcmp(line, "accept\n") == 0)
        printf("%d\n", accept_one());
    else if (strcmp(line, "work\n") == 0)
        printf("%lu\n", atomic_load(&count));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[64];
    int threads = argc == 2 ? atoi(argv[1]) : 0;
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) != 0)
            return 2;
        pthread_detach(thread);
    }
    puts("up");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n") != 0)
        obey(line);
    return 0;
}
