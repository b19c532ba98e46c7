/* SPDX-License-Identifier: MIT */
/*
 * Observers and threads: blocks that one thread allocates and another frees, a detach
 * that waits for a callback under way, and threads that allocate while spies come and go.
 */
#include "asleep.h"
#include "staying.h"
#include "workers.h"

static int result;

/* Blocks of one thread, freed or resized by another. */

enum { REMOTE = 1000 };

static void *remote[REMOTE];

static size_t remote_bytes(size_t index)
{
    return index % 97 == 96 ? 40000 + index : index % 300;
}

static const char *allocate(struct worker *worker)
{
    for (size_t i = 0; i < REMOTE; i++)
        if (!(remote[i] = HeapAlloc(worker->shared, 0, remote_bytes(i))))
            return "no block";
    return NULL;
}

static const char *free_some(struct worker *worker)
{
    for (size_t i = worker->index; i < REMOTE; i += 2)
        if (!HeapFree(worker->shared, 0, remote[i]))
            return "HeapFree failed";
    return NULL;
}

/* Each block once, by whoever; in no order. */
static void expect_each_once(HANDLE heap, enum what what)
{
    expect_count(&notes, REMOTE, "blocks of another thread");
    for (size_t i = 0; i < REMOTE; i++) {
        size_t found = 0;
        for (size_t j = 0; j < REMOTE; j++) {
            const struct told *told = &notes.told[j];
            found +=
                told->what == what && told->heap == heap &&
                (what == REALLOCATED ? told->old : told->block) == remote[i] &&
                (what == REALLOCATED ? told->old_bytes : told->bytes) == remote_bytes(i);
        }
        require(found == 1, "block %zu was told of %zu times", i, found);
    }
}

HEAP_CASE(spy_threads, blocks_freed_by_other_threads_are_told_of_once)
{
    begin_notes(&notes, heap);
    run_workers(1, allocate, heap);
    expect_each_once(heap, ALLOCATED);
    forget_notes(&notes);
    run_workers(2, free_some, heap);
    expect_each_once(heap, FREED);
    end_notes(&notes);
}

static const char *resize_all(struct worker *worker)
{
    for (size_t i = 0; i < REMOTE; i++)
        if (!HeapReAlloc(worker->shared, 0, remote[i], remote_bytes(i) * 5 + 7))
            return "HeapReAlloc failed";
    return NULL;
}

HEAP_CASE(spy_threads, blocks_resized_by_another_thread_are_told_of_once)
{
    run_workers(1, allocate, heap);
    begin_notes(&notes, heap);
    run_workers(1, resize_all, heap);
    expect_each_once(heap, REALLOCATED);
    end_notes(&notes);
}

/* The same by threads that have a cache in the heap, and lock-free paths. */
static const char *free_settled(struct worker *worker)
{
    for (size_t i = 0; i < 100; i++)
        if (!HeapFree(worker->shared, 0, HeapAlloc(worker->shared, 0, 5000)))
            return "a pair failed";
    return free_some(worker);
}

HEAP_CASE(spy_threads, settled_threads_tell_of_others_blocks_too)
{
    run_workers(1, allocate, heap);
    begin_notes(&notes, heap);
    run_workers(2, free_settled, heap);
    expect_count(&notes, REMOTE + 2 * 200, "settled threads");
    size_t found = 0;
    for (size_t i = 0; i < REMOTE; i++)
        for (size_t j = 0; j < REMOTE + 2 * 200; j++)
            found += notes.told[j].what == FREED && notes.told[j].block == remote[i] &&
                     notes.told[j].bytes == remote_bytes(i);
    require(found == REMOTE, "%zu of %d blocks were told of", found, REMOTE);
    end_notes(&notes);
}

/* A detach while a callback is under way. */

struct detacher {
    int (*leave)(void);
    atomic_int tid;
    atomic_bool is_back;
    bool was_left; /* had the callback ended when the call was back? */
    int result;
};

static int detach_notes(void)
{
    return mh_spy_detach(&notes.spy);
}

static void *detacher_main(void *argument)
{
    struct detacher *detacher = argument;
    atomic_store(&detacher->tid, (int)syscall(SYS_gettid));
    detacher->result = detacher->leave();
    detacher->was_left = atomic_load(&has_left);
    atomic_store(&detacher->is_back, true);
    return NULL;
}

/* It sleeps, and sleeps again: it waits for the callback. */
static void expect_waiting(struct detacher *detacher)
{
    size_t asleep = 0;
    for (size_t i = 0; i < 60000 && asleep < 20; i++) {
        require(!atomic_load(&detacher->is_back), "it did not wait for the callback");
        int tid = atomic_load(&detacher->tid);
        asleep += tid && is_asleep(tid);
        pause_shortly();
    }
    require(asleep == 20, "the thread neither slept nor came back");
    require(!atomic_load(&detacher->is_back), "it did not wait for the callback");
}

static const char *allocate_one(struct worker *worker)
{
    void *block = HeapAlloc(worker->shared, 0, 100);
    return block && HeapFree(worker->shared, 0, block) ? NULL : "a pair failed";
}

static void *allocate_one_main(void *argument)
{
    struct worker worker = {.shared = argument};
    return (void *)(uintptr_t)allocate_one(&worker);
}

static void expect_to_wait(HANDLE heap, int (*leave)(void))
{
    struct detacher detacher = {.leave = leave};
    pthread_t allocating, detaching;
    void *failure = NULL;
    require(pthread_create(&allocating, NULL, allocate_one_main, heap) == 0, "no thread");
    while (sem_wait(&is_inside) != 0) {
    }
    require(pthread_create(&detaching, NULL, detacher_main, &detacher) == 0, "no thread");
    expect_waiting(&detacher);
    sem_post(&may_leave);
    pthread_join(detaching, NULL);
    pthread_join(allocating, &failure);
    require(!failure, "%s", (const char *)failure);
    require(detacher.result == 0, "it returned %d", detacher.result);
    require(detacher.was_left, "it was back before the callback ended");
}

HEAP_CASE(spy_threads, detaching_waits_for_a_callback_under_way)
{
    begin_staying(heap);
    expect_to_wait(heap, detach_notes);
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 1, "detached"); /* not even the free of that block */
}

/* Detached where it could not wait; mh_spy_wait does, in whatever thread. */
HEAP_CASE(spy_threads, mh_spy_wait_waits_for_a_callback_under_way)
{
    static struct notes other;
    begin_notes(&other, heap);
    begin_staying(heap);
    require(HeapLock(heap), "HeapLock failed");
    result = mh_spy_detach(&other.spy);
    require(result == MH_PENDING, "mh_spy_detach: %d", result);
    require(HeapUnlock(heap), "HeapUnlock failed");
    expect_to_wait(heap, mh_spy_wait);
    require(atomic_load(&other.count) == 0, "a detached spy was told");
    end_notes(&notes);
}

/* A callback holds up nobody but who detaches. */
HEAP_CASE(spy_threads, a_callback_under_way_holds_up_no_other_thread)
{
    static struct notes other;
    pthread_t allocating;
    void *failure = NULL;
    begin_staying(heap);
    require(pthread_create(&allocating, NULL, allocate_one_main, heap) == 0, "no thread");
    while (sem_wait(&is_inside) != 0) {
    }
    begin_notes(&other, heap);
    require(HeapLock(heap), "HeapLock failed"); /* callbacks are in no operation */
    require(mh_spy_detach(&notes.spy) == MH_PENDING, "mh_spy_detach waited");
    require(HeapUnlock(heap), "HeapUnlock failed");
    give_back(heap, take(heap, 0, 100));
    expect_count(&other, 2, "another spy");
    sem_post(&may_leave);
    pthread_join(allocating, &failure);
    require(!failure, "%s", (const char *)failure);
    require(mh_spy_wait() == 0, "mh_spy_wait");
    end_notes(&other);
}

/* Threads that allocate while spies come and go. */

static atomic_bool is_over;
static atomic_size_t calls_after, balance, told_of;

struct visitor {
    struct mh_spy spy;
    atomic_bool is_detached;
};

static void visit(struct visitor *visitor)
{
    if (atomic_load(&visitor->is_detached))
        atomic_fetch_add(&calls_after, 1);
    atomic_fetch_add(&told_of, 1);
}

static void visit_block(void *context, void *heap, void *block, size_t bytes)
{
    (void)block;
    visit(context);
    if (bytes > 100) /* from the spied heap */
        HeapFree(heap, 0, HeapAlloc(heap, 0, bytes));
}

static void visit_resize(void *context, void *heap, void *old, size_t old_bytes,
                         void *block, size_t bytes)
{
    (void)heap;
    (void)old;
    (void)old_bytes;
    (void)block;
    (void)bytes;
    visit(context);
}

enum { USERS = 3 };

static const char *use_while_visited(struct worker *worker)
{
    HANDLE heap = worker->shared;
    while (!atomic_load(&is_over))
        for (size_t i = 0; i < 50; i++) {
            char *block = HeapAlloc(heap, 0, i * 9);
            if (!block)
                return "no block";
            memset(block, (int)i, i * 9);
            block = HeapReAlloc(heap, 0, block, i * 30);
            if (!block || (i && (block[0] != (char)i || block[i * 9 - 1] != (char)i)))
                return "a block changed";
            if (!HeapFree(heap, 0, block))
                return "HeapFree failed";
            atomic_fetch_add(&balance, 1);
        }
    return NULL;
}

static const char *come_and_go(struct worker *worker)
{
    static struct visitor visitors[4];
    size_t least = repeats(5000);
    for (size_t i = 0; i < repeats(300) + 20 || atomic_load(&told_of) < least; i++) {
        struct visitor *visitor = &visitors[i % LENGTH(visitors)];
        atomic_store(&visitor->is_detached, false);
        visitor->spy = (struct mh_spy){.size = sizeof visitor->spy,
                                       .context = visitor,
                                       .allocated = visit_block,
                                       .freed = visit_block,
                                       .reallocated = visit_resize};
        if (i % 5 == 4)
            visitor->spy.sample_bytes = 1000;
        if (mh_spy_attach(&visitor->spy, i % 3 ? worker->shared : MH_SPY_ALL) != 0)
            return "mh_spy_attach failed";
        for (size_t pairs = atomic_load(&balance); atomic_load(&balance) < pairs + 10;) {
            if (atomic_load(&is_over))
                return "another thread gave up";
            pause_shortly();
        }
        if (mh_spy_detach(&visitor->spy) != 0)
            return "mh_spy_detach failed";
        atomic_store(&visitor->is_detached, true);
        memset(&visitor->spy, 0xFF, sizeof visitor->spy); /* its memory is ours again */
        visitor->spy.context = visitor;
    }
    return NULL;
}

static const char *use_or_visit(struct worker *worker)
{
    const char *failure =
        worker->index < USERS ? use_while_visited(worker) : come_and_go(worker);
    atomic_store(&is_over, true);
    return failure;
}

HEAP_CASE(spy_threads, nobody_is_inside_a_spy_that_was_detached)
{
    SIZE_T before = allocated_bytes(heap);
    run_workers(USERS + 1, use_or_visit, heap);
    require(atomic_load(&calls_after) == 0, "%zu calls came after the detach",
            atomic_load(&calls_after));
    require(allocated_bytes(heap) == before, "blocks are left");
}
