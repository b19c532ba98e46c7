/* SPDX-License-Identifier: MIT */
/*
 * Allocate until there is no more, from heaps and from malloc, by several threads at
 * once: what cannot be had is NULL and ENOMEM, what was had is intact, and once it is
 * given back there is memory again. Started where memory is limited; linked with
 * libmolehill, its malloc preloaded.
 *
 * usage: exhaust BYTES     blocks of that size; 0: heaps
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

enum { THREADS = 4, MOST_BLOCKS = 1 << 18, LEAST_BLOCKS = 100 };

/* How to allocate: from `heap`, or NULL: from malloc. */
struct source {
    HANDLE heap;
    size_t bytes;
};

/* A block's first word is its size and its last word the block's address. */
struct taker {
    struct source source;
    char **blocks;
    size_t count;
};

static atomic_uint failed;

static void check(bool is_right, const char *what, size_t bytes)
{
    if (is_right)
        return;
    if (atomic_fetch_add(&failed, 1) < 20)
        printf("FAILED: %s, blocks of %zu bytes\n", what, bytes);
}

static char *allocate(const struct source *source)
{
    errno = 0;
    char *block =
        source->heap ? HeapAlloc(source->heap, 0, source->bytes) : malloc(source->bytes);
    check(errno == (block ? 0 : ENOMEM), "errno", source->bytes);
    return block;
}

static void release(const struct source *source, char *block)
{
    if (source->heap)
        check(HeapFree(source->heap, 0, block), "HeapFree refused a block",
              source->bytes);
    else
        free(block);
}

static char *last_word(const struct source *source, char *block)
{
    return block + source->bytes - sizeof(void *);
}

static void take_all(struct taker *taker)
{
    const struct source *source = &taker->source;
    taker->count = 0;
    while (taker->count < MOST_BLOCKS) {
        char *block = allocate(source);
        if (!block)
            return;
        memcpy(block, &source->bytes, sizeof source->bytes);
        memcpy(last_word(source, block), &block, sizeof(void *));
        taker->blocks[taker->count++] = block;
    }
}

/* What is asked for while nothing is left: each answer is NULL or works. */
static void ask_for_more(const struct taker *taker)
{
    const struct source *source = &taker->source;
    for (size_t bytes = 1; bytes < (size_t)1 << 32; bytes *= 3) {
        struct source other = {.heap = source->heap, .bytes = bytes};
        char *block = allocate(&other);
        if (block)
            release(&other, block);
    }
    if (!taker->count)
        return;
    char *block = taker->blocks[0];
    errno = 0;
    char *grown = source->heap ? HeapReAlloc(source->heap, 0, block, (size_t)1 << 32)
                               : realloc(block, (size_t)1 << 32);
    check(!grown && errno == ENOMEM, "4 GiB were there, or no ENOMEM", source->bytes);
}

static void give_all(struct taker *taker)
{
    const struct source *source = &taker->source;
    for (size_t i = 0; i < taker->count; i++) {
        char *block = taker->blocks[i];
        size_t bytes;
        char *address;
        memcpy(&bytes, block, sizeof bytes);
        memcpy(&address, last_word(source, block), sizeof address);
        check(bytes == source->bytes && address == block, "a block was disturbed",
              source->bytes);
        release(source, block);
    }
}

static void *take(void *argument)
{
    struct taker *taker = argument;
    take_all(taker);
    ask_for_more(taker);
    return NULL;
}

static void *give(void *argument)
{
    give_all(argument);
    return NULL;
}

static size_t run_all(struct taker *takers, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    size_t count = 0;
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, body, &takers[i]) != 0) {
            puts("FAILED: no thread");
            exit(1);
        }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        count += takers[i].count;
    }
    return count;
}

static void exhaust(HANDLE heap, size_t bytes)
{
    static char *blocks[THREADS][MOST_BLOCKS];
    struct taker takers[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        takers[i] =
            (struct taker){.source = {.heap = heap, .bytes = bytes}, .blocks = blocks[i]};
    size_t first = run_all(takers, take);
    check(first >= LEAST_BLOCKS && first < (size_t)THREADS * MOST_BLOCKS,
          "memory was not used up", bytes);
    (void)run_all(takers, give);
    size_t second = run_all(takers, take);
    check(second >= first / 2, "much less memory the second time", bytes);
    (void)run_all(takers, give);
    fprintf(stderr, "%s, %zu bytes: %zu blocks, then %zu\n", heap ? "heap" : "malloc",
            bytes, first, second);
}

/* Heaps until there are no more. */
static void exhaust_heaps(void)
{
    static HANDLE heaps[1 << 16];
    size_t count = 0;
    while (count < 1 << 16) {
        errno = 0;
        heaps[count] = HeapCreate(0, 0, 0);
        if (!heaps[count])
            break;
        count++;
    }
    check(count > LEAST_BLOCKS && (count == 1 << 16 || errno == ENOMEM), "heaps", 0);
    for (size_t i = 0; i < count; i++)
        check(HeapDestroy(heaps[i]), "HeapDestroy", 0);
    fprintf(stderr, "%zu heaps\n", count);
}

int main(int argc, char **argv)
{
    size_t bytes = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (bytes < sizeof(struct source)) {
        exhaust_heaps();
    } else {
        HANDLE heap = HeapCreate(0, 0, 0);
        check(heap != NULL, "HeapCreate", bytes);
        if (heap)
            exhaust(heap, bytes);
        check(heap && HeapDestroy(heap), "HeapDestroy", bytes);
        exhaust(NULL, bytes);
    }
    puts(atomic_load(&failed) ? "bad" : "good");
    return atomic_load(&failed) ? 1 : 0;
}
