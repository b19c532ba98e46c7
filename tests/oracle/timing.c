/* SPDX-License-Identifier: MIT */
/*
 * How long calls take: a pair of HeapAlloc and HeapFree, and a walk of a million blocks.
 * A line for each: what, the least of several rounds, the unit.
 */
#include "say.h"

#ifdef _WIN32
static double now(void)
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart * 1e9 / (double)frequency.QuadPart;
}
#else
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}
#endif

/* Short rounds, of which some are not interrupted by what else the machine does. */
enum { ROUNDS = 30, WALKS = 15, PAIRS = 100000, WALKED = 1000000, HELD = 1000 };

static void say_time(const char *what, double least, const char *unit)
{
    printf("%s\t%.2f\t%s\n", what, least, unit);
    fflush(stdout);
}

/* One block at a time, as a client that allocates, uses and frees. */
static void pairs(const char *what, HANDLE heap, SIZE_T bytes)
{
    double least = 1e300;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now();
        for (int i = 0; i < PAIRS; i++) {
            volatile char *block = HeapAlloc(heap, 0, bytes);
            *block = 1;
            HeapFree(heap, 0, (void *)block);
        }
        double took = (now() - begin) / PAIRS;
        least = took < least ? took : least;
    }
    say_time(what, least, "ns");
}

/* Many blocks of mixed sizes, which come in one order and go in another. */
static void batches(const char *what, HANDLE heap)
{
    static void *blocks[HELD];
    double least = 1e300;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now();
        for (int batch = 0; batch < PAIRS / HELD; batch++) {
            for (int i = 0; i < HELD; i++)
                blocks[i] = HeapAlloc(heap, 0, 16 + (SIZE_T)(i * 37 % 500));
            for (int i = 0; i < HELD; i++)
                HeapFree(heap, 0, blocks[i * 389 % HELD]);
        }
        double took = (now() - begin) / PAIRS;
        least = took < least ? took : least;
    }
    say_time(what, least, "ns");
}

static void walks(void)
{
    HANDLE heap = HeapCreate(0, (SIZE_T)256 << 20, 0);
    for (int i = 0; i < WALKED; i++)
        HeapAlloc(heap, 0, 16 + (SIZE_T)(i * 37 % 100));
    double least = 1e300;
    for (int round = 0; round < WALKS; round++) {
        PROCESS_HEAP_ENTRY entry = {0};
        unsigned live = 0;
        double begin = now();
        HeapLock(heap);
        while (HeapWalk(heap, &entry))
            live += (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) != 0;
        HeapUnlock(heap);
        double took = (now() - begin) / 1e6;
        least = took < least ? took : least;
        if (live != WALKED)
            exit(1);
    }
    say_time("HeapWalk of 1 000 000 blocks", least, "ms");
    HeapDestroy(heap);
}

int main(void)
{
    HANDLE heap = HeapCreate(0, 0, 0), alone = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
    pairs("HeapAlloc, HeapFree of 64 bytes", heap, 64);
    pairs("the same, HEAP_NO_SERIALIZE", alone, 64);
    pairs("the same, process heap", GetProcessHeap(), 64);
    pairs("the same of 4000 bytes", heap, 4000);
    batches("1000 blocks of 16 to 515 bytes", heap);
    walks();
    return 0;
}
