/* SPDX-License-Identifier: MIT */
/*
 * Fixed-size heaps beside growable ones; nothing is asserted.
 *
 *   fixed [ROUNDS]   the local pair, HeapAlloc+HeapFree of 1 to 253 bytes, 64 out and
 *                    back, on a growable heap and on fixed-size ones, in turn, by one
 *                    thread and by two on one heap: ns a pair, the median and the least
 *                    of the rounds, and the median of the ratios round by round
 */
#include <molehill/heapapi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { OUT = 64, BATCHES = 3000, MOST_ROUNDS = 1000, MOST_THREADS = 2 };

struct subject {
    const char *name;
    size_t maximum;
    HANDLE heap;
    double ns[MOST_ROUNDS], ratio[MOST_ROUNDS];
};

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *pairs(void *heap)
{
    void *blocks[OUT];
    for (int batch = 0; batch < BATCHES; batch++) {
        for (size_t i = 0; i < OUT; i++)
            blocks[i] = HeapAlloc(heap, 0, 1 + i * 4);
        for (size_t i = 0; i < OUT; i++)
            HeapFree(heap, 0, blocks[i]);
    }
    return NULL;
}

static double measure(HANDLE heap, size_t threads)
{
    pthread_t others[MOST_THREADS];
    uint64_t begin = now_ns();
    for (size_t i = 1; i < threads; i++)
        if (pthread_create(&others[i], NULL, pairs, heap) != 0)
            abort();
    pairs(heap);
    for (size_t i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    return (double)(now_ns() - begin) / (BATCHES * OUT);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *figures, size_t count)
{
    qsort(figures, count, sizeof *figures, compare);
    return figures[count / 2];
}

static void run(struct subject *subjects, size_t count, size_t rounds, size_t threads)
{
    for (size_t i = 0; i < count; i++) {
        subjects[i].heap = HeapCreate(0, 0, subjects[i].maximum);
        if (!subjects[i].heap)
            abort();
        measure(subjects[i].heap, threads);
    }
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++) {
            subjects[i].ns[round] = measure(subjects[i].heap, threads);
            subjects[i].ratio[round] = subjects[i].ns[round] / subjects[0].ns[round];
        }
    for (size_t i = 0; i < count; i++) {
        double middle = median(subjects[i].ns, rounds);
        printf("%zu  %-16s %8.2f ns (least %6.2f)   ratio %5.2f\n", threads,
               subjects[i].name, middle, subjects[i].ns[0],
               median(subjects[i].ratio, rounds));
        HeapDestroy(subjects[i].heap);
    }
}

int main(int argc, char **argv)
{
    static struct subject subjects[] = {
        {.name = "growable"},
        {.name = "fixed, 1 MiB", .maximum = (size_t)1 << 20},
        {.name = "fixed, 16 MiB", .maximum = (size_t)16 << 20},
        {.name = "fixed, 256 MiB", .maximum = (size_t)256 << 20},
    };
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
    if (rounds < 1 || rounds > MOST_ROUNDS)
        rounds = MOST_ROUNDS;
    for (size_t threads = 1; threads <= MOST_THREADS; threads++)
        run(subjects, sizeof subjects / sizeof subjects[0], rounds, threads);
    return 0;
}
