/* SPDX-License-Identifier: MIT */
/*
 * kv — an example server: keys and values in memory, spoken to in the redis protocol.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

struct options {
    uint16_t port;
    size_t threads;
};

static const char usage[] =
    "usage: %s [--port N] [--threads N]\n"
    "Serve keys and values on the loopback interface, in the redis protocol.\n"
    "  --port N      listen here; 0 is any free port (default 7379)\n"
    "  --threads N   worker threads, 1 to %d (default: one a core)\n";

/* The cores this process may run on. */
static size_t core_count(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return 1;
    size_t count = (size_t)CPU_COUNT(&cores);
    return count < KV_MOST_WORKERS ? count : KV_MOST_WORKERS;
}

/* The option's value; exits when it is no number in the range. */
static long number_of(const char *name, long least, long most)
{
    char *end;
    errno = 0;
    long number = strtol(optarg, &end, 10);
    if (errno == 0 && end != optarg && *end == '\0' && number >= least && number <= most)
        return number;
    fprintf(stderr, "kv: --%s: expected a number from %ld to %ld, not '%s'\n", name,
            least, most, optarg);
    exit(EXIT_FAILURE);
}

/* Exits for --help and for what it does not understand. */
static struct options parse_options(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.port = 7379, .threads = core_count()};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'p') {
            options.port = (uint16_t)number_of("port", 0, UINT16_MAX);
        } else if (option == 't') {
            options.threads = (size_t)number_of("threads", 1, KV_MOST_WORKERS);
        } else {
            fprintf(option == 'h' ? stdout : stderr, usage, argv[0], KV_MOST_WORKERS);
            exit(option == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
        }
    }
    if (optind < argc) {
        fprintf(stderr, usage, argv[0], KV_MOST_WORKERS);
        exit(EXIT_FAILURE);
    }
    return options;
}

/* Serve until SIGTERM or SIGINT, which the SHUTDOWN command sends as well. */
static int serve(struct kv_table *table, const struct options *options)
{
    /* Blocked before there are threads, which inherit it: only sigwait takes these. */
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stops, NULL);

    static struct kv_server server;
    if (!kv_server_start(&server, table, options->port, options->threads)) {
        fprintf(stderr, "kv: cannot serve on port %u: %s\n", (unsigned)options->port,
                strerror(errno));
        return EXIT_FAILURE;
    }
    printf("kv on %s: 127.0.0.1:%u, %zu threads\n", kv_heap_kind, (unsigned)server.port,
           server.worker_count);
    fflush(stdout);

    int signal_number;
    sigwait(&stops, &signal_number);
    kv_server_stop(&server);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct kv_heap *heap = kv_heap_create_shared();
    if (!heap) {
        fprintf(stderr, "kv: out of memory\n");
        return EXIT_FAILURE;
    }
    static struct kv_table table;
    kv_table_init(&table, heap);
    int status = serve(&table, &options);
    kv_table_finish(&table);
    kv_heap_destroy(heap);
    return status;
}
