/* SPDX-License-Identifier: MIT */
/*
 * HEAP_NO_SERIALIZE on heaps and on calls: its three safe uses and its freedom from
 * locks. Spec 1.2 and cases 129 to 133.
 */
#include "oracle.h"
#include "workers.h"

enum { OPERATIONS = 1000000 };

static void require_well(const char *failure)
{
    require(failure == NULL, "%s", failure);
}

Test(no_serialize, case_129_one_thread_alone)
{
    static struct oracle oracle;
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    oracle_init(&oracle, heap, 0, 1);
    require_well(oracle_run(&oracle, repeats(OPERATIONS)));
    require(oracle.resizes > repeats(OPERATIONS) / 20, "only %zu resizes",
            (size_t)oracle.resizes);
    require_well(oracle_finish(&oracle));
    require(oracle.allocations == oracle.frees, "blocks were lost");
    require(allocated_bytes(heap) == 0, "the heap is not empty at the end");
    destroy_heap(heap);
}

static const char *work_on_own_heap(struct worker *worker)
{
    struct oracle *oracle = &((struct oracle *)worker->shared)[worker->index];
    HANDLE heap = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
    const char *failure;

    if (heap == NULL)
        return "HeapCreate failed";
    oracle_init(oracle, heap, 0, worker->index + 1);
    failure = oracle_run(oracle, repeats(OPERATIONS));
    if (failure == NULL)
        failure = oracle_finish(oracle);
    if (failure == NULL && oracle->allocations != oracle->frees)
        failure = "blocks were lost";
    if (!HeapDestroy(heap) && failure == NULL)
        failure = "HeapDestroy failed";
    return failure;
}

Test(no_serialize, case_130_eight_threads_each_with_its_own_heap)
{
    static struct oracle oracles[8];

    run_workers(8, work_on_own_heap, oracles);
}

/*
 * One oracle for all: a block that one thread allocates, others resize and free. Each
 * turn ends with the heap in the hands of another thread.
 */
enum { TAKERS = 4, TURN = 100 };

struct shared_oracle {
    pthread_mutex_t mutex;
    pthread_cond_t is_handed_over;
    size_t turns;   /* done so far; turn t is that of thread t % TAKERS */
    size_t holder;  /* who had the last turn */
    size_t changes; /* turns in which the thread was another than in the one before */
    bool has_failed;
    struct oracle oracle;
};

static const char *take_turn(struct shared_oracle *shared, size_t taker)
{
    shared->changes += shared->holder != taker;
    shared->holder = taker;
    return oracle_run(&shared->oracle, TURN);
}

static const char *take_turns(struct worker *worker)
{
    struct shared_oracle *shared = worker->shared;
    const char *failure = NULL;

    pthread_mutex_lock(&shared->mutex);
    for (size_t done = 0; done < repeats(OPERATIONS) / TAKERS; done += TURN) {
        while (shared->turns % TAKERS != worker->index && !shared->has_failed)
            pthread_cond_wait(&shared->is_handed_over, &shared->mutex);
        if (shared->has_failed)
            break;
        failure = take_turn(shared, worker->index);
        shared->has_failed = failure != NULL;
        shared->turns++;
        pthread_cond_broadcast(&shared->is_handed_over);
    }
    pthread_mutex_unlock(&shared->mutex);
    return failure;
}

Test(no_serialize, case_131_four_threads_take_turns_on_one_heap)
{
    static struct shared_oracle shared = {
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .is_handed_over = PTHREAD_COND_INITIALIZER,
        .holder = TAKERS,
    };
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    oracle_init(&shared.oracle, heap, 0, 1);
    run_workers(TAKERS, take_turns, &shared);
    require(shared.changes >= repeats(OPERATIONS) / TURN,
            "the heap changed hands only %zu times", shared.changes);
    require_well(oracle_finish(&shared.oracle));
    require(shared.oracle.allocations == shared.oracle.frees, "blocks were lost");
    require(allocated_bytes(heap) == 0, "the heap is not empty at the end");
    destroy_heap(heap);
}

static const char *work_on_process_heap(struct worker *worker)
{
    struct oracle *oracle = &((struct oracle *)worker->shared)[worker->index];
    const char *failure;

    oracle_init(oracle, GetProcessHeap(), HEAP_NO_SERIALIZE, worker->index + 1);
    failure = oracle_run(oracle, repeats(OPERATIONS) / 8);
    return failure != NULL ? failure : oracle_finish(oracle);
}

Test(no_serialize, case_132_calls_with_the_flag_share_the_process_heap)
{
    static struct oracle oracles[8];
    SIZE_T before = allocated_bytes(GetProcessHeap());

    run_workers(8, work_on_process_heap, oracles);
    require(allocated_bytes(GetProcessHeap()) == before, "%zu bytes allocated, not %zu",
            allocated_bytes(GetProcessHeap()), before);
}

static struct mh_stats counters(void)
{
    struct mh_stats stats = {.size = sizeof(stats)};

    require(mh_stats_get(&stats) == 0, "mh_stats_get failed");
    return stats;
}

/* The purger's locks are no operation's: none is to be started. */
static void keep_purger_out(void)
{
    require(mh_configure("purger:calls") == 0, "the purger cannot be switched off");
}

/* Locks taken since `before`, but for those that asking takes. */
static uint64_t locks_since(uint64_t before)
{
    uint64_t first = counters().lock_acquisitions;
    uint64_t second = counters().lock_acquisitions;

    return first - before - (second - first);
}

/* From its creation to its end, which comes with blocks in it. */
Test(no_serialize, case_133_such_a_heap_never_takes_a_lock)
{
    static struct oracle oracle;
    keep_purger_out();
    struct mh_stats before = counters();
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    oracle_init(&oracle, heap, 0, 1);
    require_well(oracle_run(&oracle, repeats(OPERATIONS)));
    for (size_t bytes = 100000; bytes < 64 * MIB; bytes *= 3) {
        void *block = take(heap, 0, bytes);
        block = HeapReAlloc(heap, 0, block, bytes * 2);
        require(block != NULL, "HeapReAlloc of a large block failed");
        require(HeapValidate(heap, 0, block), "HeapValidate of a large block failed");
        give_back(heap, block);
    }
    require_well(oracle_finish(&oracle));
    require(allocated_bytes(heap) == 0, "the heap is not empty at the end");
    for (size_t bytes = 1; bytes < MIB; bytes *= 2)
        take(heap, 0, bytes);
    destroy_heap(heap);

    uint64_t locks = locks_since(before.lock_acquisitions);
    uint64_t refills = counters().refills - before.refills;
    require(refills > 0, "no operation went to the arena, so nothing was proved");
    require(locks == 0, "%zu locks were taken in %zu refills", (size_t)locks,
            (size_t)refills);
}

Test(no_serialize, case_133_warm_pairs_of_a_serialized_heap_take_no_lock)
{
    enum { PAIRS = 100000 };
    const size_t sizes[] = {0, 16, 64, 200, 1000, 4000};
    keep_purger_out();
    HANDLE heap = create_heap(0);

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        for (size_t pair = 0; pair < 2000; pair++)
            give_back(heap, take(heap, 0, sizes[i]));
        uint64_t before = counters().lock_acquisitions;
        for (size_t pair = 0; pair < PAIRS; pair++)
            give_back(heap, take(heap, 0, sizes[i]));
        uint64_t locks = locks_since(before);
        require(locks == 0, "%zu locks in %d pairs of %zu bytes", (size_t)locks, PAIRS,
                sizes[i]);
    }
    destroy_heap(heap);
}

Test(no_serialize, case_133_a_serialized_heap_takes_few_locks_per_refill)
{
    enum { COUNT = 200000 };
    keep_purger_out();
    HANDLE heap = create_heap(0);
    struct mh_stats before = counters();

    for (size_t i = 0; i < COUNT; i++)
        take(heap, 0, 64);
    uint64_t locks = locks_since(before.lock_acquisitions);
    uint64_t refills = counters().refills - before.refills;
    cr_log_info("%zu locks in %zu refills for %d blocks of 64 bytes\n", (size_t)locks,
                (size_t)refills, COUNT);
    require(refills > 0, "%d blocks came without a refill", COUNT);
    require(refills <= COUNT / 8, "%zu refills for %d blocks", (size_t)refills, COUNT);
    require(locks >= 1, "refills of a serialized heap took no lock");
    require(locks <= 4 * refills, "%zu locks in %zu refills", (size_t)locks,
            (size_t)refills);
    destroy_heap(heap);
}
