/* SPDX-License-Identifier: MIT */
/*
 * What spies cost. tools/costs.py runs it; nothing is asserted.
 *
 *   spies pair SPY THREADS        HeapAlloc+HeapFree of 1 to 253 bytes, 64 out and back,
 *                                 on a heap a thread: ns a pair without a spy and with
 *                                 it, in turn, each the least of many short runs. SPY:
 *                                 none, observer (callbacks that do nothing), sample (the
 *                                 same one at 512 KiB), malloc (the first, on malloc)
 *   spies count SPY PAIRS         that many pairs, for counting instructions
 *   spies attach THREADS CYCLES   an observer comes and goes while the threads allocate:
 *                                 how long mh_spy_attach and mh_spy_detach take, in us
 *   spies pause THREADS CYCLES    the longest pause between two operations of any thread
 *                                 in windows of 2 ms, with an attach, a detach or neither
 *                                 at their beginning, in us
 */
#include <molehill/heapapi.h>
#include <molehill/spy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 64, MOST_THREADS = 64 };

static void hear(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    (void)heap;
    (void)block;
    (void)bytes;
}

static void hear_both(void *context, void *heap, void *old, size_t old_bytes, void *block,
                      size_t bytes)
{
    (void)old;
    (void)old_bytes;
    hear(context, heap, block, bytes);
}

static struct mh_spy spy = {
    .size = sizeof spy,
    .name = "no-op",
    .allocated = hear,
    .freed = hear,
    .reallocated = hear_both,
};

static _Noreturn void die(const char *why)
{
    fprintf(stderr, "spies: %s\n", why);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void batch_of_heap(HANDLE heap)
{
    void *blocks[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        blocks[i] = HeapAlloc(heap, 0, 1 + i * 4);
    for (size_t i = 0; i < BATCH; i++)
        HeapFree(heap, 0, blocks[i]);
}

static void batch_of_malloc(void)
{
    void *volatile blocks[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        blocks[i] = malloc(1 + i * 4);
    for (size_t i = 0; i < BATCH; i++)
        free(blocks[i]);
}

/*
 * --- pair ----------------------------------------------------------------------------
 */

enum { PAIR_ROUNDS = 60, PAIR_BATCHES = 3000 };

static pthread_barrier_t gate;
static bool on_malloc;
static double least_ns[2]; /* a pair, without the spy and with it: of the first thread */

static void attach(void)
{
    if (mh_spy_attach(&spy, MH_SPY_ALL) != 0)
        die("the spy cannot be attached");
}

static void detach(void)
{
    if (mh_spy_detach(&spy) != 0)
        die("the spy cannot be detached");
}

static double time_batches(HANDLE heap)
{
    uint64_t begin = now_ns();
    for (int i = 0; i < PAIR_BATCHES; i++)
        on_malloc ? batch_of_malloc() : batch_of_heap(heap);
    return (double)(now_ns() - begin) / (PAIR_BATCHES * BATCH);
}

static void *pair_main(void *argument)
{
    bool is_first = argument != NULL;
    HANDLE heap = HeapCreate(0, 0, 0);
    for (int round = 0; round < 2 * PAIR_ROUNDS; round++) {
        int is_spied = round % 2;
        if (is_first && spy.size)
            is_spied ? attach() : (void)mh_spy_detach(&spy);
        pthread_barrier_wait(&gate);
        double ns = time_batches(heap);
        if (is_first && (least_ns[is_spied] == 0 || ns < least_ns[is_spied]))
            least_ns[is_spied] = ns;
        pthread_barrier_wait(&gate);
    }
    HeapDestroy(heap);
    return NULL;
}

static void choose(const char *name)
{
    if (strcmp(name, "none") == 0)
        spy.size = 0;
    else if (strcmp(name, "sample") == 0)
        spy.sample_bytes = (size_t)512 * 1024;
    else if (strcmp(name, "malloc") == 0)
        on_malloc = true;
    else if (strcmp(name, "observer") != 0)
        die("no such spy");
}

static void run_threads(unsigned count, void *(*run)(void *), pthread_t *threads)
{
    if (count == 0 || count > MOST_THREADS)
        die("1 to 64 threads");
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, run, i == 0 ? &gate : NULL) != 0)
            die("no thread to be had");
}

static void measure_pairs(const char *name, unsigned count)
{
    pthread_t threads[MOST_THREADS];
    choose(name);
    pthread_barrier_init(&gate, NULL, count);
    run_threads(count, pair_main, threads);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("pair %s %u %.3f %.3f ns/pair\n", name, count, least_ns[0], least_ns[1]);
}

static void count_pairs(const char *name, unsigned long pairs)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    choose(name);
    if (spy.size)
        attach();
    for (unsigned long i = 0; i < pairs; i += BATCH)
        on_malloc ? batch_of_malloc() : batch_of_heap(heap);
    if (spy.size)
        (void)mh_spy_detach(&spy);
}

/*
 * --- attach, pause -------------------------------------------------------------------
 */

/* Under load: each thread allocates until is_over, and notes its longest pause. */
static atomic_bool is_over;
static _Atomic(uint64_t) longest_ns;

static void note_pause(uint64_t pause)
{
    uint64_t longest = atomic_load_explicit(&longest_ns, memory_order_relaxed);
    while (pause > longest &&
           !atomic_compare_exchange_weak(&longest_ns, &longest, pause)) {
    }
}

static void *load_main(void *argument)
{
    (void)argument;
    HANDLE heap = HeapCreate(0, 0, 0);
    void *ring[BATCH] = {0};
    uint64_t last = now_ns();
    for (unsigned i = 0; !atomic_load_explicit(&is_over, memory_order_relaxed); i++) {
        void **slot = &ring[i % BATCH];
        HeapFree(heap, 0, *slot);
        *slot = HeapAlloc(heap, 0, 1 + i % 253);
        uint64_t time = now_ns();
        note_pause(time - last);
        last = time;
    }
    HeapDestroy(heap);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_spread(const char *name, unsigned threads, double *us, size_t count)
{
    qsort(us, count, sizeof *us, compare);
    printf("%s %u %zu %.1f %.1f %.1f us p50 p99 max\n", name, threads, count,
           us[count / 2], us[count * 99 / 100], us[count - 1]);
}

static double *room_for(size_t count)
{
    double *values = calloc(count ? count : 1, sizeof *values);
    if (!values || count == 0)
        die("at least one cycle");
    return values;
}

static void measure_attach(unsigned threads, size_t cycles)
{
    double *attached = room_for(cycles);
    double *detached = room_for(cycles);
    for (size_t i = 0; i < cycles; i++) {
        uint64_t begin = now_ns();
        attach();
        uint64_t middle = now_ns();
        detach();
        attached[i] = (double)(middle - begin) / 1000;
        detached[i] = (double)(now_ns() - middle) / 1000;
    }
    print_spread("attach", threads, attached, cycles);
    print_spread("detach", threads, detached, cycles);
}

static void do_nothing(void)
{
}

/* The longest pause within 2 ms, or within the change if that takes longer. */
static double window(void (*change)(void))
{
    struct timespec length = {.tv_nsec = 2 * 1000 * 1000};
    atomic_store(&longest_ns, 0);
    change();
    nanosleep(&length, NULL);
    return (double)atomic_load(&longest_ns) / 1000;
}

static void measure_pause(unsigned threads, size_t cycles)
{
    double *plain = room_for(cycles);
    double *attaching = room_for(cycles);
    double *detaching = room_for(cycles);
    for (size_t i = 0; i < cycles; i++) {
        plain[i] = window(do_nothing);
        attaching[i] = window(attach);
        detaching[i] = window(detach);
    }
    print_spread("pause", threads, plain, cycles);
    print_spread("pause-attach", threads, attaching, cycles);
    print_spread("pause-detach", threads, detaching, cycles);
}

static void under_load(unsigned count, size_t cycles, void (*measure)(unsigned, size_t))
{
    pthread_t threads[MOST_THREADS];
    run_threads(count, load_main, threads);
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    measure(count, cycles);
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

int main(int count, char **arguments)
{
    if (count != 4)
        die("pair SPY THREADS, count SPY PAIRS, attach or pause THREADS CYCLES");
    const char *what = arguments[1];
    unsigned long last = strtoul(arguments[3], NULL, 10);
    unsigned threads = (unsigned)strtoul(arguments[2], NULL, 10);
    if (strcmp(what, "pair") == 0)
        measure_pairs(arguments[2], (unsigned)last);
    else if (strcmp(what, "count") == 0)
        count_pairs(arguments[2], last);
    else if (strcmp(what, "attach") == 0)
        under_load(threads, last, measure_attach);
    else if (strcmp(what, "pause") == 0)
        under_load(threads, last, measure_pause);
    else
        die("no such measurement");
    return 0;
}
