/* SPDX-License-Identifier: MIT */
/*
 * Sampling: how many blocks are picked, that what comes later comes for just these, and
 * that they are blocks like any other. Amounts are fixed, and the bounds six standard
 * deviations wide.
 */
#include <molehill/molehill.h>

#include "sampler.h"
#include "workers.h"

static struct sampler first, second;

enum { MEAN = 4096 };

static size_t tries(size_t bytes)
{
    size_t most = bytes <= 100000 ? 40000 : 4000;
    return repeats(most) < 1000 ? 1000 : repeats(most);
}

HEAP_CASE(spy_sample, blocks_are_picked_by_their_bytes)
{
    static const size_t sizes[] = {1, 16, 64, 200, 1024, 2000, MEAN, 3 * MEAN, 40000};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t bytes = sizes[i], count = tries(bytes);
        begin_sampler(&first, MEAN, heap);
        for (size_t j = 0; j < count; j++)
            give_back(heap, take(heap, 0, bytes));
        detach(&first.spy);
        expect_right(&first);
        require(first.freed == first.allocated, "%zu blocks did not go", first.live);
        require(first.told_bytes == first.allocated * bytes, "other sizes were told");
        expect_share(first.allocated, count, share_of(bytes, MEAN), "picked");
    }
}

HEAP_CASE(spy_sample, an_empty_block_is_never_picked)
{
    begin_sampler(&first, 1, heap);
    for (size_t i = 0; i < 1000; i++)
        give_back(heap, take(heap, 0, 0));
    require(first.allocated == 0, "%zu empty blocks were picked", first.allocated);
    give_back(heap, take(heap, 0, 100));
    require(first.allocated == 1, "a hundred bytes at one in one were not picked");
    detach(&first.spy);
}

/* Sizes drawn at random, all of one thread: the sum is what counts. */
HEAP_CASE(spy_sample, mixed_sizes_are_picked_by_their_bytes_too)
{
    double mean = 0, variance = 0;
    unsigned long random = 1;
    begin_sampler(&first, MEAN, heap);
    for (size_t i = 0; i < tries(0); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t bytes = (random >> 40) % (i % 100 ? 300 : 60000);
        double share = share_of(bytes, MEAN);
        mean += share;
        variance += share * (1 - share);
        give_back(heap, take(heap, i % 3 ? 0 : HEAP_ZERO_MEMORY, bytes));
    }
    detach(&first.spy);
    expect_right(&first);
    require(fabs((double)first.allocated - mean) <= 6 * sqrt(variance) + 1,
            "%zu picked, not %.1f", first.allocated, mean);
}

/* Each hears of its own share, and of its own blocks only. */
HEAP_CASE(spy_sample, two_samplers_have_each_their_rate)
{
    enum { RARE = 10 * MEAN };
    static const size_t sizes[] = {100, MEAN, 3 * RARE};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t bytes = sizes[i], count = tries(bytes);
        begin_sampler(&first, RARE, MH_SPY_ALL);
        begin_sampler(&second, MEAN, heap);
        for (size_t j = 0; j < count; j++)
            give_back(heap, take(heap, 0, bytes));
        detach(&first.spy);
        detach(&second.spy);
        expect_right(&first);
        expect_right(&second);
        require(!first.live && !second.live, "blocks did not go");
        expect_share(first.allocated, count, share_of(bytes, RARE), "the rarer one");
        expect_share(second.allocated, count, share_of(bytes, MEAN), "the other one");
    }
}

/* A block that grows from 0 to `bytes` in steps is picked like one of `bytes`. */
static void grow_in_steps(HANDLE heap, size_t bytes, size_t step)
{
    void *block = take(heap, 0, 0);
    for (size_t size = step; size <= bytes; size += step) {
        block = HeapReAlloc(heap, 0, block, size);
        require(block != NULL, "HeapReAlloc failed");
        require(!first.wrong && !second.wrong, "%zu bytes: %s", size,
                first.wrong ? first.wrong : second.wrong);
    }
    give_back(heap, block);
}

HEAP_CASE(spy_sample, each_byte_that_a_block_grows_by_has_the_same_chance)
{
    enum { BYTES = 16 * MEAN, STEP = MEAN / 4, RARE = 32 * MEAN };
    size_t count = tries(BYTES) / 40;
    begin_sampler(&first, MEAN * 4, heap);
    begin_sampler(&second, RARE, heap);
    for (size_t i = 0; i < count; i++)
        grow_in_steps(heap, BYTES, STEP);
    detach(&first.spy);
    detach(&second.spy);
    expect_right(&first);
    expect_right(&second);
    expect_share(first.freed, count, share_of(BYTES, MEAN * 4), "the more frequent one");
    expect_share(second.freed, count, share_of(BYTES, RARE), "the rarer one");
}

/* Many threads with few allocations each, none of which has a cache of its own. */
enum { GUESTS = 60, GUEST_BLOCKS = 10 };

static atomic_size_t guests_heard;

static void count_guest(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    (void)heap;
    (void)block;
    (void)bytes;
    atomic_fetch_add(&guests_heard, 1);
}

static const char *be_a_guest(struct worker *worker)
{
    for (size_t i = 0; i < GUEST_BLOCKS; i++)
        if (!HeapFree(worker->shared, 0, HeapAlloc(worker->shared, 0, MEAN / 2)))
            return "a pair failed";
    return NULL;
}

HEAP_CASE(spy_sample, threads_that_hardly_allocate_are_sampled_too)
{
    const struct mh_spy spy = {
        .size = sizeof spy, .sample_bytes = MEAN, .allocated = count_guest};
    attach(&spy, heap);
    run_workers(GUESTS, be_a_guest, heap);
    detach(&spy);
    expect_share(atomic_load(&guests_heard), (size_t)GUESTS * GUEST_BLOCKS,
                 share_of(MEAN / 2, MEAN), "picked");
}

/*
 * With one byte in one on average, so many are picked for certain: the chance that they
 * are not is e^-64.
 */
enum { CERTAIN = 64 };

/* Every picked block is one like any other: contents, size, resizes. */
static void use_picked(HANDLE heap, DWORD flags, size_t bytes, size_t next)
{
    void *block = take(heap, flags, bytes);
    bool is_picked = heard_of(&first, block);
    require(bytes < CERTAIN || is_picked, "%zu bytes were not picked", bytes);
    require(!(flags & HEAP_ZERO_MEMORY) || is_all_zero(block, 0, bytes), "not zeroed");
    require((uintptr_t)block % 16 == 0, "not aligned");
    require(HeapSize(heap, 0, block) == bytes, "HeapSize of %zu bytes", bytes);
    require(mh_usable_size(heap, block) >= bytes, "usable size of %zu bytes", bytes);
    require(HeapValidate(heap, 0, block), "HeapValidate");
    require(!HeapFree(heap, 0, (char *)block + 1), "an interior pointer was freed");
    mark(block, bytes, bytes);
    void *now = HeapReAlloc(heap, flags, block, next);
    if (!now) {
        require(flags & HEAP_REALLOC_IN_PLACE_ONLY, "HeapReAlloc failed");
        require(heard_of(&first, block) == is_picked, "a failed resize was told of");
        now = block, next = bytes;
    }
    require(HeapSize(heap, 0, now) == next, "HeapSize of %zu bytes", next);
    require(is_marked(now, bytes < next ? bytes : next, bytes), "contents of %zu", bytes);
    require(!(flags & HEAP_ZERO_MEMORY) || is_all_zero(now, bytes, next), "not cleared");
    require(heard_of(&first, now) || !is_picked, "the mark is lost");
    /* But a small block that grows in place cannot get pages of its own. */
    require(heard_of(&first, now) || next < bytes + CERTAIN ||
                (flags & HEAP_REALLOC_IN_PLACE_ONLY),
            "growth from %zu to %zu was not picked", bytes, next);
    is_picked = heard_of(&first, now);
    memset(now, 0x11, next);
    size_t freed = first.freed;
    give_back(heap, now);
    require(first.freed == freed + is_picked, "HeapFree told %zu", first.freed - freed);
    require(!HeapFree(heap, 0, now), "it was freed twice");
    require(!first.wrong, "%zu to %zu: %s", bytes, next, first.wrong);
}

HEAP_CASE(spy_sample, picked_blocks_keep_their_mark_and_work)
{
    static const DWORD flags[] = {0, HEAP_ZERO_MEMORY, HEAP_REALLOC_IN_PLACE_ONLY,
                                  HEAP_REALLOC_IN_PLACE_ONLY | HEAP_ZERO_MEMORY};
    begin_sampler(&first, 1, heap);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 0; j < LENGTH(spied_sizes); j++)
            for (size_t k = 0; k < LENGTH(flags); k++) {
                use_picked(heap, flags[k], spied_sizes[i], spied_sizes[j]);
                use_picked(heap, flags[k], spied_sizes[i], spied_sizes[i] + j);
            }
    detach(&first.spy);
    require(first.reallocated > 100, "only %zu resizes", first.reallocated);
    expect_right(&first);
}

/* A block that is picked as it grows comes to the sampler as a new one. */
HEAP_CASE(spy_sample, a_block_picked_by_its_growth_comes_as_a_new_one)
{
    void *block = take(heap, 0, 200);
    mark(block, 200, 9);
    begin_sampler(&first, 1, heap);
    block = HeapReAlloc(heap, 0, block, 5000);
    require(first.allocated == 1 && first.reallocated == 0, "%zu came, %zu changed",
            first.allocated, first.reallocated);
    require(heard_of(&first, block) && first.told_bytes == 5000, "another block came");
    require(is_marked(block, 200, 9), "the contents are lost");
    give_back(heap, block);
    require(first.freed == 1, "it did not go");
    detach(&first.spy);
}

/* One that was not picked goes, shrinks and stays unheard. */
HEAP_CASE(spy_sample, nothing_is_told_of_other_blocks)
{
    void *older[LENGTH(spied_sizes)];
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        older[i] = take(heap, 0, spied_sizes[i]);
    begin_sampler(&first, (size_t)1 << 60, heap);
    for (size_t turn = 0; turn < 40; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            void *block = take(heap, 0, spied_sizes[i]);
            block = HeapReAlloc(heap, 0, block, spied_sizes[i] / 2);
            give_back(heap, HeapReAlloc(heap, 0, block, 3000));
        }
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        give_back(heap, HeapReAlloc(heap, 0, older[i], spied_sizes[i] / 4));
    detach(&first.spy);
    require(first.allocated + first.freed + first.reallocated == 0, "it heard of %zu",
            first.allocated + first.freed + first.reallocated);
}

/* Later samplers, which get the same place among the marks, hear nothing of them. */
HEAP_CASE(spy_sample, a_later_sampler_hears_of_no_earlier_block)
{
    enum { BLOCKS = 60, TURNS = 50 };
    void *blocks[TURNS][BLOCKS];
    for (size_t turn = 0; turn < TURNS; turn++) {
        begin_sampler(&first, 1, heap);
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[turn][i] = take(heap, 0, CERTAIN + i * 100);
        detach(&first.spy);
        require(first.allocated == BLOCKS && !first.freed, "it heard of %zu",
                first.allocated);
    }
    begin_sampler(&first, (size_t)1 << 60, heap);
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < BLOCKS; i++) {
            void *block = blocks[turn][i];
            if (i % 3 == 0)
                block = HeapReAlloc(heap, 0, block, i * 50);
            if (i % 3 == 1)
                block = HeapReAlloc(heap, 0, block, i * 300);
            require(block &&
                        HeapSize(heap, 0, block) == (i % 3 == 0   ? i * 50
                                                     : i % 3 == 1 ? i * 300
                                                                  : CERTAIN + i * 100),
                    "a block of an earlier sample does not work");
            give_back(heap, block);
        }
    detach(&first.spy);
    require(first.allocated + first.freed + first.reallocated == 0, "it heard of %zu",
            first.allocated + first.freed + first.reallocated);
}

/* The first hears of its blocks only, whoever comes and goes beside it. */
HEAP_CASE(spy_sample, an_earlier_sampler_hears_of_its_blocks_to_their_end)
{
    enum { BLOCKS = 200 };
    void *blocks[BLOCKS];
    begin_sampler(&first, 1, heap);
    for (size_t i = 0; i < BLOCKS / 2; i++)
        blocks[i] = take(heap, 0, CERTAIN + i * 50);
    begin_sampler(&second, 1, heap);
    for (size_t i = BLOCKS / 2; i < BLOCKS; i++)
        blocks[i] = take(heap, 0, CERTAIN + i * 50);
    for (size_t i = 0; i < BLOCKS; i += 2)
        give_back(heap, blocks[i]);
    require(first.allocated == BLOCKS && second.allocated == BLOCKS / 2, "%zu and %zu",
            first.allocated, second.allocated);
    require(first.freed == BLOCKS / 2 && second.freed == BLOCKS / 4, "%zu and %zu went",
            first.freed, second.freed);
    detach(&second.spy);
    for (size_t i = 1; i < BLOCKS; i += 2)
        give_back(heap, blocks[i]);
    detach(&first.spy);
    expect_right(&first);
    expect_right(&second);
    require(first.freed == BLOCKS && second.freed == BLOCKS / 4, "%zu and %zu went",
            first.freed, second.freed);
}

/* A spy that wants all hears of all, each once, the picked ones among them. */
HEAP_CASE(spy_sample, a_spy_of_all_beside_a_sampler_hears_of_all)
{
    static struct notes notes;
    begin_notes(&notes, heap);
    begin_sampler(&first, MEAN, heap);
    for (size_t i = 0; i < 1000; i++) {
        forget_notes(&notes);
        size_t bytes = i * 10;
        void *old = take(heap, 0, bytes);
        void *block = HeapReAlloc(heap, 0, old, bytes / 2 + 2500);
        give_back(heap, block);
        expect_count(&notes, 3, "three calls");
        expect_told(&notes, 0, (struct told){ALLOCATED, heap, old, bytes, NULL, 0});
        expect_told(
            &notes, 1,
            (struct told){REALLOCATED, heap, block, bytes / 2 + 2500, old, bytes});
        expect_told(&notes, 2,
                    (struct told){FREED, heap, block, bytes / 2 + 2500, NULL, 0});
    }
    require(first.allocated > 300, "the sampler heard of %zu", first.allocated);
    detach(&first.spy);
    end_notes(&notes);
    expect_right(&first);
}

static SIZE_T committed(HANDLE heap)
{
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    return summary.cbCommitted;
}

/* The pages of picked blocks come back with them. */
Test(spy_sample, the_memory_of_picked_blocks_comes_back)
{
    enum { BLOCKS = 300 };
    static void *blocks[BLOCKS];
    HANDLE heap = create_heap(0);
    SIZE_T after_first = 0;
    begin_sampler(&first, 1, heap);
    for (size_t turn = 0; turn < 8; turn++) {
        for (size_t i = 0; i < BLOCKS; i++)
            blocks[i] = take(heap, 0, CERTAIN + i);
        require(committed(heap) > (SIZE_T)BLOCKS << 12,
                "they have no pages of their own");
        for (size_t i = 0; i < BLOCKS; i++)
            give_back(heap, blocks[i]);
        require(allocated_bytes(heap) == 0, "%zu bytes are left", allocated_bytes(heap));
        if (turn == 0)
            after_first = committed(heap);
        require(committed(heap) <= after_first, "%zu bytes after, %zu before",
                committed(heap), after_first);
    }
    require(after_first < (SIZE_T)BLOCKS << 12, "%zu bytes stay", after_first);
    detach(&first.spy);
    destroy_heap(heap);
}

/* Allocated by one thread, freed by another: told once, by the one that frees. */
enum { REMOTE = 500 };

static void *remote_blocks[REMOTE];

static const char *allocate_there(struct worker *worker)
{
    for (size_t i = 0; i < REMOTE; i++)
        if (!(remote_blocks[i] = HeapAlloc(worker->shared, 0, 40 + i)))
            return "no block";
    return NULL;
}

HEAP_CASE(spy_sample, picked_blocks_are_told_of_wherever_they_are_freed)
{
    begin_sampler(&first, 200, heap);
    run_workers(1, allocate_there, heap);
    size_t picked = first.allocated;
    require(picked > REMOTE / 8 && picked < REMOTE, "%zu were picked", picked);
    for (size_t i = 0; i < REMOTE; i++) {
        bool is_picked = heard_of(&first, remote_blocks[i]);
        size_t freed = first.freed;
        give_back(heap, remote_blocks[i]);
        require(first.freed == freed + is_picked, "a block was told of %zu times",
                first.freed - freed);
    }
    detach(&first.spy);
    expect_right(&first);
    require(first.live == 0 && first.freed == picked, "%zu did not go", first.live);
}
