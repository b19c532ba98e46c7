/* SPDX-License-Identifier: MIT */
/*
 * Crowds: ten thousand live heaps that 64 threads work in, and a thousand threads at once
 * on one heap. Blocks go from thread to thread through a table; each carries its heap and
 * its size, is stamped all over, and is read whole before it is freed. Memory stays
 * bounded by what is live and by what each heap and each thread costs.
 */
#include "race.h"
#include "tcache/thread.h"

enum { MOST_HEAPS = 10000, MOST_THREADS = 1000, TABLE = 512, MIB = 1 << 20 };

/* What a block begins with; the stamp is behind it. */
struct block {
    HANDLE heap;
    size_t bytes;
    uint64_t key;
};

static HANDLE heaps[MOST_HEAPS];
static size_t heap_count;
static _Atomic(struct block *) table[TABLE];
static pthread_t threads[MOST_THREADS];
static size_t steps_of_each, most_bytes;
static pthread_barrier_t all_are_there, all_are_done;
static atomic_ullong frees, remote_frees, checked;

static struct block *allocate(HANDLE heap, uint64_t *random)
{
    size_t bytes = sizeof(struct block) + race_below(random, most_bytes);
    struct block *block = HeapAlloc(heap, 0, bytes);
    race_require(block != NULL, "no memory for %zu bytes", bytes);
    if (!block)
        return NULL;
    *block = (struct block){.heap = heap, .bytes = bytes, .key = race_next(random)};
    race_stamp(block + 1, bytes - sizeof *block, block->key);
    return block;
}

static void verify(const struct block *block)
{
    race_require(HeapSize(block->heap, 0, block) == block->bytes,
                 "a block of %zu bytes has another size", block->bytes);
    race_require(race_is_stamped(block + 1, block->bytes - sizeof *block, block->key),
                 "a block of %zu bytes was disturbed", block->bytes);
    atomic_fetch_add_explicit(&checked, 1, memory_order_relaxed);
}

static void release(struct block *block)
{
    if (!block)
        return;
    verify(block);
    race_require(HeapFree(block->heap, 0, block), "HeapFree refused a live block");
    atomic_fetch_add_explicit(&frees, 1, memory_order_relaxed);
}

/*
 * Keep a few blocks, hand every other one to whoever finds it, and free what one finds.
 */
static void work(uint64_t *random)
{
    struct block *held[16] = {NULL};
    for (size_t step = 0; step < steps_of_each; step++) {
        struct block *block = allocate(heaps[race_below(random, heap_count)], random);
        if (step % 2) {
            block = atomic_exchange(&table[race_below(random, TABLE)], block);
            atomic_fetch_add_explicit(&remote_frees, block != NULL, memory_order_relaxed);
        }
        struct block **place = &held[race_below(random, 16)];
        release(*place);
        *place = block;
    }
    for (size_t i = 0; i < 16; i++)
        release(held[i]);
}

static void *live(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    pthread_barrier_wait(&all_are_there);
    work(&random);
    pthread_barrier_wait(&all_are_done); /* nobody's cache is free for others before */
    return NULL;
}

static void run_threads(size_t count)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (!RACE_TSAN)
        pthread_attr_setstacksize(&attr, 64 * 1024);
    pthread_barrier_init(&all_are_there, NULL, (unsigned)count);
    pthread_barrier_init(&all_are_done, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        int error = pthread_create(&threads[i], &attr, live, (void *)(i + 1));
        if (error) {
            race_fail("thread %zu cannot be created: %s", i, strerror(error));
            (void)race_end();
            _exit(1); /* the others wait for it */
        }
    }
    for (size_t i = 0; i < count; i++)
        race_join(threads[i]);
    pthread_barrier_destroy(&all_are_there);
    pthread_barrier_destroy(&all_are_done);
    pthread_attr_destroy(&attr);
    for (size_t i = 0; i < TABLE; i++)
        release(atomic_exchange(&table[i], NULL));
}

/* Memory in use, against what it was; the limits are several times what is needed. */
static void check_memory(const char *what, size_t before, size_t limit)
{
    size_t now = race_resident();
    size_t more = now > before ? now - before : 0;
    printf("%s: resident %zu KiB, %zu KiB more than before\n", what, now / 1024,
           more / 1024);
    if (race_brief())
        race_skip("%s: resident memory: a sanitizer's own would count", what);
    else
        race_case(more <= limit, "%s: %zu KiB, not %zu", what, more / 1024, limit / 1024);
}

static void begin_crowd(void)
{
    atomic_store(&frees, 0);
    atomic_store(&remote_frees, 0);
    atomic_store(&checked, 0);
}

static void check_exercise(const char *what, size_t thread_count)
{
    size_t all = thread_count * steps_of_each;
    race_case(atomic_load(&frees) == all && atomic_load(&checked) == all,
              "%s: %llu blocks freed, %llu checked, not %zu", what, atomic_load(&frees),
              atomic_load(&checked), all);
    race_case(atomic_load(&remote_frees) >= all / 4,
              "%s: exercised too little: %llu blocks changed hands", what,
              atomic_load(&remote_frees));
}

static void many_heaps(void)
{
    const char *what = "many heaps";
    size_t thread_count = race_size(64, 16, 8);
    size_t resident = race_resident();
    struct mh_stats before = race_stats();
    heap_count = race_size(MOST_HEAPS, 1000, 100);
    steps_of_each = race_size(8000, 1000, 400);
    most_bytes = 100; /* each size class of a heap takes a page */
    begin_crowd();
    for (size_t i = 0; i < heap_count; i++) {
        heaps[i] = HeapCreate(0, 0, 0);
        race_require(heaps[i] != NULL, "heap %zu cannot be created", i);
    }
    race_case(race_stats().heaps == before.heaps + heap_count, "not all heaps are there");
    run_threads(thread_count);
    check_exercise(what, thread_count);
    check_memory(what, resident, heap_count * MOLE_CHUNK);
    size_t left = 0;
    for (size_t i = 0; i < heap_count; i++)
        left += race_allocated(heaps[i]);
    race_case(left == 0, "%zu bytes are left in the heaps", left);
    for (size_t i = 0; i < heap_count; i++)
        race_require(HeapDestroy(heaps[i]), "heap %zu cannot be destroyed", i);
    race_case(race_stats().heaps == before.heaps, "not all heaps are gone");
}

static void many_threads(void)
{
    const char *what = "many threads";
    size_t thread_count = race_size(MOST_THREADS, 100, 20);
    size_t resident = race_resident();
    struct mh_stats before = race_stats();
    heap_count = 1;
    heaps[0] = HeapCreate(0, 0, 0);
    steps_of_each = race_size(1000, 200, 100);
    most_bytes = 200;
    begin_crowd();
    run_threads(thread_count);
    check_exercise(what, thread_count);
    check_memory(what, resident, thread_count * 3 * MOLE_CHUNK);
    race_case(race_allocated(heaps[0]) == 0, "%zu bytes are left",
              race_allocated(heaps[0]));
    /* The same crowd again lives in what the first one left. */
    struct mh_stats once = race_stats();
    run_threads(thread_count);
    struct mh_stats twice = race_stats();
    printf(
        "%s: committed %llu KiB, after the second time %llu KiB; %llu caches adopted\n",
        what, (unsigned long long)once.committed_bytes / 1024,
        (unsigned long long)twice.committed_bytes / 1024,
        (unsigned long long)(twice.adoptions - once.adoptions));
    race_case(twice.committed_bytes <= once.committed_bytes + 16 * MIB,
              "memory grows each time");
    race_case(twice.adoptions - once.adoptions >= thread_count / 2,
              "only %llu caches were adopted",
              (unsigned long long)(twice.adoptions - once.adoptions));
    race_case(HeapDestroy(heaps[0]), "HeapDestroy failed");
    race_case(race_stats().heaps == before.heaps, "a heap is left");
}

int main(void)
{
    race_begin("many");
    many_heaps();
    many_threads();
    return race_end();
}
