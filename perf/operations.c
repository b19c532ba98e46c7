/* SPDX-License-Identifier: MIT */
/*
 * A loop for each operation whose instructions tools/instructions.py counts under
 * callgrind, which writes down what it counted at each call of perf_mark; nothing is
 * timed.
 *
 *   operations           runs them all, each REPEATS times: WARM operations, mark, FEW,
 *                        mark, MANY, mark. Prints what it was built by, then a line for
 *                        each operation: the loop around its calls (`-` for none), and
 *                        its name
 *   operations counts    prints FEW, MANY and REPEATS
 *
 * The difference between FEW and MANY is without what the loop, its setting up and a
 * thread that is started cost once.
 */
#include <gnu/libc-version.h>
#include <malloc.h>
#include <molehill/heapapi.h>
#include <molehill/objbase.h>
#include <molehill/spy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"

enum { OUT = 64, WARM = 4 * OUT, FEW = 4 * OUT, MANY = 20 * OUT, REPEATS = 5 };
enum { REQUEST_BLOCKS = 10, FIXED_BYTES = 16 << 20 };

struct operation {
    const char *name;
    void (*run)(const struct operation *operation, size_t count);
    const char *loop; /* "loop " and this names what it takes without the calls */
    HANDLE *heap;
    size_t bytes;
    size_t to_bytes; /* of a resize */
    DWORD flags;
    struct mh_spy
        *spy; /* attached meanwhile: to the heap; where there is none, to malloc */
};

static HANDLE serialized, unserialized, process, fixed;
static void *blocks[MANY];

/* Not inlined, and known by its name to callgrind. */
static __attribute__((noinline)) void perf_mark(void)
{
    __asm__ volatile("" ::: "memory");
}

/*
 * Time stands still, in the libraries too: nothing is given back to the system because a
 * machine is slow.
 */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    *time = (struct timespec){.tv_sec = 1000};
    return 0;
}

static void check(const char *what, bool is_so)
{
    if (is_so)
        return;
    fprintf(stderr, "operations: %s failed\n", what);
    exit(1);
}

/*
 * --- loops ---------------------------------------------------------------------------
 * `bytes` and `heap` are in registers, as the compiler would have them in a client.
 */

#define DEFINE_PAIRS(KIND, ALLOC, FREE)                                         \
    static void KIND##_at_once(const struct operation *operation, size_t count) \
    {                                                                           \
        HANDLE heap = operation->heap ? *operation->heap : NULL;                \
        size_t bytes = operation->bytes;                                        \
        DWORD flags = operation->flags;                                         \
        (void)heap, (void)flags;                                                \
        for (size_t i = 0; i < count; i++) {                                    \
            void *block = ALLOC;                                                \
            perf_touch(block);                                                  \
            FREE;                                                               \
        }                                                                       \
    }                                                                           \
                                                                                \
    static void KIND##_batches(const struct operation *operation, size_t count) \
    {                                                                           \
        HANDLE heap = operation->heap ? *operation->heap : NULL;                \
        size_t bytes = operation->bytes;                                        \
        DWORD flags = operation->flags;                                         \
        (void)heap, (void)flags;                                                \
        for (size_t done = 0; done < count; done += OUT) {                      \
            for (size_t i = 0; i < OUT; i++) {                                  \
                void *block = ALLOC;                                            \
                perf_touch(block);                                              \
                blocks[i] = block;                                              \
            }                                                                   \
            for (size_t i = 0; i < OUT; i++) {                                  \
                void *block = blocks[i];                                        \
                FREE;                                                           \
            }                                                                   \
        }                                                                       \
    }

static inline void *empty_alloc(size_t bytes)
{
    static char nowhere[64];
    void *block = nowhere;
    __asm__ volatile("" : "+r"(block) : "r"(bytes) : "memory");
    return block;
}

static inline void empty_free(void *block)
{
    __asm__ volatile("" : : "r"(block) : "memory");
}

DEFINE_PAIRS(empty, empty_alloc(bytes), empty_free(block))
DEFINE_PAIRS(malloc, malloc(bytes), free(block))
DEFINE_PAIRS(calloc, calloc(1, bytes), free(block))
DEFINE_PAIRS(heap, HeapAlloc(heap, flags, bytes), HeapFree(heap, 0, block))
DEFINE_PAIRS(task, CoTaskMemAlloc(bytes), CoTaskMemFree(block))

/* From `bytes` to `to_bytes` and back. */
#define DEFINE_RESIZES(KIND, ALLOC, RESIZE, FREE)                               \
    static void KIND##_resizes(const struct operation *operation, size_t count) \
    {                                                                           \
        HANDLE heap = operation->heap ? *operation->heap : NULL;                \
        size_t from = operation->bytes, to = operation->to_bytes, bytes = from; \
        (void)heap;                                                             \
        void *block = ALLOC;                                                    \
        for (size_t i = 0; i < count; i++) {                                    \
            bytes = to;                                                         \
            block = RESIZE;                                                     \
            bytes = from;                                                       \
            block = RESIZE;                                                     \
        }                                                                       \
        FREE;                                                                   \
    }

static inline void *empty_resize(void *block, size_t bytes)
{
    __asm__ volatile("" : "+r"(block) : "r"(bytes) : "memory");
    return block;
}

DEFINE_RESIZES(empty, empty_alloc(bytes), empty_resize(block, bytes), empty_free(block))
DEFINE_RESIZES(malloc, malloc(bytes), realloc(block, bytes), free(block))
DEFINE_RESIZES(heap, HeapAlloc(heap, 0, bytes), HeapReAlloc(heap, 0, block, bytes),
               HeapFree(heap, 0, block))

/* What is asked of one block, again and again. */
#define DEFINE_QUESTION(KIND, ALLOC, ASK, FREE)                              \
    static void KIND##_asks(const struct operation *operation, size_t count) \
    {                                                                        \
        HANDLE heap = operation->heap ? *operation->heap : NULL;             \
        size_t bytes = operation->bytes;                                     \
        (void)heap;                                                          \
        void *block = ALLOC;                                                 \
        for (size_t i = 0; i < count; i++) {                                 \
            size_t answer = (size_t)ASK;                                     \
            __asm__ volatile("" : "+r"(block) : "r"(answer) : "memory");     \
        }                                                                    \
        FREE;                                                                \
    }

DEFINE_QUESTION(empty, empty_alloc(bytes), block, empty_free(block))
DEFINE_QUESTION(usable, malloc(bytes), malloc_usable_size(block), free(block))
DEFINE_QUESTION(size, HeapAlloc(heap, 0, bytes), HeapSize(heap, 0, block),
                HeapFree(heap, 0, block))
DEFINE_QUESTION(validate, HeapAlloc(heap, 0, bytes), HeapValidate(heap, 0, block),
                HeapFree(heap, 0, block))

/* A heap, its blocks, and all of it gone. */
static void request(const struct operation *operation, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        HANDLE heap = HeapCreate(operation->flags, 0, 0);
        for (size_t block = 0; block < REQUEST_BLOCKS; block++)
            perf_touch(HeapAlloc(heap, 0, operation->bytes + 24 * block));
        HeapDestroy(heap);
    }
}

/*
 * --- frees by another thread ---------------------------------------------------------
 * It runs while this one waits for its end, so that the count never depends on who waits.
 */

struct remote {
    const struct operation *operation;
    size_t count;
};

static void *free_all(void *argument)
{
    const struct remote *remote = argument;
    HANDLE *heap = remote->operation->heap;
    for (size_t i = 0; i < remote->count; i++)
        heap ? (void)HeapFree(*heap, 0, blocks[i]) : free(blocks[i]);
    return NULL;
}

static void remote(const struct operation *operation, size_t count)
{
    struct remote remote = {operation, count};
    HANDLE *heap = operation->heap;
    pthread_t thread;

    for (size_t i = 0; i < count; i++) {
        blocks[i] =
            heap ? HeapAlloc(*heap, 0, operation->bytes) : malloc(operation->bytes);
        perf_touch(blocks[i]);
    }
    check("pthread_create", pthread_create(&thread, NULL, free_all, &remote) == 0);
    pthread_join(thread, NULL);
}

/*
 * --- the operations ------------------------------------------------------------------
 */

static void hear(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
}

static struct mh_spy observer = {
    .size = sizeof observer, .allocated = hear, .freed = hear};
/* So rarely that none of the few blocks here is picked. */
static struct mh_spy sampler = {.size = sizeof sampler,
                                .sample_bytes = (size_t)1 << 46,
                                .allocated = hear,
                                .freed = hear};

#define LOOPS(NAME, RUN, ...)                           \
    {                                                   \
        .name = "loop " NAME, .run = RUN, ##__VA_ARGS__ \
    }
#define PAIR(NAME, KIND, BYTES, ...)                                        \
    {                                                                       \
        .name = NAME ", at once", .run = KIND##_at_once, .loop = "at once", \
        .bytes = BYTES, ##__VA_ARGS__                                       \
    }
#define BATCH(NAME, KIND, BYTES, ...)                                               \
    {                                                                               \
        .name = NAME ", 64 out and back", .run = KIND##_batches, .loop = "batches", \
        .bytes = BYTES, ##__VA_ARGS__                                               \
    }
#define RESIZE(NAME, KIND, FROM, TO, ...)                                      \
    {                                                                          \
        .name = NAME, .run = KIND##_resizes, .loop = "resizes", .bytes = FROM, \
        .to_bytes = TO, ##__VA_ARGS__                                          \
    }
#define ASK(NAME, KIND, BYTES, ...)                                                     \
    {                                                                                   \
        .name = NAME, .run = KIND##_asks, .loop = "asks", .bytes = BYTES, ##__VA_ARGS__ \
    }

/* What fits fixed-size heaps too, and the rest. */
#define UP_TO_30000(NAME, KIND, ...)                      \
    PAIR(NAME " 64 B", KIND, 64, ##__VA_ARGS__),          \
        BATCH(NAME " 64 B", KIND, 64, ##__VA_ARGS__),     \
        PAIR(NAME " 1000 B", KIND, 1000, ##__VA_ARGS__),  \
        BATCH(NAME " 1000 B", KIND, 1000, ##__VA_ARGS__), \
        PAIR(NAME " 8000 B", KIND, 8000, ##__VA_ARGS__),  \
        BATCH(NAME " 8000 B", KIND, 8000, ##__VA_ARGS__), \
        PAIR(NAME " 30000 B", KIND, 30000, ##__VA_ARGS__)
#define EACH_SIZE(NAME, KIND, ...)                           \
    UP_TO_30000(NAME, KIND, ##__VA_ARGS__),                  \
        PAIR(NAME " 100000 B", KIND, 100000, ##__VA_ARGS__), \
        PAIR(NAME " 1 MiB", KIND, 1 << 20, ##__VA_ARGS__)

static const struct operation operations[] = {
    LOOPS("at once", empty_at_once),
    LOOPS("batches", empty_batches),
    LOOPS("resizes", empty_resizes),
    LOOPS("asks", empty_asks),

    EACH_SIZE("malloc", malloc),
    EACH_SIZE("heap", heap, .heap = &serialized),
    EACH_SIZE("no-serialize heap", heap, .heap = &unserialized),
    EACH_SIZE("process heap", heap, .heap = &process),
    EACH_SIZE("CoTaskMem", task),
    UP_TO_30000("fixed heap", heap, .heap = &fixed),

    PAIR("calloc 64 B", calloc, 64),
    BATCH("calloc 64 B", calloc, 64),
    PAIR("calloc 1000 B", calloc, 1000),
    PAIR("heap zeroed 64 B", heap, 64, .heap = &serialized, .flags = HEAP_ZERO_MEMORY),
    PAIR("heap zeroed 1000 B", heap, 1000, .heap = &serialized,
         .flags = HEAP_ZERO_MEMORY),

    RESIZE("realloc 100 to 104 B and back", malloc, 100, 104),
    RESIZE("realloc 64 to 200 B and back", malloc, 64, 200),
    RESIZE("realloc 100000 to 100100 B and back", malloc, 100000, 100100),
    RESIZE("HeapReAlloc 100 to 104 B and back", heap, 100, 104, .heap = &serialized),
    RESIZE("HeapReAlloc 64 to 200 B and back", heap, 64, 200, .heap = &serialized),
    RESIZE("HeapReAlloc 100000 to 100100 B and back", heap, 100000, 100100,
           .heap = &serialized),

    ASK("malloc_usable_size 64 B", usable, 64),
    ASK("malloc_usable_size 100000 B", usable, 100000),
    ASK("HeapSize 64 B", size, 64, .heap = &serialized),
    ASK("HeapSize 100000 B", size, 100000, .heap = &serialized),
    ASK("HeapValidate 64 B", validate, 64, .heap = &serialized),
    ASK("HeapValidate 100000 B", validate, 100000, .heap = &serialized),

    {.name = "request, heap of 10 blocks", .run = request, .bytes = 16},
    {.name = "request, no-serialize heap of 10 blocks",
     .run = request,
     .bytes = 16,
     .flags = HEAP_NO_SERIALIZE},

    {.name = "malloc 64 B, freed by another thread", .run = remote, .bytes = 64},
    {.name = "heap 64 B, freed by another thread",
     .run = remote,
     .heap = &serialized,
     .bytes = 64},

    BATCH("heap 64 B, observed", heap, 64, .heap = &serialized, .spy = &observer),
    BATCH("heap 64 B, sampled", heap, 64, .heap = &serialized, .spy = &sampler),
    BATCH("malloc 64 B, observed", malloc, 64, .spy = &observer),
    BATCH("malloc 64 B, sampled", malloc, 64, .spy = &sampler),
};

static void count(const struct operation *operation)
{
    void *scope = operation->heap ? *operation->heap : MH_SPY_MALLOC;
    if (operation->spy)
        check("mh_spy_attach", mh_spy_attach(operation->spy, scope) == 0);
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        operation->run(operation, WARM);
        perf_mark();
        operation->run(operation, FEW);
        perf_mark();
        operation->run(operation, MANY);
        perf_mark();
    }
    if (operation->spy)
        check("mh_spy_detach", mh_spy_detach(operation->spy) == 0);
    printf("%s: %s\n", operation->loop ? operation->loop : "-", operation->name);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "counts") == 0) {
        printf("%d %d %d\n", FEW, MANY, REPEATS);
        return 0;
    }
    printf("compiler: %s, libc: %s\n", __VERSION__, gnu_get_libc_version());
    serialized = HeapCreate(0, 0, 0);
    unserialized = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
    fixed = HeapCreate(0, 0, FIXED_BYTES);
    process = GetProcessHeap();
    check("HeapCreate", serialized && unserialized && fixed);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        count(&operations[i]);
    return 0;
}
