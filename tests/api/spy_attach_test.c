/* SPDX-License-Identifier: MIT */
/*
 * Attaching and detaching: what is taken, what is refused, and where waiting is left for
 * later.
 */
#include <pthread.h>

#include "spies.h"

static struct notes notes, others;

static void expect_result(int result, int want, const char *what)
{
    require(result == want, "%s: %d, not %d", what, result, want);
}

Test(spy_attach, null_and_short_spies_are_refused)
{
    notes_init(&notes);
    expect_result(mh_spy_attach(NULL, MH_SPY_ALL), MH_INVALID, "NULL");
    const size_t least = offsetof(struct mh_spy, allocated);
    for (notes.spy.size = 0; notes.spy.size < least; notes.spy.size++)
        expect_result(mh_spy_attach(&notes.spy, MH_SPY_ALL), MH_INVALID, "a short size");
    expect_result(mh_spy_detach(&notes.spy), MH_DETACHED, "a refused spy");
    expect_result(mh_spy_detach(NULL), MH_DETACHED, "NULL");
}

/* The callbacks of an earlier version of the header are used, later ones not read. */
Test(spy_attach, a_spy_of_an_earlier_version_is_taken)
{
    HANDLE heap = create_heap(0);
    notes_init(&notes);
    notes.spy.size = offsetof(struct mh_spy, freed);
    attach(&notes.spy, heap);
    void *block = HeapReAlloc(heap, 0, take(heap, 0, 100), 50000);
    require(block != NULL, "HeapReAlloc failed");
    give_back(heap, block);
    expect_count(&notes, 1, "a spy up to `allocated`");
    end_notes(&notes);
    destroy_heap(heap);
}

struct later {
    struct mh_spy spy;
    unsigned char more[24];
};

Test(spy_attach, a_spy_of_a_later_version_is_taken_if_it_uses_nothing_unknown)
{
    struct later later;
    memset(&later, 0, sizeof later);
    notes_init(&notes);
    later.spy = notes.spy;
    later.spy.size = sizeof later;
    HANDLE heap = create_heap(0);
    attach(&later.spy, heap);
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 2, "a longer spy");
    detach(&later.spy);
    for (size_t i = 0; i < LENGTH(later.more); i++) {
        later.more[i] = 1;
        expect_result(mh_spy_attach(&later.spy, heap), MH_INVALID, "a used tail");
        later.more[i] = 0;
    }
    attach(&later.spy, heap);
    detach(&later.spy);
    destroy_heap(heap);
}

Test(spy_attach, values_that_are_no_heap_are_refused)
{
    HANDLE dead = create_heap(0), heap = create_heap(0);
    void *block = take(heap, 0, 100);
    destroy_heap(dead);
    void *bad[] = {NULL, dead, (void *)3, (void *)-1, &bad, block, (char *)heap + 1};
    notes_init(&notes);
    for (size_t i = 0; i < LENGTH(bad); i++) {
        expect_result(mh_spy_attach(&notes.spy, bad[i]), MH_INVALID, "no heap");
        expect_result(mh_spy_detach(&notes.spy), MH_DETACHED, "no heap");
    }
    give_back(heap, block);
    expect_count(&notes, 0, "refused spies");
    destroy_heap(heap);
}

HEAP_CASE(spy_attach, a_spy_is_attached_once)
{
    void *places[] = {heap, MH_SPY_ALL, MH_SPY_MALLOC};
    notes_init(&notes);
    expect_result(mh_spy_detach(&notes.spy), MH_DETACHED,
                  "a spy that never was attached");
    for (size_t i = 0; i < LENGTH(places); i++) {
        attach(&notes.spy, places[i]);
        for (size_t j = 0; j < LENGTH(places); j++)
            expect_result(mh_spy_attach(&notes.spy, places[j]), MH_ATTACHED, "again");
        detach(&notes.spy);
        expect_result(mh_spy_detach(&notes.spy), MH_DETACHED, "again");
    }
}

/* Of 30 samplers the system has room for 24; nothing changed for the others. */
HEAP_CASE(spy_attach, there_is_room_for_24_samplers)
{
    enum { SAMPLERS = 30, ROOM = 24 };
    struct mh_spy spies[SAMPLERS];
    notes_init(&notes);
    for (size_t i = 0; i < SAMPLERS; i++) {
        spies[i] = notes.spy;
        spies[i].sample_bytes = (size_t)1 << 60;
        expect_result(mh_spy_attach(&spies[i], heap), i < ROOM ? 0 : MH_NO_MEMORY,
                      "a sampler");
    }
    begin_notes(&others, heap); /* not a sampler */
    detach(&spies[7]);
    for (size_t i = ROOM; i < SAMPLERS; i++) {
        expect_result(mh_spy_detach(&spies[i]), MH_DETACHED, "one too many");
        attach(&spies[i], heap);
        detach(&spies[i]);
    }
    give_back(heap, take(heap, 0, 100));
    expect_count(&others, 2, "one that is no sampler");
    for (size_t i = 0; i < ROOM; i++)
        if (i != 7)
            detach(&spies[i]);
    end_notes(&others);
}

HEAP_CASE(spy_attach, errno_and_the_last_error_are_kept)
{
    static const struct mh_spy wrong_size = {.size = 1};
    notes_init(&notes);
    arm_errors();
    (void)mh_spy_attach(&notes.spy, heap);
    expect_errors_kept("mh_spy_attach");
    (void)mh_spy_attach(&notes.spy, heap);
    (void)mh_spy_attach(&wrong_size, heap);
    (void)mh_spy_attach(&wrong_size, NULL);
    expect_errors_kept("mh_spy_attach, refused");
    (void)mh_spy_wait();
    expect_errors_kept("mh_spy_wait");
    (void)mh_spy_detach(&notes.spy);
    expect_errors_kept("mh_spy_detach");
    (void)mh_spy_detach(&notes.spy);
    expect_errors_kept("mh_spy_detach, refused");
}

/* In callbacks. */

static int results[4];
static size_t result_count;

static void detach_itself(void *context, void *heap, void *block, size_t bytes)
{
    struct notes *self = context;
    note_allocated(context, heap, block, bytes);
    results[0] = mh_spy_detach(&self->spy);
    results[1] = mh_spy_wait();
    results[2] = mh_spy_detach(&self->spy);
    result_count = 3;
}

HEAP_CASE(spy_attach, a_callback_detaches_its_own_spy_and_does_not_wait)
{
    for (size_t turn = 0; turn < 40; turn++) {
        notes_init(&notes);
        notes.spy.allocated = detach_itself;
        attach(&notes.spy, heap);
        void *block = take(heap, 0, turn * 300);
        require(result_count == 3, "the callback did not come");
        expect_result(results[0], MH_PENDING, "mh_spy_detach in a callback");
        expect_result(results[1], MH_PENDING, "mh_spy_wait in a callback");
        expect_result(results[2], MH_DETACHED, "a second mh_spy_detach");
        expect_result(mh_spy_wait(), 0, "mh_spy_wait after it");
        give_back(heap, take(heap, 0, 100));
        give_back(heap, block);
        expect_count(&notes, 1, "a spy that left");
        expect_result(mh_spy_detach(&notes.spy), MH_DETACHED, "mh_spy_detach after it");
    }
}

static void detach_other(void *context, void *heap, void *block, size_t bytes)
{
    note_freed(context, heap, block, bytes);
    results[0] = mh_spy_detach(&others.spy);
}

/* The spies of one event are those that were there when it began. */
HEAP_CASE(spy_attach, a_callback_detaches_another_spy)
{
    notes_init(&notes);
    notes.spy.freed = detach_other;
    attach(&notes.spy, heap);
    begin_notes(&others, heap);
    give_back(heap, take(heap, 0, 100));
    expect_result(results[0], MH_PENDING, "mh_spy_detach in another's callback");
    expect_result(mh_spy_wait(), 0, "mh_spy_wait after it");
    size_t told = atomic_load(&others.count);
    give_back(heap, take(heap, 0, 100));
    expect_result(results[0], MH_DETACHED, "the second time");
    expect_count(&others, told, "after its detaching");
    expect_count(&notes, 4, "the one that stayed");
    end_notes(&notes);
}

static void attach_other(void *context, void *heap, void *block, size_t bytes)
{
    note_allocated(context, heap, block, bytes);
    results[0] = mh_spy_attach(&others.spy, heap);
}

HEAP_CASE(spy_attach, a_callback_attaches_another_spy)
{
    notes_init(&others);
    notes_init(&notes);
    notes.spy.allocated = attach_other;
    attach(&notes.spy, heap);
    void *block = take(heap, 0, 100);
    expect_result(results[0], 0, "mh_spy_attach in a callback");
    end_notes(&notes);
    size_t told = atomic_load(&others.count);
    give_back(heap, block);
    expect_told(&others, told, (struct told){FREED, heap, block, 100, NULL, 0});
    end_notes(&others);
}

static void wait_in_destroyed(void *context, void *heap)
{
    note_destroyed(context, heap);
    results[0] = mh_spy_wait();
}

static void wait_in_created(void *context, void *heap)
{
    note_created(context, heap);
    results[1] = mh_spy_wait();
}

static int wait_when_asked(void *context, void *heap, size_t bytes)
{
    note(context, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
    results[2] = mh_spy_wait();
    return 1;
}

static void wait_in_reallocated(void *context, void *heap, void *old, size_t old_bytes,
                                void *block, size_t bytes)
{
    note_reallocated(context, heap, old, old_bytes, block, bytes);
    results[3] = mh_spy_wait();
}

Test(spy_attach, no_callback_waits)
{
    notes_init(&notes);
    notes.spy.heap_destroyed = wait_in_destroyed;
    notes.spy.heap_created = wait_in_created;
    notes.spy.may_allocate = wait_when_asked;
    notes.spy.reallocated = wait_in_reallocated;
    attach(&notes.spy, MH_SPY_ALL);
    HANDLE heap = create_heap(0);
    require(HeapReAlloc(heap, 0, take(heap, 0, 10), 1000) != NULL, "HeapReAlloc failed");
    destroy_heap(heap);
    for (size_t i = 0; i < LENGTH(results); i++)
        expect_result(results[i], MH_PENDING, "mh_spy_wait in a callback");
    end_notes(&notes);
}

/* While a HeapLock is owned. */

HEAP_CASE(spy_attach, an_owner_of_a_lock_does_not_wait)
{
    begin_notes(&notes, heap);
    require(HeapLock(heap) && HeapLock(heap), "HeapLock failed");
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 2, "the owner's operations");
    expect_result(mh_spy_detach(&notes.spy), MH_PENDING, "mh_spy_detach, locked twice");
    give_back(heap, take(heap, 0, 100));
    require(HeapUnlock(heap), "HeapUnlock failed");
    expect_result(mh_spy_wait(), MH_PENDING, "mh_spy_wait, locked once");
    require(HeapUnlock(heap), "HeapUnlock failed");
    expect_result(mh_spy_wait(), 0, "mh_spy_wait, unlocked");
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 2, "detached");
}

Test(spy_attach, a_lock_on_any_heap_counts)
{
    HANDLE other = create_heap(0), heap = create_heap(0);
    begin_notes(&notes, heap);
    require(HeapLock(other), "HeapLock failed");
    expect_result(mh_spy_detach(&notes.spy), MH_PENDING, "another heap locked");
    require(HeapUnlock(other), "HeapUnlock failed");
    expect_result(mh_spy_wait(), 0, "mh_spy_wait");
    destroy_heap(other);
    destroy_heap(heap);
}

Test(spy_attach, a_lock_that_went_with_its_heap_counts_no_more)
{
    for (size_t i = 0; i < 5; i++) {
        HANDLE heap = create_heap(0), other = create_heap(0);
        begin_notes(&notes, heap);
        require(HeapLock(heap) && HeapLock(heap) && HeapLock(other), "HeapLock failed");
        destroy_heap(heap);
        expect_result(mh_spy_wait(), MH_PENDING, "the other heap is locked");
        require(HeapUnlock(other), "HeapUnlock failed");
        expect_result(mh_spy_wait(), 0, "mh_spy_wait");
        end_notes(&notes);
        destroy_heap(other);
    }
}

Test(spy_attach, a_heap_without_serialization_is_never_locked)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);
    begin_notes(&notes, heap);
    require(HeapLock(heap), "HeapLock failed");
    end_notes(&notes);
    require(HeapUnlock(heap), "HeapUnlock failed");
    destroy_heap(heap);
}

/* A lock keeps its owner's thread from waiting, and nobody else's. */
static void *detach_there(void *argument)
{
    (void)argument;
    results[0] = mh_spy_detach(&notes.spy);
    return NULL;
}

HEAP_CASE(spy_attach, another_thread_detaches_while_the_heap_is_locked)
{
    pthread_t thread;
    begin_notes(&notes, heap);
    require(HeapLock(heap), "HeapLock failed");
    require(pthread_create(&thread, NULL, detach_there, NULL) == 0, "no thread");
    pthread_join(thread, NULL);
    expect_result(results[0], 0, "mh_spy_detach by another thread");
    require(HeapUnlock(heap), "HeapUnlock failed");
}
