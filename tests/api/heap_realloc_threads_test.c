/* SPDX-License-Identifier: MIT */
/* Case 42: HeapReAlloc of another thread's blocks while their neighbours are freed. */
#include <sched.h>
#include <stdatomic.h>

#include "workers.h"

/*
 * In each round thread A allocates; then, of each three blocks in a row, B resizes the
 * middle one while C frees the outer two and A, whose slabs they are in, allocates their
 * memory again. What B copies from must not have been given away before. The rounds end
 * when enough happened.
 */
enum {
    TRIPLES = 400,
    BLOCKS = 3 * TRIPLES,
    LEAST_ROUNDS = 10,
    MOST_ROUNDS = 1000,
    LEAST_OVERLAPS = 1000, /* resizes begun while the frees were under way */
    LEAST_REUSED = 500,    /* allocations by A that got what C freed in the same round */
};

struct triples {
    HANDLE heap;
    pthread_barrier_t barrier;
    void *blocks[BLOCKS];
    void *outer[BLOCKS]; /* those that C frees, sorted */
    void *again[BLOCKS]; /* what A allocates meanwhile; NULL: nothing */
    atomic_size_t freed; /* C has gone through so many of the blocks */
    atomic_size_t overlaps, reused;
    atomic_bool has_failed;
    bool is_over; /* written by A, before the barrier that ends a round */
};

static size_t triple_bytes(size_t index)
{
    return 1 + index / 3 * 37 % 3000;
}

/* The stamp of a block that A allocates during the frees. */
static uint64_t again_key(size_t index)
{
    return ~((uint64_t)index << 32);
}

static const char *begin_round(struct triples *triples)
{
    size_t outer = 0;

    atomic_store(&triples->freed, 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        triples->again[i] = NULL;
        triples->blocks[i] = HeapAlloc(triples->heap, 0, triple_bytes(i));
        if (triples->blocks[i] == NULL)
            return "HeapAlloc failed";
        stamp(triples->blocks[i], triple_bytes(i), i << 32);
        if (i % 3 != 1)
            triples->outer[outer++] = triples->blocks[i];
    }
    qsort(triples->outer, outer, sizeof(void *), compare_pointers);
    return NULL;
}

static const char *allocate_again(struct triples *triples)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        while (atomic_load(&triples->freed) <= i) {
            if (atomic_load(&triples->has_failed))
                return NULL;
            sched_yield();
        }
        triples->again[i] = HeapAlloc(triples->heap, 0, triple_bytes(i));
        if (triples->again[i] == NULL)
            return "HeapAlloc failed";
        stamp(triples->again[i], triple_bytes(i), again_key(i));
        if (bsearch(&triples->again[i], triples->outer, BLOCKS - TRIPLES, sizeof(void *),
                    compare_pointers) != NULL)
            atomic_fetch_add(&triples->reused, 1);
    }
    return NULL;
}

static const char *resize_middles(struct triples *triples)
{
    for (size_t i = 1; i < BLOCKS; i += 3) {
        size_t bytes = triple_bytes(i), wish = i % 2 ? bytes * 3 : bytes / 2;
        size_t freed = atomic_load(&triples->freed);
        void *block = HeapReAlloc(triples->heap, 0, triples->blocks[i], wish);
        if (block == NULL)
            return "HeapReAlloc of another thread's block failed";
        if (!stamp_is_intact(block, wish < bytes ? wish : bytes, i << 32))
            return "HeapReAlloc lost contents";
        triples->blocks[i] = block;
        if (HeapSize(triples->heap, 0, block) != wish)
            return "the resized block has another size";
        if (freed > 0 && freed < BLOCKS)
            atomic_fetch_add(&triples->overlaps, 1);
        if (i % 8 == 0)
            sched_yield(); /* where threads share a processor */
    }
    return NULL;
}

static const char *free_outer(struct triples *triples)
{
    const char *failure = NULL;

    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % 3 == 1)
            continue;
        if (!stamp_is_intact(triples->blocks[i], triple_bytes(i), i << 32))
            failure = "a neighbour was disturbed";
        if (!HeapFree(triples->heap, 0, triples->blocks[i]))
            failure = "a neighbour cannot be freed";
        atomic_store(&triples->freed, i);
        if (i % 8 == 0)
            sched_yield();
    }
    atomic_store(&triples->freed, BLOCKS + 1); /* nobody waits for more */
    return failure;
}

static const char *end_round(struct triples *triples)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % 3 == 1 && !HeapFree(triples->heap, 0, triples->blocks[i]))
            return "a resized block cannot be freed";
        if (triples->again[i] == NULL)
            continue;
        if (!stamp_is_intact(triples->again[i], triple_bytes(i), again_key(i)))
            return "a block allocated meanwhile was disturbed";
        if (!HeapFree(triples->heap, 0, triples->again[i]))
            return "a block allocated meanwhile cannot be freed";
    }
    return NULL;
}

static bool is_enough(struct triples *triples, size_t rounds)
{
    return rounds == MOST_ROUNDS ||
           (rounds >= LEAST_ROUNDS && atomic_load(&triples->overlaps) >= LEAST_OVERLAPS &&
            atomic_load(&triples->reused) >= LEAST_REUSED);
}

/* Whoever fails goes on to meet the others, who would wait for ever. */
static const char *note(struct triples *triples, const char *failure)
{
    if (failure != NULL)
        atomic_store(&triples->has_failed, true);
    return failure;
}

/* One of the three. */
static const char *play(struct worker *worker)
{
    static const char *(*const parts[])(struct triples *) = {allocate_again,
                                                             resize_middles, free_outer};
    struct triples *triples = worker->shared;
    const char *failure = NULL;

    for (size_t rounds = 1; !triples->is_over; rounds++) {
        if (worker->index == 0)
            failure = note(triples, begin_round(triples));
        pthread_barrier_wait(&triples->barrier);
        if (!atomic_load(&triples->has_failed))
            failure = note(triples, parts[worker->index](triples));
        pthread_barrier_wait(&triples->barrier);
        if (worker->index == 0) {
            if (!atomic_load(&triples->has_failed))
                failure = note(triples, end_round(triples));
            triples->is_over =
                atomic_load(&triples->has_failed) || is_enough(triples, rounds);
        }
        pthread_barrier_wait(&triples->barrier);
    }
    return failure;
}

HEAP_CASE(heap_realloc, case_042_resizing_while_neighbours_are_freed)
{
    static struct triples triples;

    triples.heap = heap;
    require(pthread_barrier_init(&triples.barrier, NULL, 3) == 0, "no barrier");
    run_workers(3, play, &triples);
    pthread_barrier_destroy(&triples.barrier);
    cr_log_info("%zu overlaps, %zu blocks re-used\n", atomic_load(&triples.overlaps),
                atomic_load(&triples.reused));
    require(atomic_load(&triples.overlaps) >= LEAST_OVERLAPS,
            "only %zu resizes overlapped with frees", atomic_load(&triples.overlaps));
    require(atomic_load(&triples.reused) >= LEAST_REUSED,
            "only %zu freed blocks were allocated again", atomic_load(&triples.reused));
}
