/* SPDX-License-Identifier: MIT */
/* Fixed-size heaps, by several threads. Cases 48 and 49. */
#include "oracle.h"
#include "walk_oracle.h"
#include "workers.h"

enum { THREADS = 8, BLOCKS = 20000, BYTES = 64, CHARGED_LEAST = 0x600 };

struct filling {
    HANDLE heap;
    void *blocks[THREADS][BLOCKS];
    size_t count[THREADS];
    pthread_barrier_t all;
};

/*
 * Allocate until nothing is left, then free what another thread has, while all are alive.
 */
static const char *fill_and_free(struct worker *worker)
{
    struct filling *filling = worker->shared;
    void **mine = filling->blocks[worker->index];
    size_t *count = &filling->count[worker->index];
    while (*count < BLOCKS && (mine[*count] = HeapAlloc(filling->heap, 0, BYTES)))
        ++*count;
    pthread_barrier_wait(&filling->all);
    size_t next = (worker->index + 1) % THREADS;
    bool is_good = true;
    for (size_t i = 0; i < filling->count[next]; i++)
        is_good &= HeapFree(filling->heap, 0, filling->blocks[next][i]);
    pthread_barrier_wait(&filling->all);
    return is_good ? NULL : "HeapFree refused a live block";
}

static size_t fill_from_threads(struct filling *filling)
{
    memset(filling->count, 0, sizeof filling->count);
    run_workers(THREADS, fill_and_free, filling);
    size_t sum = 0;
    for (size_t i = 0; i < THREADS; i++)
        sum += filling->count[i];
    return sum;
}

Test(heap_fixed_threads, case_048_what_threads_freed_is_one_piece_again)
{
    static struct filling filling;
    const SIZE_T maximum = MIB;
    filling.heap = HeapCreate(0, 0, maximum);
    require(filling.heap, "no heap");
    pthread_barrier_init(&filling.all, NULL, THREADS);
    for (int turn = 0; turn < 3; turn++) {
        size_t sum = fill_from_threads(&filling);
        size_t room = BYTES + guard_bytes(); /* tails count against the maximum */
        require(sum * room <= maximum - CHARGED_LEAST, "%zu blocks fit", sum);
        require(sum * room >= maximum - maximum / 64 - 0xC00, "only %zu blocks fit", sum);
        if (turn)
            require(HeapCompact(filling.heap, 0) >= maximum - 0xC00, "not all is free");
        SIZE_T half = compat_windows() ? maximum / 2 : 0x7FFF7;
        give_back(filling.heap, take(filling.heap, 0, half));
        give_back(filling.heap, take(filling.heap, 0, half));
        require(HeapValidate(filling.heap, 0, NULL), "the heap does not validate");
    }
    pthread_barrier_destroy(&filling.all);
    destroy_heap(filling.heap);
}

/* One thread holds free blocks in its cache, another one needs them. */
struct pair {
    HANDLE heap;
    size_t turns;
    pthread_barrier_t both;
};

static const char *hoard_or_need(struct worker *worker)
{
    struct pair *pair = worker->shared;
    const char *failure = NULL;
    for (size_t turn = 0; turn < pair->turns; turn++) {
        void *blocks[50];
        for (size_t i = 0; worker->index == 0 && i < LENGTH(blocks); i++)
            blocks[i] = HeapAlloc(pair->heap, 0, 500);
        for (size_t i = 0; worker->index == 0 && i < LENGTH(blocks); i++)
            HeapFree(pair->heap, 0, blocks[i]);
        pthread_barrier_wait(&pair->both);
        void *all = worker->index ? HeapAlloc(pair->heap, 0, 0x3F400) : NULL;
        if (worker->index && !HeapFree(pair->heap, 0, all))
            failure = "HeapFree failed";
        if (worker->index && !all)
            failure = "what the other thread's cache held was not had";
        pthread_barrier_wait(&pair->both);
    }
    return failure;
}

Test(heap_fixed_threads, case_048_another_threads_cache_gives_back_before_null)
{
    struct pair pair = {.heap = HeapCreate(0, 0, CASE_SIZE), .turns = 5 + repeats(200)};
    pthread_barrier_init(&pair.both, NULL, 2);
    run_workers(2, hoard_or_need, &pair);
    pthread_barrier_destroy(&pair.both);
    destroy_heap(pair.heap);
}

struct crowd {
    HANDLE heap;
    _Atomic(size_t) live, most;
};

/* Count live bytes, before the call that may take them and after the one that frees. */
static const char *allocate_at_the_limit(struct worker *worker)
{
    struct crowd *crowd = worker->shared;
    void *blocks[200] = {NULL};
    size_t sizes[200] = {0};
    uint64_t random = worker->index + 1;
    for (size_t i = 0; i < 2000 + repeats(100000); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t at = (random >> 33) % LENGTH(blocks);
        if (blocks[at]) {
            atomic_fetch_sub(&crowd->live, sizes[at]); /* first: never too many */
            if (!HeapFree(crowd->heap, 0, blocks[at]))
                return "HeapFree failed";
            blocks[at] = NULL;
            continue;
        }
        sizes[at] = (random >> 43) % 3000;
        blocks[at] = HeapAlloc(crowd->heap, 0, sizes[at]);
        if (!blocks[at])
            continue;
        memset(blocks[at], (int)i, sizes[at]);
        size_t live = atomic_fetch_add(&crowd->live, sizes[at]) + sizes[at];
        size_t most = atomic_load(&crowd->most);
        while (live > most && !atomic_compare_exchange_weak(&crowd->most, &most, live)) {
        }
    }
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        atomic_fetch_sub(&crowd->live, blocks[i] ? sizes[i] : 0);
        HeapFree(crowd->heap, 0, blocks[i]);
    }
    return NULL;
}

Test(heap_fixed_threads, case_049_many_threads_do_not_exceed_the_maximum)
{
    struct crowd crowd = {.heap = HeapCreate(0, 0, CASE_SIZE)};
    run_workers(THREADS, allocate_at_the_limit, &crowd);
    require(atomic_load(&crowd.most) <= CASE_SIZE - CHARGED_LEAST, "%zu bytes were live",
            atomic_load(&crowd.most));
    require(atomic_load(&crowd.most) > CASE_SIZE / 2, "only %zu bytes were ever live",
            atomic_load(&crowd.most));
    require(allocated_bytes(crowd.heap) == 0, "bytes are left");
    require(HeapValidate(crowd.heap, 0, NULL), "the heap does not validate");
    destroy_heap(crowd.heap);
}

static const char *run_own_oracle(struct worker *worker)
{
    struct oracle *oracle = malloc(sizeof *oracle);
    if (!oracle)
        return "the test has no memory";
    oracle_init(oracle, worker->shared, 0, worker->index);
    oracle->most = 0x7FFF7;
    const char *failure = oracle_run(oracle, 2000 + repeats(100000));
    if (!failure)
        failure = oracle_finish(oracle);
    free(oracle);
    return failure;
}

Test(heap_fixed_threads, random_calls_of_threads_keep_all_contents)
{
    HANDLE heap = HeapCreate(0, 0, 256 * MIB);
    run_workers(4, run_own_oracle, heap);
    require(allocated_bytes(heap) == 0, "bytes are left");
    require(HeapValidate(heap, 0, NULL), "the heap does not validate");
    destroy_heap(heap);
}
