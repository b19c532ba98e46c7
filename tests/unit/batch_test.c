/* SPDX-License-Identifier: MIT */
/* A worker frees the test's blocks. */
#include "os/thread.h"
#include "tcache/mixed.h"
#include "unit.h"

enum { MOST = 512 };

struct gift {
    HANDLE heap;
    void *blocks[MOST];
};

static struct gift gift;

static void begin(void)
{
    stop_passes();
    gift.heap = create_heap(0);
}

/* `count` blocks of one slab, which is then set aside. */
static struct mole_span *fill(size_t count, size_t bytes)
{
    struct mole_span *span;
    size_t have = 0;
    do {
        gift.blocks[have] = take(gift.heap, 0, bytes);
        span = span_of(gift.blocks[have]);
        have = have && span != span_of(gift.blocks[0])
                   ? (gift.blocks[0] = gift.blocks[have], 1)
                   : have + 1;
    } while (have < count);
    return span;
}

static uint32_t returned(struct mole_span *span)
{
    return mole_inbox_count(load_acq(&span->inbox_a));
}

/* For workers: the span of a block. */
static uint32_t returned_of(const void *block)
{
    return returned(mole_span_map_find(block));
}

static const char *free_small_ones(struct worker *worker)
{
    settle_in(gift.heap);
    (void)worker;
    for (size_t i = 0; i < MOLE_BATCH_BLOCKS - 1; i++) {
        answer_unless(HeapFree(gift.heap, 0, gift.blocks[i]), "HeapFree failed");
        answer_unless(!HeapValidate(gift.heap, 0, gift.blocks[i]),
                      "a freed block is live until it is handed over");
        answer_unless(returned_of(gift.blocks[0]) == 0, "it was handed over too early");
    }
    answer_unless(HeapFree(gift.heap, 0, gift.blocks[MOLE_BATCH_BLOCKS - 1]),
                  "HeapFree failed");
    answer_unless(returned_of(gift.blocks[0]) == MOLE_BATCH_BLOCKS,
                  "the full batch was not handed over");
    return NULL;
}

Test(batch, it_is_handed_over_with_128_blocks)
{
    begin();
    fill(MOLE_BATCH_BLOCKS, 64);
    uint64_t before = mole_tcache_batches();
    run_workers(1, free_small_ones, NULL);
    require(mole_tcache_batches() == before + 1, "%llu lists were handed over",
            (unsigned long long)(mole_tcache_batches() - before));
}

static const char *free_12_kib(struct worker *worker)
{
    size_t block_bytes = *(size_t *)worker->shared, bytes = 0, count = 0;
    settle_in(gift.heap);
    while (bytes < MOLE_BATCH_BYTES) {
        answer_unless(returned_of(gift.blocks[0]) == 0, "it was handed over too early");
        answer_unless(HeapFree(gift.heap, 0, gift.blocks[count++]), "HeapFree failed");
        bytes += block_bytes;
    }
    answer_unless(returned_of(gift.blocks[0]) == count, "it was not handed over");
    return NULL;
}

Test(batch, it_is_handed_over_with_12_kib)
{
    begin();
    for (size_t bytes = 1024; bytes <= 20480; bytes *= 2) {
        fill(8 < MOLE_BATCH_BYTES / bytes ? MOLE_BATCH_BYTES / bytes : 8, bytes);
        run_workers(1, free_12_kib, &bytes);
    }
}

static struct mole_span *first, *second;

static const char *free_of_two_slabs(struct worker *worker)
{
    (void)worker;
    settle_in(gift.heap);
    HeapFree(gift.heap, 0, gift.blocks[0]);
    HeapFree(gift.heap, 0, gift.blocks[1]);
    answer_unless(returned(first) == 0, "it was handed over too early");
    HeapFree(gift.heap, 0, gift.blocks[2]);
    answer_unless(returned(first) == 2, "the first slab's was not handed over");
    answer_unless(returned(second) == 0, "the second slab's was");
    return NULL;
}

Test(batch, another_slab_of_the_class_takes_its_place)
{
    begin();
    fill(8, 1000);
    void *keep[] = {gift.blocks[0], gift.blocks[1]};
    first = span_of(keep[0]);
    do {
        gift.blocks[2] = take(gift.heap, 0, 1000);
        second = span_of(gift.blocks[2]);
    } while (second == first);
    gift.blocks[0] = keep[0];
    gift.blocks[1] = keep[1];
    require(span_of(keep[1]) == first, "two blocks of one slab were wanted");
    run_workers(1, free_of_two_slabs, NULL);
}

static const char *free_then_flush(struct worker *worker)
{
    (void)worker;
    settle_in(gift.heap);
    for (size_t i = 0; i < 5; i++)
        HeapFree(gift.heap, 0, gift.blocks[i]);
    answer_unless(returned_of(gift.blocks[0]) == 0, "it was handed over too early");
    struct mole_tcache *cache = mole_thread_cache(mole_heap_find(gift.heap));
    answer_unless(cache, "the worker has no cache");
    mole_tcache_flush(cache);
    answer_unless(returned_of(gift.blocks[0]) == 5, "flush left something");
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        answer_unless(!cache->batch[i].span, "a batch is not empty");
    mole_tcache_flush(cache);
    answer_unless(returned_of(gift.blocks[0]) == 5, "a second flush did it again");
    return NULL;
}

Test(batch, flush_hands_everything_over)
{
    begin();
    fill(5, 64);
    run_workers(1, free_then_flush, NULL);
}

/* The list that was handed over, by index; how many. */
static size_t handed_over(const struct mole_span *span, uint32_t *index, size_t most)
{
    uint32_t word = load_acq(&span->inbox_a), at = mole_inbox_first(word);
    size_t count = 0;
    for (; count < most && at != MOLE_END; at = mole_link_get(span, at))
        index[count++] = at;
    return count == mole_inbox_count(word) && at == MOLE_END ? count : 0;
}

enum { SCRAMBLED = 37 }; /* a prime: every place comes once */

static const char *free_scrambled(struct worker *worker)
{
    bool *allocates = worker->shared;
    settle_in(gift.heap);
    for (size_t i = 0; *allocates && i < (size_t)MOLE_MIXED_TIMES + 1; i++)
        answer_unless(HeapAlloc(gift.heap, 0, 64), "no memory");
    size_t freed[SCRAMBLED];
    uint32_t index[SCRAMBLED];
    struct mole_span *span = mole_span_map_find(gift.blocks[0]);
    for (size_t i = 0; i < SCRAMBLED; i++) {
        void *block = gift.blocks[i * 11 % SCRAMBLED];
        answer_unless(mole_span_index(span, block, &freed[i]), "no index");
        answer_unless(HeapFree(gift.heap, 0, block), "HeapFree failed");
    }
    mole_tcache_flush(mole_thread_cache(mole_heap_find(gift.heap)));
    answer_unless(handed_over(span, index, SCRAMBLED) == SCRAMBLED, "not all came");
    for (size_t i = 0; i < SCRAMBLED; i++)
        if (*allocates)
            answer_unless(index[i] == freed[SCRAMBLED - 1 - i], "they were put in order");
        else
            answer_unless(i == 0 || index[i] > index[i - 1], "they are in no order");
    return NULL;
}

Test(batch, of_who_only_frees_is_put_in_the_order_of_the_table)
{
    begin();
    fill(SCRAMBLED, 64);
    run_workers(1, free_scrambled, &(bool){false});
}

Test(batch, of_who_allocates_the_same_is_not)
{
    begin();
    fill(SCRAMBLED, 64);
    run_workers(1, free_scrambled, &(bool){true});
}

static const char *free_without_cache(struct worker *worker)
{
    (void)worker;
    answer_unless(HeapFree(gift.heap, 0, gift.blocks[0]), "HeapFree failed");
    answer_unless(!mole_thread_cache(mole_heap_find(gift.heap)),
                  "it has a cache already");
    answer_unless(returned_of(gift.blocks[0]) == 1, "it is in a batch of nobody's");
    return NULL;
}

Test(batch, a_thread_without_a_cache_hands_each_block_over)
{
    begin();
    fill(2, 64);
    run_workers(1, free_without_cache, NULL);
}

static const char *free_until_kept(struct worker *worker)
{
    (void)worker;
    for (size_t i = 1; i < MOLE_KEEP_AFTER; i++) {
        answer_unless(HeapFree(gift.heap, 0, gift.blocks[i - 1]), "HeapFree failed");
        answer_unless(returned_of(gift.blocks[0]) == i, "a guest's block waits");
    }
    struct mole_heap *heap = mole_heap_find(gift.heap);
    answer_unless(!mole_thread_cache(heap), "it has a cache too early");
    for (size_t i = MOLE_KEEP_AFTER - 1; i < MOLE_KEEP_AFTER + 6; i++) {
        answer_unless(HeapFree(gift.heap, 0, gift.blocks[i]), "HeapFree failed");
        answer_unless(!HeapFree(gift.heap, 0, gift.blocks[i]), "it was freed twice");
        answer_unless(returned_of(gift.blocks[0]) == MOLE_KEEP_AFTER - 1,
                      "each block is still handed over by itself");
    }
    answer_unless(mole_thread_recent(gift.heap) == mole_thread_cache(heap) &&
                      mole_thread_cache(heap)->owner.heap == heap,
                  "the fast path does not find the cache");
    return NULL;
}

Test(batch, a_thread_that_only_frees_has_them_after_some_frees)
{
    begin();
    struct mole_span *span = fill(MOLE_KEEP_AFTER + 6, 64);
    run_workers(1, free_until_kept, NULL);
    require(returned(span) == MOLE_KEEP_AFTER + 6, "%u blocks came back at its end",
            returned(span));
}

static struct {
    struct mole_tcache caches[2];
    atomic_size_t arrived, freed;
} rivals;

/* Both free every block, each when the other is about to. */
static const char *free_as_a_rival(struct worker *worker)
{
    size_t freed = 0;
    for (size_t i = 0; i < MOST; i++) {
        struct mole_span *span = mole_span_map_find(gift.blocks[i]);
        size_t index;
        answer_unless(mole_span_index(span, gift.blocks[i], &index), "no index");
        atomic_fetch_add(&rivals.arrived, 1);
        for (unsigned turns = 0; atomic_load(&rivals.arrived) < 2 * (i + 1); turns++)
            if (turns > 1000)
                mole_thread_yield();
        rivals.caches[worker->index].owner.heap = span->heap;
        freed += mole_tcache_free_remote(&rivals.caches[worker->index], span, index);
    }
    mole_tcache_flush(&rivals.caches[worker->index]);
    atomic_fetch_add(&rivals.freed, freed);
    return NULL;
}

Test(batch, of_two_threads_that_free_a_block_at_once_one_does)
{
    begin();
    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; i < MOST; i++)
            gift.blocks[i] = take(gift.heap, 0, 64);
        atomic_store(&rivals.arrived, 0);
        atomic_store(&rivals.freed, 0);
        run_workers(2, free_as_a_rival, NULL);
        size_t freed = atomic_load(&rivals.freed);
        require(freed == MOST, "%zu of %d blocks were freed", freed, MOST);
    }
    size_t index;
    struct mole_span *span = span_of(gift.blocks[0]);
    require(mole_span_index(span, gift.blocks[0], &index) &&
                !mole_tcache_free_remote(NULL, span, index),
            "a free block was freed");
}

static const char *free_and_end(struct worker *worker)
{
    (void)worker;
    settle_in(gift.heap);
    for (size_t i = 0; i < 7; i++)
        HeapFree(gift.heap, 0, gift.blocks[i]);
    answer_unless(returned_of(gift.blocks[0]) == 0, "it was handed over too early");
    return NULL;
}

Test(batch, a_threads_end_hands_everything_over)
{
    begin();
    struct mole_span *span = fill(7, 64);
    run_workers(1, free_and_end, NULL);
    require(returned(span) == 7, "%u of 7 blocks were handed over", returned(span));
}

Test(batch, blocks_that_were_handed_over_are_allocated_again)
{
    begin();
    fill(7, 64);
    run_workers(1, free_and_end, NULL);
    size_t found = 0;
    for (int i = 0; i < 4000; i++) {
        void *block = take(gift.heap, 0, 64);
        for (size_t j = 0; j < 7; j++)
            found += block == gift.blocks[j];
    }
    require(found == 7, "%zu of 7 blocks came again", found);
}

static const char *free_then_lose_the_heap(struct worker *worker)
{
    (void)worker;
    settle_in(gift.heap);
    HeapFree(gift.heap, 0, gift.blocks[0]);
    return HeapDestroy(gift.heap) ? NULL : "HeapDestroy failed";
}

Test(batch, one_of_a_dead_heap_is_dropped_unread)
{
    begin();
    fill(2, 64);
    uint64_t before = mole_thread_stale_batches();
    uint64_t lists = mole_tcache_batches();
    run_workers(1, free_then_lose_the_heap, NULL);
    require(mole_thread_stale_batches() == before + 1, "it was not counted as stale");
    require(mole_tcache_batches() == lists, "it was handed over");
}
