/* SPDX-License-Identifier: MIT */
/*
 * Phases of one program that differ in size: each uses more than half of what there is
 * and gives all of it back. Started where address space is limited; linked with
 * libmolehill, its malloc preloaded.
 *
 * usage: phases malloc|heap THREADS
 */
#include <errno.h>
#include <molehill/heapapi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 2 };
#define MIB ((size_t)1 << 20)

/*
 * Blocks of `bytes` each, `all` of them together. A thread keeps the slab it allocated
 * from last of each size, wherever that is: three sizes leave a quarter of the region in
 * one piece at least, the first, which is used from its low end, much more. Two threads
 * get blocks of MOST_OF_TWO at most.
 */
static const struct phase {
    size_t bytes, all;
} phases[] = {
    {200, 300 * MIB},     {MIB, 300 * MIB},       {200 * MIB, 200 * MIB},
    {200, 300 * MIB},     {1000, 300 * MIB},      {20000, 300 * MIB},
    {3 * MIB, 300 * MIB}, {64 * 1024, 300 * MIB}, {100 * MIB, 100 * MIB},
    {200, 300 * MIB},
};
#define MOST_OF_TWO (40 * MIB)

static HANDLE heap; /* NULL: malloc */
static size_t threads;
static pthread_barrier_t turn;
static atomic_uint failed;

static void *allocate(size_t bytes)
{
    return heap ? HeapAlloc(heap, 0, bytes) : malloc(bytes);
}

static void release(void *block)
{
    if (!heap)
        free(block);
    else if (!HeapFree(heap, 0, block))
        atomic_fetch_add(&failed, 1);
}

/* A block's first word is the block before, its last one its own address. */
struct block {
    struct block *before;
};

static char *last_word(struct block *block, size_t bytes)
{
    return (char *)block + bytes - sizeof(void *);
}

static void *run_part(void *argument)
{
    size_t number = (uintptr_t)argument;
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        size_t all = phases[i].all / phases[i].bytes, count = 0;
        size_t wanted = (all + threads - 1 - number) / threads;
        size_t bytes = phases[i].bytes;
        if (threads > 1 && bytes > MOST_OF_TWO)
            bytes = MOST_OF_TWO;
        struct block *list = NULL;
        pthread_barrier_wait(&turn);
        for (struct block *block; count < wanted && (block = allocate(bytes)); count++) {
            block->before = list;
            memcpy(last_word(block, bytes), &block, sizeof(void *));
            list = block;
        }
        if (count < wanted) {
            printf("FAILED: phase %zu, thread %zu: %zu of %zu blocks of %zu bytes\n", i,
                   number, count, wanted, bytes);
            atomic_fetch_add(&failed, 1);
        }
        pthread_barrier_wait(&turn);
        for (struct block *before; list; list = before) {
            before = list->before;
            if (memcmp(last_word(list, bytes), &list, sizeof(void *)) != 0)
                atomic_fetch_add(&failed, 1);
            release(list);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t running[MOST_THREADS];
    threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (threads < 1 || threads > MOST_THREADS)
        return 2;
    if (strcmp(argv[1], "heap") == 0 && !(heap = HeapCreate(0, 0, 0)))
        return 2;
    pthread_barrier_init(&turn, NULL, (unsigned)threads);
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&running[i], NULL, run_part, (void *)i) != 0)
            return 2;
    for (size_t i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    if (heap && !HeapDestroy(heap))
        atomic_fetch_add(&failed, 1);
    puts(atomic_load(&failed) ? "bad" : "good");
    return atomic_load(&failed) ? 1 : 0;
}
