/* SPDX-License-Identifier: MIT */
#include "tcache/idle.h"

#include "arena/mode.h"
#include "os/barrier.h"
#include "tcache/empties.h"
#include "unit.h"

#include <semaphore.h>
#include <sys/wait.h>

enum { BYTES = 8192, SLAB = 8, SLABS = 24, BLOCKS = SLABS * SLAB };

static HANDLE handle;
static struct mole_heap *heap;
static struct mole_tcache *cache; /* this thread's */
static void *blocks[BLOCKS];

static void begin(void)
{
    stop_passes();
    if (!mole_barrier_all()) /* in this system: then it goes without */
        mole_mode_go_fenced();
    handle = create_heap(0);
    heap = inside(handle);
    cache = mole_thread_cache(heap);
    require(cache != NULL, "the heap's maker has no cache there");
}

static void allocate(void)
{
    for (size_t i = 0; i < BLOCKS; i += FIRST_SLAB)
        take_slab(handle, BYTES, blocks + i);
    require(span_of(blocks[BLOCKS - 1])->pages == MOLE_CHUNK_PAGES, "another slab size");
}

static void release(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        give_back(handle, blocks[i]);
}

/* That many looks, and how many caches were drained. */
static uint64_t look(size_t times)
{
    uint64_t before = mole_idle_drains();
    while (times--)
        (void)mole_idle_look();
    return mole_idle_drains() - before;
}

static const char *look_twice(struct worker *worker)
{
    *(uint64_t *)worker->shared = look(2);
    return NULL;
}

/* By a thread that is not this one. */
static uint64_t have_looked(void)
{
    uint64_t drains = 0;
    run_workers(1, look_twice, &drains);
    return drains;
}

Test(idle, what_is_free_goes_at_the_second_look)
{
    begin();
    allocate();
    release();
    require(cache->empty_pages && load_rlx(&cache->owner.kept_a) > cache->empty_pages,
            "it keeps %u pages", load_rlx(&cache->owner.kept_a));
    require(mole_empties_room(), "it has no room for more than a few");
    require(look(1) == 0 && count_runs(heap) > 1, "it was not idle yet");
    require(look(1) == 1, "it was not drained");
    require(!mole_empties_room(), "it has %u pages of room yet", mole_empties_room());
    require(count_runs(heap) == 1, "the heap has %zu runs", count_runs(heap));
    require(load_rlx(&cache->owner.kept_a) == 0, "it is said to keep %u pages",
            load_rlx(&cache->owner.kept_a));
    require(load_rlx(&cache->owner.thread_a) == mole_thread_self(), "it was taken away");
    require(!mole_mode_of(heap) || mole_mode_of(heap) == MOLE_MODE_FENCED, "modes are %x",
            mole_mode_of(heap));
    require(look(3) == 0, "it was drained again");
    allocate();
    release();
    require(look(2) == 1 && count_runs(heap) == 1, "not a second time");
}

Test(idle, a_thread_that_works_is_left_alone)
{
    begin();
    allocate();
    release();
    size_t runs = count_runs(heap);
    for (int i = 0; i < 5; i++) {
        require(look(1) == 0 && count_runs(heap) == runs, "it was drained at look %d", i);
        allocate();
        release();
    }
    require(look(2) == 1, "the test has nothing to be drained");
}

static const char *allocate_and_free(struct worker *worker)
{
    (void)worker;
    settle_in(handle);
    for (size_t i = 0; i < BLOCKS; i++)
        answer_unless((blocks[i] = HeapAlloc(handle, 0, BYTES)), "no memory");
    for (size_t i = 0; i < BLOCKS; i++)
        answer_unless(HeapFree(handle, 0, blocks[i]), "HeapFree failed");
    return NULL;
}

/* While another thread's cache is drained. */
Test(idle, a_thread_that_worked_since_the_last_look_is_left_alone)
{
    begin();
    run_workers(1, allocate_and_free, NULL);
    require(look(1) == 0, "it was not idle yet");
    allocate();
    release();
    require(look(1) == 1 && cache->empty_pages, "this thread's was drained, too");
    require(look(1) == 1 && !cache->empty_pages, "this thread's never is");
}

Test(idle, live_blocks_stay)
{
    begin();
    allocate();
    for (size_t i = 0; i < BLOCKS; i++) {
        memset(blocks[i], (int)i, BYTES);
        if (i % SLAB)
            give_back(handle, blocks[i]);
    }
    (void)look(2);
    for (size_t i = 0; i < BLOCKS; i += SLAB)
        require(is_all(blocks[i], BYTES, (unsigned char)i), "block %zu was changed", i);
    require(HeapValidate(handle, 0, NULL), "the heap is not in order");
}

/* What goes to the pool must not be executable, and that takes calls to the system. */
Test(idle, executable_heaps_are_left_alone)
{
    begin();
    handle = create_heap(HEAP_CREATE_ENABLE_EXECUTE);
    heap = inside(handle);
    cache = mole_thread_cache(heap);
    allocate();
    release();
    require(cache && cache->empty_pages, "nothing is free");
    require(look(3) == 0 && cache->empty_pages, "it was drained");
}

/* As if this thread were in an operation. */
Test(idle, a_cache_in_use_is_left_alone)
{
    begin();
    allocate();
    release();
    mole_tcache_enter(cache);
    require(have_looked() == 0 && cache->empty_pages, "it was drained");
    mole_tcache_leave(cache);
    require(have_looked() == 1, "the test has nothing to be drained");
}

Test(idle, a_locked_heap_is_left_alone)
{
    begin();
    allocate();
    release();
    require(HeapLock(handle), "HeapLock failed");
    require(have_looked() == 0 && cache->empty_pages, "it was drained");
    require(HeapUnlock(handle), "HeapUnlock failed");
    require(look(2) == 1, "it was given up"); /* one look is left out: it was in vain */
}

Test(idle, little_is_not_worth_a_pause)
{
    begin();
    give_back(handle, take(handle, 0, 3000));
    require(cache->current[mole_size_class_of(3000)] != &mole_tcache_none, "no slab");
    require(look(3) == 0, "the heap was paused");
}

/* Other caches may want it: all have but so much. */
Test(idle, room_for_more_than_is_kept_goes_too)
{
    enum { SMALL = 2048, PAGES = SMALL * FIRST_SLAB / MOLE_PAGE, COUNT = 160 / PAGES };
    static void *small[COUNT][FIRST_SLAB];
    begin();
    for (size_t i = 0; i < COUNT; i++)
        take_slab(handle, SMALL, small[i]);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < FIRST_SLAB; j++)
            give_back(handle, small[i][j]);
    while (cache->dear_pages > PAGES)
        (void)take(handle, 0, SMALL);
    require(cache->empty_pages == PAGES && mole_empties_room() > PAGES,
            "%u pages are kept, with room for %u", cache->empty_pages,
            mole_empties_room());
    require(look(2) == 1 && !cache->empty_pages, "it was not drained");
    require(!mole_empties_room(), "it has %u pages of room yet", mole_empties_room());
    require(heap->idleness.wait == 0, "it was not worth it");
}

Test(idle, looks_are_left_out_after_drains_in_vain)
{
    begin();
    for (unsigned left_out = 0; left_out < 64; left_out = 2 * left_out + 1) {
        size_t bytes = 3000 * (size_t)(1 + left_out % 5);
        for (int i = 0; i < 40; i++) /* one slab after the other, none is whole */
            (void)take(handle, 0, bytes);
        require(look(1 + left_out) == 0, "it was drained before %u looks", left_out);
        require(look(1) == 1, "more than %u looks were left out", left_out);
        unsigned next = left_out < 63 ? 2 * left_out + 1 : 63;
        require(heap->idleness.wait == next, "%u looks are to be left out, not %u",
                heap->idleness.wait, next);
    }
}

static sem_t is_done, may_end;

static const char *free_all(struct worker *worker)
{
    (void)worker;
    settle_in(handle);
    for (size_t i = 0; i < BLOCKS; i++)
        answer_unless(HeapFree(handle, 0, blocks[i]), "HeapFree failed");
    return NULL;
}

static void *free_one_and_stay(void *block)
{
    settle_in(handle);
    bool is_freed = HeapFree(handle, 0, block);
    sem_post(&is_done);
    sem_wait(&may_end);
    return is_freed ? NULL : block;
}

/* What is in other threads' batches keeps a slab from being whole. */
Test(idle, batches_are_handed_over)
{
    begin();
    pthread_t thread;
    void *failure = NULL;
    void *block = take(handle, 0, BYTES);
    sem_init(&is_done, 0, 0);
    sem_init(&may_end, 0, 0);
    require(pthread_create(&thread, NULL, free_one_and_stay, block) == 0, "no thread");
    sem_wait(&is_done);
    require(mole_inbox_is_quiet(span_of(block)), "the block did not stay in a batch");
    (void)look(2);
    require(!is_mapped(block) || !mole_inbox_is_quiet(span_of(block)), "it stays there");
    sem_post(&may_end);
    pthread_join(thread, &failure);
    require(!failure, "HeapFree failed");
    (void)look(2);
    require(!is_mapped(block), "what came back keeps its slab");
}

/* More slabs than one pause is long; they are not worth a run each, so nobody steals. */
Test(idle, what_others_gave_back_is_collected)
{
    enum { SMALL = 3000, COUNT = 400 };
    static void *small[COUNT];
    begin();
    for (size_t i = 0; i < COUNT; i++)
        small[i] = take(handle, 0, SMALL);
    memcpy(blocks, small, sizeof blocks);
    run_workers(1, free_all, NULL);
    memcpy(blocks, small + BLOCKS, sizeof blocks);
    run_workers(1, free_all, NULL);
    for (size_t i = 2 * (size_t)BLOCKS; i < COUNT; i++)
        give_back(handle, small[i]);
    (void)look(2);
    require(!load_rlx(&cache->owner.woken_a), "slabs are left in the list");
    require(count_runs(heap) == 1, "the heap has %zu runs", count_runs(heap));
}

static const char *use_and_end(struct worker *worker)
{
    const char *failure = allocate_and_free(worker);
    cache = mole_thread_cache(heap);
    return failure;
}

Test(idle, what_ended_threads_left_goes_in_all_heaps)
{
    begin();
    run_workers(1, use_and_end, NULL);
    require(cache && cache->empty_pages, "nothing is left");
    require(look(2) >= 1 && !cache->empty_pages, "it was not drained");
    require(load_rlx(&cache->owner.thread_a) == MOLE_ORPHAN, "it was not let go");
    require(load_rlx(&heap->orphans_a) == 1, "%d orphans", load_rlx(&heap->orphans_a));
}

static const char *use_orphans(struct worker *worker)
{
    unsigned class = mole_size_class_of(BYTES);
    void **block = worker->shared;
    *block = mole_tcache_alloc_from_orphans(heap, NULL, mole_thread_self(), class,
                                            mole_span_mark(BYTES));
    return NULL;
}

/* An operation under way may look for memory there while the heap is paused. */
Test(idle, orphans_of_a_stopped_heap_are_left_alone)
{
    void *block = NULL;
    begin();
    run_workers(1, use_and_end, NULL);
    require(mole_gate_try_pause(heap), "the heap cannot be paused");
    run_workers(1, use_orphans, &block);
    mole_gate_resume(heap);
    require(!block, "a block came from an orphan");
    require(load_rlx(&cache->owner.thread_a) == MOLE_ORPHAN, "it was not let go");
    run_workers(1, use_orphans, &block);
    require(block && span_of(block)->owner == &cache->owner, "the test has no orphan");
}

static void *stop_and_tear(void *unused)
{
    if (!mole_gate_stop(heap))
        return heap;
    cache->empty_pages = 12345; /* in the middle of something */
    sem_post(&is_done);
    sem_wait(&may_end);
    cache->empty_pages = 0;
    mole_gate_resume(heap);
    return unused;
}

static int use_in_child(void)
{
    bool is_good = !cache->empty_pages && mole_thread_cache(heap) == cache &&
                   load_rlx(&cache->owner.thread_a) == mole_thread_self();
    for (size_t i = 0; i < SLAB; i++)
        is_good = is_good && (blocks[i] = HeapAlloc(handle, 0, BYTES));
    for (size_t i = 0; i < SLAB; i++)
        is_good = is_good && HeapFree(handle, 0, blocks[i]);
    return is_good && HeapValidate(handle, 0, NULL) ? 0 : 1;
}

Test(idle, a_forks_child_rebuilds_what_a_vanished_thread_worked_with)
{
    begin();
    pthread_t thread;
    void *failure = NULL;
    give_back(handle, take(handle, 0, BYTES));
    sem_init(&is_done, 0, 0);
    sem_init(&may_end, 0, 0);
    require(pthread_create(&thread, NULL, stop_and_tear, NULL) == 0, "no thread");
    sem_wait(&is_done);
    pid_t child = fork();
    if (child == 0)
        _exit(use_in_child());
    int status = 0;
    require(child > 0 && waitpid(child, &status, 0) == child, "no child");
    sem_post(&may_end);
    pthread_join(thread, &failure);
    require(!failure && status == 0, "the child found its cache torn: 0x%x", status);
    require(HeapValidate(handle, 0, NULL), "the heap is not in order");
}
