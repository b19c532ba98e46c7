/* SPDX-License-Identifier: MIT */
/*
 * Blocks on their way home when their heap goes. Thread B has freed blocks of A's, which
 * wait in B's batch; A destroys the heap, and the next heap gets its handle, its record
 * and its memory. What B does then, an operation or its end, must not touch the new heap.
 * Also: what waits in a batch when its thread ends comes home.
 */
#include <semaphore.h>

#include "race.h"
#include "tcache/thread.h"

enum { MOST_BLOCKS = 60 };

struct block {
    char *at;
    size_t bytes;
    uint64_t key;
};

/* Thread B: does what it is told, one thing at a time, and ends when told nothing. */
struct helper {
    sem_t wanted, done;
    void (*what)(struct helper *);
    pthread_t thread;
    uint64_t random;
};

/* What the two threads share; the semaphores order all accesses. */
static HANDLE heap;
static struct block blocks[MOST_BLOCKS];
static size_t block_count;
static size_t freed_by_helper;
static uint64_t main_random;

static void *help(void *argument)
{
    struct helper *helper = argument;
    for (;;) {
        sem_wait(&helper->wanted);
        if (!helper->what)
            return NULL;
        helper->what(helper);
        sem_post(&helper->done);
    }
}

static void start(struct helper *helper)
{
    sem_init(&helper->wanted, 0, 0);
    sem_init(&helper->done, 0, 0);
    helper->random = race_next(&main_random);
    helper->thread = race_thread(help, helper);
}

static void tell(struct helper *helper, void (*what)(struct helper *))
{
    helper->what = what;
    sem_post(&helper->wanted);
    if (what)
        sem_wait(&helper->done);
}

static void end(struct helper *helper)
{
    tell(helper, NULL);
    race_join(helper->thread);
}

static void spin(uint64_t *random, size_t most)
{
    for (size_t n = race_below(random, most); n; n--)
        atomic_signal_fence(memory_order_seq_cst);
}

/*
 * Fill the heap with blocks of few sizes, so that slabs lie where they lay in the heap
 * before.
 */
static void fill(void)
{
    block_count = 20 + race_below(&main_random, MOST_BLOCKS - 20);
    for (size_t i = 0; i < block_count; i++) {
        struct block *block = &blocks[i];
        block->bytes = race_below(&main_random, 3) * 32 + 33;
        block->key = race_next(&main_random);
        block->at = HeapAlloc(heap, 0, block->bytes);
        race_require(block->at != NULL, "no memory");
        race_stamp(block->at, block->bytes, block->key);
    }
}

static bool is_intact(const struct block *block)
{
    return race_is_stamped(block->at, block->bytes, block->key) &&
           HeapSize(heap, 0, block->at) == block->bytes;
}

/* The heap has exactly the blocks it should have, and goes on working. */
static void verify(void)
{
    size_t bytes = 0;
    for (size_t i = 0; i < block_count; i++) {
        bytes += blocks[i].at ? blocks[i].bytes : 0;
        race_require(!blocks[i].at || is_intact(&blocks[i]), "block %zu was disturbed",
                     i);
    }
    race_require(race_allocated(heap) == bytes, "the heap holds %zu bytes, not %zu",
                 race_allocated(heap), bytes);
}

static void churn(void)
{
    for (size_t steps = 0; steps < 200; steps++) {
        struct block *block = &blocks[race_below(&main_random, block_count)];
        if (block->at) {
            race_require(is_intact(block), "a block was disturbed");
            race_require(HeapFree(heap, 0, block->at), "HeapFree refused %p",
                         (void *)block->at);
            block->at = NULL;
        } else {
            block->at = HeapAlloc(heap, 0, block->bytes);
            race_require(block->at != NULL, "no memory");
            race_stamp(block->at, block->bytes, block->key);
        }
    }
}

/* Use the heap so often that the thread keeps a cache there. */
static void settle(struct helper *helper)
{
    (void)helper;
    for (size_t i = 0; i < 2 * MOLE_KEEP_AFTER; i++) {
        void *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 100);
        race_require(block && HeapFree(heap, 0, block), "the heap does not work");
    }
}

/* Free some of A's blocks: few enough to wait in the batch. */
static void free_some(struct helper *helper)
{
    for (size_t i = 0; i < block_count; i++) {
        if (!blocks[i].at || race_below(&helper->random, 2))
            continue;
        race_require(is_intact(&blocks[i]), "a block was disturbed on its way");
        race_require(HeapFree(heap, 0, blocks[i].at), "HeapFree refused a live block");
        blocks[i].at = NULL;
        freed_by_helper++;
    }
}

static void free_all(struct helper *helper)
{
    (void)helper;
    for (size_t i = 0; i < block_count; i++)
        if (blocks[i].at && HeapFree(heap, 0, blocks[i].at)) {
            blocks[i].at = NULL;
            freed_by_helper++;
        }
}

/*
 * Let records of other kinds come and go, so that none of the old heap's stays as it was.
 */
static void recycle_records(void)
{
    enum { MANY = 300 };
    static void *others[MANY];
    HANDLE other = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < MANY; i++)
        others[i] = HeapAlloc(other, 0, 20 + i * 100);
    for (size_t i = 0; i < MANY; i += 2)
        race_require(HeapFree(other, 0, others[i]), "HeapFree failed");
    race_require(HeapDestroy(other), "HeapDestroy failed");
}

/*
 * A heap with this very handle, and with the record of the heap that was destroyed last,
 * if it can be had: records and free runs are taken in the reverse order of their return.
 */
static HANDLE create_with_handle(DWORD flags, HANDLE wanted)
{
    enum { TRIES = 8 };
    HANDLE tried[TRIES];
    size_t count = 0;
    do
        tried[count] = HeapCreate(flags, 0, 0);
    while (tried[count++] != wanted && count < TRIES);
    while (count-- > 0)
        race_require(HeapDestroy(tried[count]), "HeapDestroy failed");
    return HeapCreate(flags, 0, 0);
}

/* One heap goes, the next one comes. Returns whether it got the same handle. */
static bool replace_heap(bool recycles, DWORD flags)
{
    HANDLE old = heap;
    race_require(HeapDestroy(heap), "HeapDestroy failed");
    if (recycles)
        recycle_records();
    heap = create_with_handle(flags, old);
    race_require(heap != NULL, "HeapCreate failed");
    fill();
    return heap == old;
}

static unsigned reused_handles, rounds_with_end;

/* B stays, and goes on in the new heap with whatever it remembers of the old one. */
static void round_with_operation(struct helper *helper)
{
    fill();
    tell(helper, settle);
    tell(helper, free_some);
    DWORD flags = race_below(&main_random, 4) ? 0 : HEAP_NO_SERIALIZE;
    reused_handles += replace_heap(race_below(&main_random, 2), flags);
    tell(helper, race_below(&main_random, 2) ? settle : free_some);
    verify();
    tell(helper, free_some);
    churn();
    verify();
}

/* B ends: before the heap goes, while it goes, or after the next one came. */
static void round_with_end(void)
{
    struct helper helper = {0};
    fill();
    start(&helper);
    tell(&helper, settle);
    tell(&helper, free_some);
    helper.what = NULL;
    switch (race_below(&main_random, 3)) {
    case 0:
        reused_handles += replace_heap(race_below(&main_random, 2), 0);
        rounds_with_end++;
        sem_post(&helper.wanted);
        race_join(helper.thread);
        break;
    case 1:
        sem_post(&helper.wanted);
        spin(&main_random, 200000);
        reused_handles += replace_heap(false, 0);
        race_join(helper.thread);
        break;
    default:
        sem_post(&helper.wanted);
        race_join(helper.thread);
        verify();
        reused_handles += replace_heap(true, 0);
        break;
    }
    verify();
    churn();
    verify();
}

/* Blocks that wait in the batch of a thread that ends come back to their slab. */
static void round_with_drain(void)
{
    char *before[MOST_BLOCKS] = {NULL};
    struct helper helper = {0};
    block_count = 8; /* fewer than fill a batch, and of a size whose pages hold few */
    for (size_t i = 0; i < block_count; i++) {
        blocks[i] = (struct block){.at = HeapAlloc(heap, 0, 1400), .bytes = 1400};
        race_stamp(blocks[i].at, 1400, 0);
        before[i] = blocks[i].at;
    }
    start(&helper);
    tell(&helper, settle);
    tell(&helper, free_all);
    end(&helper);
    size_t same = 0;
    for (size_t i = 0; i < block_count; i++) {
        blocks[i].at = HeapAlloc(heap, 0, 1400);
        race_stamp(blocks[i].at, 1400, 0);
        for (size_t old = 0; old < block_count; old++)
            same += before[old] == blocks[i].at;
    }
    race_case(same + 3 >= block_count,
              "only %zu of %zu blocks came back from a thread that ended", same,
              block_count);
    tell((start(&helper), &helper), free_all);
    end(&helper);
}

int main(void)
{
    race_begin("batch");
    main_random = race_seed;
    (void)mh_configure("purger:calls"); /* nobody else hands batches over */
    struct mh_stats before = race_stats();
    struct helper helper = {0};
    start(&helper);
    size_t rounds = race_size(3000, 400, 60);
    for (size_t i = 0; i < rounds && !atomic_load(&race_failed); i++) {
        heap = HeapCreate(0, 0, 0);
        if (i % 3 == 0)
            round_with_operation(&helper);
        else if (i % 16 == 1)
            round_with_drain();
        else
            round_with_end();
        race_require(HeapDestroy(heap), "HeapDestroy failed");
    }
    end(&helper);
    struct mh_stats after = race_stats();
    unsigned long long stale = after.stale_batches - before.stale_batches;
    printf("%zu rounds, %u with the same handle, %u with an end afterwards; %zu blocks "
           "freed remotely, %llu stale\n",
           rounds, reused_handles, rounds_with_end, freed_by_helper, stale);
    race_case(!atomic_load(&race_failed), "see above");
    race_case(stale >= rounds_with_end,
              "%u threads ended with a batch of a dead heap, %llu "
              "stale batches were counted",
              rounds_with_end, stale);
    race_case(rounds_with_end >= rounds / 20,
              "exercised too little: %u rounds with an end", rounds_with_end);
    race_case(reused_handles >= rounds / 4, "exercised too little: %u handles reused",
              reused_handles);
    race_case(freed_by_helper >= rounds * 4, "exercised too little: %zu remote frees",
              freed_by_helper);
    race_case(after.heaps == before.heaps, "%llu heaps are left",
              (unsigned long long)(after.heaps - before.heaps));
    return race_end();
}
