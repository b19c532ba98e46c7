/* SPDX-License-Identifier: MIT */
/*
 * What a process sees of the libraries it was started with, for run_loading.py.
 *
 * usage: loading core              one core serves malloc and the heap functions
 *        loading where             print where the libraries were found
 *        loading tls LIBRARY...    open libraries with TLS, use malloc in threads old and
 *                                  new
 *        loading fork              fork beside allocating threads; children exec this
 *                                  program
 *        loading child             allocate a little
 */
#include <dlfcn.h>
#include <molehill/heapapi.h>
#include <molehill/molehill.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, HELD = 64, FORKS = 40, MOST_LIBRARIES = 200 };

static atomic_bool is_over;
static atomic_uint failed;

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    atomic_fetch_add(&failed, 1);
}

/* Allocate, resize and free; every block is filled and looked at before it goes. */
static void use_malloc(size_t times)
{
    unsigned char *held[HELD] = {NULL};
    size_t sizes[HELD] = {0};
    for (size_t i = 0; i < times; i++) {
        size_t at = i * 7919 % HELD;
        if (held[at])
            check(held[at][0] == at && held[at][sizes[at] - 1] == at, "a block changed");
        free(held[at]);
        sizes[at] = i * 31 % 5000 + 1;
        held[at] = i % 5 ? malloc(sizes[at]) : calloc(1, sizes[at]);
        if (!held[at]) {
            check(false, "no memory");
            break;
        }
        memset(held[at], (int)at, sizes[at]);
    }
    for (size_t at = 0; at < HELD; at++)
        free(held[at]);
}

static void *use_once(void *argument)
{
    use_malloc(3000);
    return argument;
}

static void *use_until_over(void *argument)
{
    do
        use_malloc(300);
    while (!atomic_load(&is_over));
    return argument;
}

static void run_fresh_threads(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        check(pthread_create(&threads[i], NULL, use_once, NULL) == 0, "no thread");
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void print_libraries(void)
{
    char line[4096];
    char last[4096] = "";
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        if (!path || !strstr(path, "/libmolehill") || !strcmp(path, last))
            continue;
        fputs(path, stdout);
        memcpy(last, path, strlen(path) + 1);
    }
    if (maps)
        fclose(maps);
}

static struct mh_stats stats(void)
{
    struct mh_stats now = {.size = sizeof now};
    check(mh_stats_get(&now) == 0, "mh_stats_get");
    return now;
}

/*
 * A block of malloc's, freed by the preloaded library, is counted by the core this links.
 */
static void see_one_core(void)
{
    HANDLE listed[8];
    check(GetProcessHeaps(8, listed) == 1 && listed[0] == GetProcessHeap(),
          "there is not one process heap");
    struct mh_stats before = stats();
    for (size_t i = 0; i < 1000; i++) {
        void *volatile block = malloc(i + 1);
        free(block);
    }
    struct mh_stats after = stats();
    check(after.malloc_frees >= before.malloc_frees + 1000,
          "malloc's frees are not counted by the core");
    void *block = HeapAlloc(GetProcessHeap(), 0, 100);
    void *volatile other = malloc(100);
    check(block && HeapSize(GetProcessHeap(), 0, block) == 100, "HeapAlloc");
    check(!HeapFree(GetProcessHeap(), 0, other), "HeapFree took a block of malloc's");
    check(HeapFree(GetProcessHeap(), 0, block), "HeapFree");
    free(other);
    check(stats().foreign_frees == before.foreign_frees,
          "the two do not know each other");
    check(after.heaps == 1 && after.heaps_created == 1, "more heaps than one");
}

typedef void *touch(void);

static touch *touches[MOST_LIBRARIES];
static size_t touch_count;
static atomic_bool are_open;

/* A thread's first access to a library's TLS allocates, in this very malloc. */
static void *touch_all(void *argument)
{
    while (!atomic_load(&are_open))
        usleep(1000);
    use_malloc(500);
    for (size_t i = 0; i < touch_count; i++) {
        check(touches[i]() != NULL, "TLS of a library");
        use_malloc(20);
    }
    return argument;
}

static void open_libraries(char **paths)
{
    for (; *paths && touch_count < MOST_LIBRARIES; paths++) {
        void *library = dlopen(*paths, RTLD_NOW | RTLD_LOCAL);
        void *symbol = library ? dlsym(library, "touch_tls") : NULL;
        if (!symbol) {
            printf("FAILED: %s\n", dlerror());
            exit(1);
        }
        touches[touch_count++] = (touch *)(uintptr_t)symbol;
    }
}

static void use_tls(char **paths)
{
    pthread_t old[THREADS];
    pthread_t fresh[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        check(pthread_create(&old[i], NULL, touch_all, NULL) == 0, "no thread");
    open_libraries(paths);
    atomic_store(&are_open, true);
    touch_all(NULL);
    for (size_t i = 0; i < THREADS; i++)
        check(pthread_create(&fresh[i], NULL, touch_all, NULL) == 0, "no thread");
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(old[i], NULL);
        pthread_join(fresh[i], NULL);
    }
    printf("%zu libraries\n", touch_count);
}

/* What a child does, and how it ends: by exec, or at once. */
static void live_as_child(char *program, size_t number)
{
    atomic_store(&is_over, true);
    atomic_store(&failed, 0);
    use_malloc(2000);
    if (number % 2)
        run_fresh_threads();
    if (number % 4 < 2)
        execl(program, program, "child", (char *)NULL);
    _exit(atomic_load(&failed) || number % 4 < 2 ? 1 : 0);
}

static void fork_beside_threads(char *program)
{
    pthread_t threads[THREADS];
    fflush(stdout);
    for (size_t i = 0; i < THREADS; i++)
        check(pthread_create(&threads[i], NULL, use_until_over, NULL) == 0, "no thread");
    for (size_t i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0)
            live_as_child(program, i);
        int status = 1;
        check(child > 0 && waitpid(child, &status, 0) == child && status == 0,
              "a child failed");
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "core"))
        see_one_core();
    else if (!strcmp(what, "where"))
        print_libraries();
    else if (!strcmp(what, "tls"))
        use_tls(argv + 2);
    else if (!strcmp(what, "fork"))
        fork_beside_threads(argv[0]);
    else if (!strcmp(what, "child"))
        use_malloc(1000);
    else
        return 2;
    if (atomic_load(&failed))
        return 1;
    if (strcmp(what, "child") != 0)
        puts("good");
    return 0;
}
