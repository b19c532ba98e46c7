/* SPDX-License-Identifier: MIT */
#include "tcache/compact.h"

#include "../api/asleep.h"
#include "tcache/batch.h"
#include "unit.h"

static HANDLE heap;
static void *block;
static atomic_int tid;

static const char *allocate(struct worker *worker)
{
    (void)worker;
    settle_in(heap);
    block = HeapAlloc(heap, 0, 64);
    return block ? NULL : "no memory";
}

/* This thread has a block of an ended thread's in a batch. Which is returned. */
static struct mole_batch *begin(void)
{
    stop_passes();
    heap = create_heap(0);
    settle_in(heap);
    run_workers(1, allocate, NULL);
    struct mole_batch *batch =
        &mole_thread_cache(inside(heap))->batch[span_of(block)->class];
    give_back(heap, block);
    require(batch->span == span_of(block) && mole_batch_count(batch) == 1,
            "no block in the batch");
    return batch;
}

Test(compact, hands_batches_over_and_gives_empty_slabs_back)
{
    struct mole_batch *batch = begin();
    struct mole_span *span = batch->span;
    mole_compact_heap(inside(heap), NULL);
    require(batch->span == NULL, "a batch is left");
    require(mole_span_map_find(block) != span, "an empty slab is left");
    size_t runs = 0;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next)
        runs++;
    require(runs == 1, "an empty heap has %zu runs", runs);
    require(HeapValidate(heap, 0, NULL), "the heap is not in order");
}

static void *compact(void *unused)
{
    (void)unused;
    atomic_store(&tid, (int)syscall(SYS_gettid));
    mole_compact_heap(mole_heap_find(heap), NULL);
    return NULL;
}

/* A thread that ends hands its batches over under that lock, whatever the gate says. */
Test(compact, takes_batches_under_the_arenas_lock)
{
    struct mole_batch *batch = begin();
    pthread_t thread;
    mole_arena_enter(&inside(heap)->arena);
    require(pthread_create(&thread, NULL, compact, NULL) == 0, "no thread");
    for (int turns = 0; !sleeps_on_futex(atomic_load(&tid)); turns++) {
        require(turns < 60000, "the thread does not sleep");
        pause_shortly();
    }
    require(mole_batch_count(batch) == 1 && batch->span, "it did not wait");
    mole_arena_leave(&inside(heap)->arena);
    pthread_join(thread, NULL);
    require(batch->span == NULL, "a batch is left");
}

static const char *use_malloc(struct worker *worker)
{
    void *blocks[3] = {mh_malloc(64), mh_malloc(3000), mh_malloc(20000)};
    worker->shared = mole_thread_cache(mole_process_malloc_heap());
    for (size_t i = 0; i < LENGTH(blocks); i++)
        mh_free(blocks[i]);
    return worker->shared ? NULL : "the thread has no cache";
}

static size_t slabs_of(const struct mole_tcache *cache)
{
    size_t count = 0;
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1)
        count += (cache->current[class] != &mole_tcache_none) + !!cache->partial[class] +
                 !!cache->empties[class];
    return count;
}

/* A cache of malloc's that an ended thread left, with empty slabs. */
static struct mole_tcache *leave_cache(void)
{
    struct mole_owner *owner = NULL;
    run_workers(1, use_malloc, NULL);
    for (owner = mole_heap_owners(mole_process_malloc_heap()); owner; owner = owner->next)
        if (load_rlx(&owner->thread_a) == MOLE_ORPHAN)
            break;
    require(owner && slabs_of((struct mole_tcache *)(void *)owner), "no cache is left");
    return (struct mole_tcache *)(void *)owner;
}

Test(compact, what_ended_threads_have_free_goes_once)
{
    stop_passes();
    mh_free(mh_malloc(1));
    struct mole_tcache *cache = leave_cache();
    require(mole_compact_orphans() == 1, "the cache was not found");
    require(slabs_of(cache) == 0, "it has slabs still");
    require(load_rlx(&cache->owner.thread_a) == MOLE_ORPHAN, "it was not let go");
    require(mole_compact_orphans() == 0, "it was looked at again");
    require(leave_cache() == cache, "the next thread made another cache");
    require(mole_compact_orphans() == 1 && slabs_of(cache) == 0, "not a second time");
}

static const char *leave_block(struct worker *worker)
{
    (void)worker;
    block = mh_malloc(64);
    return block ? NULL : "no memory";
}

/* This thread is the other one: the ended one's block is in its batch. */
Test(compact, what_ended_threads_have_in_anothers_batch_stays)
{
    stop_passes();
    mh_free(mh_malloc(1));
    struct mole_heap *record = mole_process_malloc_heap();
    struct mole_tcache *own = mole_thread_cache(record);
    run_workers(1, leave_block, NULL);
    struct mole_span *span = span_of(block);
    mh_free(block);
    require(own->batch[span->class].span == span, "no block in the batch");
    require(mole_compact_orphans() == 1, "the cache was not found");
    require(is_mapped(block) && span_of(block) == span, "the slab went");
    mole_compact_heap(record, mole_thread_slots());
    require(!own->batch[span->class].span && !is_mapped(block),
            "the slab is still there");
}

static const char *free_and_end(struct worker *worker)
{
    (void)worker;
    mh_free(block); /* into a batch, which is handed over as the thread ends */
    return NULL;
}

Test(compact, what_comes_back_to_ended_threads_goes_too)
{
    stop_passes();
    mh_free(mh_malloc(1));
    run_workers(1, leave_block, NULL);
    require(mole_compact_orphans() == 1 && is_mapped(block), "the slab went");
    require(mole_compact_orphans() == 0, "the cache was looked at again");
    struct mole_owner *owner = span_of(block)->owner;
    uintptr_t orphan = MOLE_ORPHAN;
    require(cas_acq(&owner->thread_a, &orphan, mole_thread_self()), "it has a thread");
    run_workers(1, free_and_end, NULL); /* by another cache than that one */
    store_rel(&owner->thread_a, MOLE_ORPHAN);
    require(load_rlx(&owner->is_lean_a) && load_rlx(&owner->woken_a), "none came back");
    require(mole_compact_orphans() > 0, "the cache was not found");
    require(!is_mapped(block), "the slab is still there");
}
