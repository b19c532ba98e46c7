/* SPDX-License-Identifier: MIT */
/* HeapLock on heaps that spies watch, and while they are in their callbacks. */
#include "runner.h"
#include "staying.h"

/* The thread comes to rest, and has made no pair that began under the lock. */
static bool comes_to_rest(struct runner *runner)
{
    unsigned long long at_lock = atomic_load(&runner->pairs);
    bool is_at_rest = false;
    for (size_t turns = 0; turns < 60000 && !is_at_rest; turns++) {
        is_at_rest = is_asleep(atomic_load(&runner->tid));
        pause_shortly();
        /* One call may have ended before the lock and be counted after it. */
        require(atomic_load(&runner->pairs) <= at_lock + 1,
                "pairs were made under the lock");
    }
    return is_at_rest;
}

static void lock_out(HANDLE heap, const struct mh_spy *spy)
{
    struct runner runner = {.heap = heap};
    pthread_t thread;
    size_t rests = 0, locks = repeats(100) + 5;
    require(pthread_create(&thread, NULL, run_pairs, &runner) == 0, "no thread");
    attach(spy, heap);
    for (size_t i = 0; i < locks; i++) {
        unsigned long long before = atomic_load(&runner.pairs);
        while (atomic_load(&runner.pairs) < before + 100)
            pause_shortly();
        require(HeapLock(heap), "HeapLock failed");
        rests += comes_to_rest(&runner);
        require(HeapUnlock(heap), "HeapUnlock failed");
    }
    detach(spy);
    atomic_store(&runner.stop, true);
    pthread_join(thread, NULL);
    require(!runner.failure, "%s", runner.failure);
    require(rests == locks, "only %zu of %zu locks stopped the thread", rests, locks);
}

HEAP_CASE(spy_lock, a_lock_keeps_others_out_of_a_spied_heap)
{
    notes_init(&notes);
    lock_out(heap, &notes.spy);
    require(atomic_load(&notes.count) > 500, "the spy heard of %zu",
            atomic_load(&notes.count));
}

HEAP_CASE(spy_lock, a_lock_keeps_others_out_of_a_sampled_heap)
{
    notes_init(&notes);
    notes.spy.sample_bytes = 10000;
    lock_out(heap, &notes.spy);
}

/* A lock that comes while a free is being told of: the block stays until it goes. */

struct releaser {
    HANDLE heap;
    void *block;
    atomic_int tid;
    atomic_bool is_done;
    bool is_freed;
};

static void *release_main(void *argument)
{
    struct releaser *releaser = argument;
    atomic_store(&releaser->tid, (int)syscall(SYS_gettid));
    for (size_t i = 0; i < 100; i++) /* settled: its frees are fast */
        HeapFree(releaser->heap, 0, HeapAlloc(releaser->heap, 0, 64));
    releaser->block = HeapAlloc(releaser->heap, 0, 64);
    attach(&notes.spy, releaser->heap);
    releaser->is_freed = HeapFree(releaser->heap, 0, releaser->block);
    atomic_store(&releaser->is_done, true);
    return NULL;
}

HEAP_CASE(spy_lock, a_lock_that_comes_during_a_callback_holds_up_the_free)
{
    struct releaser releaser = {.heap = heap};
    pthread_t thread;
    size_t asleep = 0;
    sem_init(&is_inside, 0, 0);
    sem_init(&may_leave, 0, 0);
    notes_init(&notes);
    notes.spy.allocated = NULL;
    notes.spy.freed = stay_inside;
    require(pthread_create(&thread, NULL, release_main, &releaser) == 0, "no thread");
    while (sem_wait(&is_inside) != 0) {
    }
    require(HeapLock(heap), "HeapLock failed");
    sem_post(&may_leave);
    for (size_t i = 0; i < 60000 && asleep < 20; i++) {
        require(HeapSize(heap, 0, releaser.block) == 64, "the block was freed");
        asleep += atomic_load(&has_left) && is_asleep(atomic_load(&releaser.tid));
        pause_shortly();
    }
    require(asleep == 20 && !atomic_load(&releaser.is_done), "the free did not wait");
    require(HeapUnlock(heap), "HeapUnlock failed");
    pthread_join(thread, NULL);
    require(releaser.is_freed, "HeapFree failed");
    require(HeapSize(heap, 0, releaser.block) == (SIZE_T)-1, "the block is still there");
    end_notes(&notes);
}
