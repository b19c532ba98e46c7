/* SPDX-License-Identifier: MIT */
/*
 * A spy on malloc where the system itself allocates: for run_spied.py, with
 * libmolehill-malloc preloaded.
 *
 * usage: spied plain             threads allocate, a spy comes and goes
 *        spied nested            callbacks attach and detach spies and make heaps
 *        spied tls [LIBRARY...]  libraries with TLS are opened before the spy comes
 *        spied early LIBRARY...  and after it
 *        spied exits             threads that allocate and free in destructors
 *        spied last [free]       threads that do so in their very last ones only; without
 *                                a spy
 */
#include <dlfcn.h>
#include <molehill/heapapi.h>
#include <molehill/spy.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, BLOCKS = 500, MOST_LIBRARIES = 200, EXITS = 10000, ROUNDS = 4 };

static atomic_uint failed;
static atomic_llong live, calls;
static _Thread_local bool is_inside;
static _Thread_local long long heard; /* by this thread */

#define CHECK(is_right, ...)                                       \
    ((is_right) ? (void)0                                          \
                : (void)(printf("FAILED: " __VA_ARGS__), puts(""), \
                         atomic_fetch_add(&failed, 1)))

static void enter(void)
{
    CHECK(!is_inside, "the spy hears what it does itself");
    is_inside = true;
    heard++;
    atomic_fetch_add(&calls, 1);
}

static void note_allocated(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    enter();
    atomic_fetch_add(&live, 1);
    is_inside = false;
}

static void note_freed(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    enter();
    atomic_fetch_sub(&live, 1);
    is_inside = false;
}

static const struct mh_spy counting = {
    .size = sizeof counting, .allocated = note_allocated, .freed = note_freed};

/* As the compiler may not leave out. */
static void use_malloc(size_t bytes)
{
    void *volatile block = malloc(bytes);
    CHECK(block != NULL, "no memory");
    free(block);
}

static void attach(const struct mh_spy *spy)
{
    CHECK(mh_spy_attach(spy, MH_SPY_MALLOC) == 0, "mh_spy_attach failed");
}

static void detach(const struct mh_spy *spy)
{
    CHECK(mh_spy_detach(spy) == 0, "mh_spy_detach failed");
    long long before = atomic_load(&calls);
    use_malloc(100);
    CHECK(atomic_load(&calls) == before, "the spy is called after mh_spy_detach");
}

static void run_threads(void *(*body)(void *), pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, body, NULL) == 0, "pthread_create");
}

static void join_threads(const pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* What this thread does to malloc, it hears. */
static void allocate(void)
{
    long long before = heard;
    for (size_t i = 0; i < BLOCKS; i++)
        use_malloc(i * 7 % 3000 + 1);
    CHECK(heard >= before + 2 * BLOCKS, "%lld calls, not %d", heard - before, 2 * BLOCKS);
}

static void *allocate_in_thread(void *unused)
{
    allocate();
    return unused;
}

static void plain(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < 50; i++) {
        attach(&counting);
        run_threads(allocate_in_thread, threads);
        join_threads(threads);
        detach(&counting);
    }
}

/* --- callbacks that attach, detach and make heaps -- */

static const struct mh_spy idle = {.size = sizeof idle};
static const struct mh_spy other = {.size = sizeof other};
static _Thread_local bool is_attaching;
static atomic_uint nested_calls;

static void nest(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    if (!is_attaching)
        return;
    CHECK(mh_spy_attach(&other, MH_SPY_ALL) == 0, "attaching in a callback");
    CHECK(mh_spy_detach(&other) == MH_PENDING, "detaching in a callback");
    HANDLE made = HeapCreate(0, 0, 0);
    CHECK(made && HeapDestroy(made), "a heap made in a callback");
    atomic_fetch_add(&nested_calls, 1);
}

static const struct mh_spy nesting = {.size = sizeof nesting, .allocated = nest};

/* What a thread does first makes the system allocate: its place in liburcu. */
static void *attach_first(void *unused)
{
    for (int i = 0; i < 10; i++) {
        is_attaching = true;
        attach(&idle);
        is_attaching = false;
        CHECK(mh_spy_detach(&idle) == 0, "mh_spy_detach failed");
    }
    return unused;
}

static void nested(void)
{
    attach(&nesting);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, attach_first, NULL);
        pthread_join(thread, NULL);
    }
    CHECK(atomic_load(&nested_calls) >= 10, "exercised too little: %u callbacks",
          atomic_load(&nested_calls));
    detach(&nesting);
}

/* --- many libraries with TLS -- */

static char *(*touch[MOST_LIBRARIES])(void);
static size_t library_count;
static sem_t is_ready;

static void *touch_all(void *unused)
{
    sem_wait(&is_ready);
    allocate();
    for (size_t i = 0; i < library_count; i++) {
        CHECK(touch[i]()[0] == 1, "a thread's TLS is another's");
        if (i % 16 == 0)
            allocate();
    }
    allocate();
    return unused;
}

static void open_libraries(char **names)
{
    for (; *names && library_count < MOST_LIBRARIES; names++) {
        void *library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
        void *found = library ? dlsym(library, "touch_tls") : NULL;
        CHECK(found, "%s cannot be opened", *names);
        if (found)
            touch[library_count++] = (char *(*)(void))(uintptr_t)found;
    }
    printf("%zu libraries\n", library_count);
}

static void many_tls(char **names, bool is_early)
{
    pthread_t old[THREADS], new[THREADS];
    sem_init(&is_ready, 0, 0);
    run_threads(touch_all, old);
    if (is_early)
        attach(&counting);
    open_libraries(names);
    if (!is_early)
        attach(&counting);
    run_threads(touch_all, new);
    for (int i = 0; i < 2 * THREADS; i++)
        sem_post(&is_ready);
    join_threads(old);
    join_threads(new);
    detach(&counting);
}

/* --- the last destructors -- */

static pthread_key_t keys[2]; /* made before liburcu's and after it */
static _Thread_local int kind, rounds[2];
static _Thread_local void *held[2];
static atomic_uint last_rounds;

static bool uses_malloc(size_t which, int round)
{
    return kind == 0 || (kind == 1 && round == ROUNDS) || (kind == 2 && round == 1) ||
           (kind == 4 && which == 1 && round == ROUNDS);
}

static void destroy(size_t which)
{
    int round = ++rounds[which];
    if (uses_malloc(which, round)) {
        free(held[which]);
        held[which] = round < ROUNDS ? malloc(100) : NULL;
        use_malloc(200);
    }
    if (kind == 3 && round == ROUNDS)
        free(held[which]);
    if (kind == 2 && round > 1) {
        free(held[which]);
        held[which] = NULL;
    }
    if (round < ROUNDS)
        pthread_setspecific(keys[which], &keys[which]);
    else
        atomic_fetch_add(&last_rounds, 1);
}

static void destroy_place(void *place)
{
    destroy((size_t)((pthread_key_t *)place - keys));
}

static void *end_thread(void *its_kind)
{
    kind = (int)(uintptr_t)its_kind;
    if (kind == 3) {
        held[0] = malloc(100);
        held[1] = malloc(3000);
    }
    pthread_setspecific(keys[0], &keys[0]);
    pthread_setspecific(keys[1], &keys[1]);
    return NULL;
}

static size_t resident(void)
{
    unsigned long all = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK(file && fscanf(file, "%lu %lu", &all, &pages) == 2, "/proc/self/statm");
    if (file)
        fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void end_threads(size_t count, bool is_last)
{
    static const uintptr_t kinds[2][3] = {{0, 2, 3}, {1, 4, 4}};
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        void *its_kind = (void *)kinds[is_last][i % 3];
        CHECK(pthread_create(&thread, NULL, end_thread, its_kind) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
}

static void exits(bool is_last, bool is_spied)
{
    pthread_key_create(&keys[0], destroy_place);
    if (is_spied)
        attach(&counting);
    pthread_key_create(&keys[1], destroy_place);
    end_threads(EXITS / 5, is_last);
    long long live_before = atomic_load(&live);
    size_t before = resident();
    end_threads(EXITS, is_last);
    size_t after = resident();
    printf("%zu KiB more\n", after > before ? (after - before) / 1024 : 0);
    CHECK(atomic_load(&last_rounds) == 2 * (EXITS + EXITS / 5),
          "destructors are missing");
    CHECK(atomic_load(&live) == live_before, "%lld blocks more are live",
          atomic_load(&live) - live_before);
    CHECK(is_last || after < before + EXITS * 40, "10000 threads left %zu bytes",
          after - before);
    if (is_spied)
        detach(&counting);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    static char line[1000]; /* stdout's own would be told of */
    setvbuf(stdout, line, _IOLBF, sizeof line);
    alarm(250);
    if (strcmp(what, "plain") == 0)
        plain();
    else if (strcmp(what, "nested") == 0)
        nested();
    else if (strcmp(what, "tls") == 0 || strcmp(what, "early") == 0)
        many_tls(argv + 2, what[0] == 'e');
    else if (strcmp(what, "exits") == 0 || strcmp(what, "last") == 0)
        exits(what[0] == 'l', argc == 2);
    else
        return 2;
    printf("%lld calls\n", atomic_load(&calls));
    puts(atomic_load(&failed) ? "bad" : "good");
    return atomic_load(&failed) ? 1 : 0;
}
