/* SPDX-License-Identifier: MIT */
/*
 * Two hundred thousand threads, 32 at a time: some allocate, some only free what others
 * left behind, some allocate and free in destructors of thread-specific data that run
 * after molehill's own. Memory must not grow with the number of threads, and their caches
 * must be taken over.
 */
#include <limits.h>

#include "arena/meta.h"
#include "arena/region.h"
#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum { AT_ONCE = 32, LEFT = 256, KINDS = 8, ROUNDS = 4 };
static_assert(ROUNDS <= PTHREAD_DESTRUCTOR_ITERATIONS, "destructors may come so often");

/* A block somebody left for somebody else; its size is in its first word. */
static _Atomic(size_t *) left_malloc[LEFT];
static _Atomic(size_t *) left_heap[LEFT];
static HANDLE heap;
static pthread_key_t keys[3];
static atomic_ullong late_calls, left_blocks;

/* What a thread's destructors work on. */
struct late {
    unsigned round;
    size_t *block;
};

static void *checked(void *block)
{
    race_require(block != NULL, "no memory");
    return block;
}

static size_t *stamped(size_t *block, size_t bytes)
{
    checked(block);
    block[0] = bytes;
    race_stamp(block + 1, bytes - sizeof *block, bytes);
    return block;
}

static void verify(const size_t *block)
{
    race_require(race_is_stamped(block + 1, block[0] - sizeof *block, block[0]),
                 "a block was disturbed");
}

static void free_malloc(size_t *block)
{
    if (!block)
        return;
    verify(block);
    mh_free(block);
}

static void free_heap(size_t *block)
{
    if (!block)
        return;
    verify(block);
    race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
}

static size_t some_bytes(uint64_t *random)
{
    return sizeof(size_t) + race_below(random, 2000);
}

static void allocate_and_free(uint64_t *random)
{
    size_t *blocks[20];
    for (size_t i = 0; i < 20; i++)
        blocks[i] = stamped(mh_malloc(3000), some_bytes(random));
    for (size_t i = 0; i < 20; i++)
        free_malloc(blocks[i]);
}

static void leave_behind(uint64_t *random)
{
    for (size_t i = 0; i < 8; i++) {
        size_t bytes = some_bytes(random);
        free_malloc(atomic_exchange(&left_malloc[race_below(random, LEFT)],
                                    stamped(mh_malloc(bytes), bytes)));
        free_heap(atomic_exchange(&left_heap[race_below(random, LEFT)],
                                  stamped(HeapAlloc(heap, 0, bytes), bytes)));
        atomic_fetch_add(&left_blocks, 2);
    }
}

/* Such a thread never allocates. */
static void only_free(uint64_t *random)
{
    for (size_t i = 0; i < 16; i++) {
        free_malloc(atomic_exchange(&left_malloc[race_below(random, LEFT)], NULL));
        free_heap(atomic_exchange(&left_heap[race_below(random, LEFT)], NULL));
    }
}

static void use_heap(uint64_t *random)
{
    for (size_t i = 0; i < 3 * MOLE_KEEP_AFTER; i++) {
        size_t bytes = some_bytes(random);
        free_heap(stamped(HeapAlloc(heap, HEAP_ZERO_MEMORY, bytes), bytes));
    }
}

static void use_own_heap(uint64_t *random)
{
    HANDLE own = HeapCreate(race_below(random, 2) ? HEAP_NO_SERIALIZE : 0, 0, 0);
    checked(own);
    for (size_t i = 0; i < 10; i++)
        stamped(HeapAlloc(own, 0, 3000), some_bytes(random));
    race_require(HeapDestroy(own), "HeapDestroy failed");
}

static void use_large(uint64_t *random)
{
    size_t *block = stamped(mh_malloc(200000), 1000);
    block = checked(mh_realloc(block, 100000 + race_below(random, 400000)));
    free_malloc(block);
}

/*
 * Set itself again each time, so that the later rounds come after molehill's own
 * destructor.
 */
static void run_late(void *argument)
{
    struct late *late = argument;
    free_malloc(late->block);
    free_heap(stamped(HeapAlloc(heap, 0, 100), 100));
    uint64_t random = late->round;
    only_free(&random);
    atomic_fetch_add(&late_calls, 1);
    late->block = NULL;
    if (++late->round < ROUNDS) {
        late->block = stamped(mh_malloc(500), 500);
        pthread_setspecific(keys[late->round % 3], late);
    } else {
        mh_free(late);
    }
}

static void end_late(bool allocates_before)
{
    if (allocates_before)
        mh_free(checked(mh_malloc(10)));
    struct late *late = checked(mh_calloc(1, sizeof *late));
    pthread_setspecific(keys[0], late);
}

static void *live(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    switch ((uintptr_t)argument % KINDS) {
    case 0:
        allocate_and_free(&random);
        break;
    case 1:
    case 2:
        leave_behind(&random);
        break;
    case 3:
        only_free(&random);
        break;
    case 4:
        use_heap(&random);
        break;
    case 5:
        use_own_heap(&random);
        break;
    case 6:
        use_large(&random);
        break;
    default:
        end_late((uintptr_t)argument & KINDS);
        break;
    }
    return NULL;
}

static void run_threads(size_t from, size_t to)
{
    pthread_t threads[AT_ONCE];
    for (size_t i = from; i < to; i++) {
        if (i - from >= AT_ONCE)
            race_join(threads[i % AT_ONCE]);
        threads[i % AT_ONCE] = race_thread(live, (void *)i);
    }
    for (size_t i = to - AT_ONCE; i < to; i++)
        race_join(threads[i % AT_ONCE]);
}

static pthread_barrier_t all_met;

/*
 * Hold blocks of many sizes in both heaps while all the others do. Large ones too: as
 * many threads as ever use them at once hold one of each size use_large may ask for, the
 * others what their caches may keep.
 */
static void *meet(void *index)
{
    enum { BLOCKS = 64, STEP = 64, LARGE = 10, KEPT = 6, LARGE_STEP = 60000 };
    size_t *of_malloc[BLOCKS];
    size_t *of_heap[BLOCKS];
    size_t *large[LARGE];
    size_t larges = (uintptr_t)index < AT_ONCE / KINDS ? LARGE : KEPT;
    for (size_t i = 0; i < BLOCKS; i++) {
        of_malloc[i] = checked(mh_malloc((i + 1) * STEP));
        of_heap[i] = checked(HeapAlloc(heap, 0, (i + 1) * STEP));
    }
    for (size_t i = 0; i < larges; i++)
        large[i] = checked(mh_malloc((i + 1) * LARGE_STEP));
    pthread_barrier_wait(&all_met);
    for (size_t i = 0; i < BLOCKS; i++) {
        mh_free(of_malloc[i]);
        HeapFree(heap, 0, of_heap[i]);
    }
    for (size_t i = 0; i < larges; i++)
        mh_free(large[i]);
    return NULL;
}

/* As many threads at once as there ever are: what they need is no growth later. */
static void meet_all(void)
{
    pthread_t threads[AT_ONCE];
    pthread_barrier_init(&all_met, NULL, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++)
        threads[i] = race_thread(meet, (void *)i);
    for (size_t i = 0; i < AT_ONCE; i++)
        race_join(threads[i]);
    pthread_barrier_destroy(&all_met);
}

/*
 * Memory that belongs to runs and records, in use or free; what is committed grows by
 * more at once. It is the most that ever came together, so it also grows, ever more
 * seldom, when threads meet as they have not before: the first half is for that.
 */
static size_t held_bytes(void)
{
    return mole_region_taken() + mole_meta_committed(MOLE_META_RECORDS) +
           mole_meta_committed(MOLE_META_PAGES);
}

static void tear_down(void)
{
    for (size_t i = 0; i < LEFT; i++) {
        free_malloc(atomic_load(&left_malloc[i]));
        free_heap(atomic_load(&left_heap[i]));
    }
    race_case(race_allocated(heap) == 0, "the heap holds %zu bytes",
              race_allocated(heap));
    race_case(mole_process_malloc_bytes() == 0, "malloc holds %zu bytes",
              mole_process_malloc_bytes());
    race_case(HeapDestroy(heap), "HeapDestroy failed");
}

int main(void)
{
    enum { MIB = 1 << 20 };
    race_begin("churn");
    size_t count = race_size(200000, 4000, 320);
    heap = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < 3; i++)
        race_require(pthread_key_create(&keys[i], run_late) == 0, "no key");
    struct mh_stats before = race_stats();
    meet_all();
    run_threads(0, count / 2);
    size_t early = held_bytes();
    size_t early_resident = race_resident();
    run_threads(count / 2, count);
    struct mh_stats after = race_stats();
    size_t late = held_bytes();
    size_t resident = race_resident();
    unsigned long long adopted = after.adoptions - before.adoptions;
    printf("%zu threads: resident %zu KiB after half, %zu KiB after all; held %zu and "
           "%zu KiB; %llu caches adopted, %llu late calls, %llu blocks left behind\n",
           count, early_resident / 1024, resident / 1024, early / 1024, late / 1024,
           adopted, atomic_load(&late_calls), atomic_load(&left_blocks));
    tear_down();
    race_case(!atomic_load(&race_failed), "see above");
    race_case(late <= early + 4 * MIB, "memory grows with the number of threads");
    if (race_brief())
        race_skip("resident memory: a sanitizer's own would count");
    else
        race_case(resident <= early_resident + 8 * MIB, "resident memory grows");
    race_case(adopted >= count / 2, "exercised too little: %llu adoptions", adopted);
    race_case(atomic_load(&late_calls) >= count / KINDS * ROUNDS,
              "exercised too little: %llu late calls", atomic_load(&late_calls));
    race_case(atomic_load(&left_blocks) >= count,
              "exercised too little: %llu left blocks", atomic_load(&left_blocks));
    race_case(after.remote_batches - before.remote_batches >= race_size(500, 5, 0),
              "exercised too little: %llu batches",
              (unsigned long long)(after.remote_batches - before.remote_batches));
    return race_end();
}
