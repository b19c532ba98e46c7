/* SPDX-License-Identifier: MIT */
/* Batches of malloc's blocks (tcache/batch.h): a worker frees the test's. */
#include "tcache/batch.h"

#include "tcache/thread.h"
#include "unit.h"

enum { MOST = 512 };

static void *blocks[MOST];
static struct mole_span *first, *second;

static uint32_t returned(struct mole_span *span)
{
    return mole_inbox_count(load_acq(&span->inbox_a));
}

static uint32_t returned_of(const void *block)
{
    return returned(mole_span_map_find(block));
}

static const char *free_mallocs(struct worker *worker)
{
    (void)worker;
    uint32_t before = returned_of(blocks[0]);
    for (size_t i = 0; i < MOLE_KEEP_AFTER - 1; i++)
        mh_free(blocks[i]);
    answer_unless(mole_tls.malloc_cache == &mole_tcache_idle, "a cache too early");
    answer_unless(returned_of(blocks[0]) == before + MOLE_KEEP_AFTER - 1,
                  "a guest's block waits");
    for (size_t i = MOLE_KEEP_AFTER - 1; i < MOLE_KEEP_AFTER + 6; i++)
        mh_free(blocks[i]);
    answer_unless(mole_tls.malloc_cache == mole_tls.thread->malloc_cache &&
                      mole_tls.malloc_cache,
                  "it got no cache");
    answer_unless(returned_of(blocks[0]) == before + MOLE_KEEP_AFTER - 1,
                  "each block is still handed over by itself");
    return NULL;
}

/* So many of one slab, which keeps the others. */
static void fill_with_mallocs(size_t count)
{
    size_t have = 0;
    for (size_t i = 0; have < count; i++) {
        require(i < MOST, "no slab has enough blocks");
        blocks[have] = mh_malloc(64);
        require(blocks[have], "no memory");
        if (span_of(blocks[have]) != span_of(blocks[0]))
            blocks[0] = blocks[have], have = 0;
        have++;
    }
}

Test(batch_malloc, a_thread_that_only_frees_has_them_too)
{
    stop_passes();
    fill_with_mallocs(MOLE_KEEP_AFTER + 6);
    run_workers(1, free_mallocs, NULL);
}

static const char *free_a_batch_of_mallocs(struct worker *worker)
{
    (void)worker;
    mh_free(mh_malloc(1000)); /* it has a cache from here on */
    uint32_t before = returned_of(blocks[0]);
    uint64_t frees = mole_tcache_frees(mole_tls.malloc_cache);
    for (size_t i = 0; i < MOLE_BATCH_BLOCKS - 1; i++) {
        mh_free(blocks[i]);
        answer_unless(returned_of(blocks[0]) == before, "it went too early");
    }
    mh_free(blocks[MOLE_BATCH_BLOCKS - 1]);
    answer_unless(returned_of(blocks[0]) == before + MOLE_BATCH_BLOCKS,
                  "it was not handed over");
    answer_unless(mole_tcache_frees(mole_tls.malloc_cache) == frees + MOLE_BATCH_BLOCKS,
                  "not all frees were counted");
    return NULL;
}

Test(batch_malloc, they_are_handed_over_by_128)
{
    stop_passes();
    fill_with_mallocs(MOLE_BATCH_BLOCKS);
    run_workers(1, free_a_batch_of_mallocs, NULL);
}

static const char *free_mallocs_of_two_slabs(struct worker *worker)
{
    (void)worker;
    mh_free(mh_malloc(1000));
    for (size_t i = 0; i < 3; i++)
        mh_free(blocks[i]);
    answer_unless(returned(first) == 2, "the first slab's was not handed over");
    answer_unless(returned(second) == 0, "the second slab's was handed over");
    return NULL;
}

Test(batch_malloc, another_slab_takes_its_place)
{
    stop_passes();
    fill_with_mallocs(2);
    first = span_of(blocks[0]);
    do {
        blocks[2] = mh_malloc(64);
        second = span_of(blocks[2]);
    } while (second == first);
    run_workers(1, free_mallocs_of_two_slabs, NULL);
}
