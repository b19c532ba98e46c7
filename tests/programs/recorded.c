/* SPDX-License-Identifier: MIT */
/*
 * A program for run_record.py: threads that allocate, resize and free, also each other's
 * blocks, from malloc and from heaps, with sizes that nobody else asks for. It says what
 * it did: "name number" a line.
 */
#include <molehill/heapapi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    THREADS = 3,
    ROUNDS = 4000,
    SHELVES = 32,
    MALLOC_BYTES = 4001,  /* what is asked of malloc */
    RESIZED_BYTES = 9001, /* and of realloc */
    HEAP_BYTES = 4003,
    KEPT_BYTES = 4007, /* in heaps, and left for HeapDestroy */
    COMMON_BYTES = 4009,
};

static HANDLE common; /* a heap that all use */
static _Atomic(void *) shelves[SHELVES];
static _Atomic(void *) common_shelves[SHELVES];
static atomic_size_t frees, resizes;

static void put_away(void *block)
{
    if (!block)
        return;
    free(block);
    atomic_fetch_add(&frees, 1);
}

static void round_of(unsigned number)
{
    char *block = malloc(MALLOC_BYTES);
    if (!block)
        abort();
    block[0] = 1;
    if (number % 4 == 0) {
        block = realloc(block, RESIZED_BYTES);
        if (!block)
            abort();
        block[RESIZED_BYTES - 1] = 1;
        atomic_fetch_add(&resizes, 1);
    }
    put_away(atomic_exchange(&shelves[number % SHELVES], block));
    void *other = HeapAlloc(common, 0, COMMON_BYTES);
    other = atomic_exchange(&common_shelves[number % SHELVES], other);
    if (other && !HeapFree(common, 0, other))
        abort();
}

static void *work(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        round_of(i);
        if (i % 100 != 0)
            continue;
        HANDLE heap = HeapCreate(0, 0, 0);
        if (!heap || !HeapAlloc(heap, 0, KEPT_BYTES) ||
            !HeapFree(heap, 0, HeapAlloc(heap, 0, HEAP_BYTES)) || !HeapDestroy(heap))
            abort();
    }
    return NULL;
}

/* A child that allocates a lot, and ends as told; the trace is not its own. */
static void fork_child(const char *how)
{
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < 50000; i++)
            free(malloc(i % 1000 + 10000));
        if (strcmp(how, "_exit") == 0)
            _exit(0);
        exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        abort();
}

int main(int count, char **words)
{
    pthread_t threads[THREADS];
    common = HeapCreate(0, 0, 0);
    for (size_t turn = 0; turn < 2; turn++) { /* the second turn's threads are new */
        for (size_t i = 0; i < THREADS; i++)
            if (pthread_create(&threads[i], NULL, work, NULL) != 0)
                abort();
        if (turn == 0 && count > 1 && strcmp(words[1], "wait") != 0)
            fork_child(words[1]);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < SHELVES; i++)
        put_away(atomic_exchange(&shelves[i], NULL));
    printf("malloc %d\nresizes %zu\nfrees %zu\nheaps %d\n", 2 * THREADS * ROUNDS,
           atomic_load(&resizes), atomic_load(&frees), 2 * THREADS * ROUNDS / 100 + 1);
    fflush(stdout);
    if (count > 1 && strcmp(words[1], "wait") == 0)
        pause();
    return 0;
}
