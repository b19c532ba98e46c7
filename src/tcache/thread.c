/* SPDX-License-Identifier: MIT */
#include "tcache/thread.h"

#include <string.h>

#include "base/check.h"
#include "os/grace.h"
#include "tcache/empties.h"
#include "tcache/fixed_cache.h"
#include "tcache/page_run.h"
#include "tcache/process.h"
#include "tcache/purger.h"

#define TIMES_7(...)                                                              \
    __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, \
        __VA_ARGS__
#define TIMES_8(...) TIMES_7(__VA_ARGS__), __VA_ARGS__

struct mole_thread mole_thread_nobody = {
    .recent = {TIMES_8(&mole_tcache_idle), TIMES_8(&mole_tcache_idle),
               TIMES_8(&mole_tcache_idle), TIMES_8(&mole_tcache_idle)},
};
static_assert(MOLE_RECENT == 4 * 8, "all of recent is filled");

struct mole_tcache mole_tcache_idle = {
    .owner = {.alloc_key_a = MOLE_NO_KEY,
              .free_key_a = MOLE_NO_KEY,
              .sampled_key_a = MOLE_NO_KEY,
              .spied_key_a = MOLE_NO_KEY,
              .fixed_key_a = MOLE_NO_KEY},
    .direct = {TIMES_8(TIMES_8(&mole_tcache_none))},
    .current = {TIMES_8(TIMES_8(&mole_tcache_none)), TIMES_8(&mole_tcache_none),
                &mole_tcache_none},
};
static_assert(MOLE_DIRECT_COUNT == 64 && MOLE_SLAB_CLASSES == 73, "each is filled");

_Thread_local struct mole_tls mole_tls = {
    .malloc_cache = &mole_tcache_idle,
    .thread = &mole_thread_nobody,
};

/*
 * all_a: every thread record, linked by all_next.
 *   writers  create pushes
 *   readers  a fork's child
 *   orders   push CAS release; the child is ordered by fork
 *   keeps    only grows
 */
static _Atomic(struct mole_thread *) all_a;
static struct mole_meta_stack unused;

/*
 * stale_a: batches dropped unread.
 *   writers  a thread's end
 *   readers  mole_thread_stale_batches
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) stale_a;

uint64_t mole_thread_stale_batches(void)
{
    return load_rlx(&stale_a);
}

static struct mole_thread *take_record(void)
{
    struct mole_thread *thread = (struct mole_thread *)(void *)mole_meta_pop(&unused);
    if (thread)
        return thread;
    thread = mole_meta_take(MOLE_META_THREAD, sizeof *thread);
    if (!thread)
        return NULL;
    mole_pool_enlist(&thread->slots);
    struct mole_thread *head = load_rlx(&all_a);
    do {
        thread->all_next = head;
    } while (!cas_weak_rel(&all_a, &head, thread)); /* HB-THREAD-1 */
    return thread;
}

/* The calling thread's record, made if need be; NULL: it is ending, or no memory. */
static struct mole_thread *get_thread(void)
{
    if (mole_tls.thread != &mole_thread_nobody)
        return mole_tls.thread;
    if (mole_thread_bits.is_dying)
        return NULL;
    struct mole_thread *thread = take_record();
    if (!thread)
        return NULL;
    memcpy(thread->recent, mole_thread_nobody.recent, sizeof thread->recent);
    memset(thread->visits, 0, sizeof thread->visits);
    thread->kept = (struct mole_kept_table){.entries = NULL};
    thread->malloc_cache = NULL;
    fence_compiler(); /* a fork's child looks at these only once it is in use */
    store_rlx(&thread->in_use_a, true);
    mole_purger_expect();
    mole_tls.thread = thread;
    mole_thread_arm(thread); /* may allocate: everything is set */
    return thread;
}

struct mole_pool_slots *mole_thread_slots(void)
{
    struct mole_thread *thread = get_thread();
    return thread ? &thread->slots : NULL;
}

/* Let the fast path find the cache. */
static void remember(struct mole_thread *thread, struct mole_heap *heap,
                     struct mole_tcache *cache)
{
    uint32_t place = mole_thread_place(load_rlx(&heap->handle_a));
    thread->recent[place] = cache;
}

struct mole_tcache *mole_thread_cache(struct mole_heap *heap)
{
    struct mole_thread *thread = mole_tls.thread;
    if (heap == mole_process_malloc_heap())
        return thread->malloc_cache;
    struct mole_kept *kept = mole_kept_find(&thread->kept, heap);
    return kept ? kept->cache : NULL;
}

struct mole_tcache *mole_thread_cache_at_hand(struct mole_heap *heap)
{
    if (heap->arena.is_locked)
        return mole_thread_cache(heap);
    return (struct mole_tcache *)(void *)mole_heap_owners(heap);
}

/* Whether the thread used the heap so often that a cache of its own pays. */
static bool comes_often(struct mole_thread *thread, struct mole_heap *heap)
{
    uint64_t id = mole_heap_id(heap);
    struct mole_visit *visit = &thread->visits[id >> MOLE_MODE_SHIFT & (MOLE_VISITS - 1)];
    if (visit->id != id)
        *visit = (struct mole_visit){.id = id, .count = 0};
    return ++visit->count >= MOLE_KEEP_AFTER;
}

uintptr_t mole_thread_self_in(const struct mole_heap *heap)
{
    return mole_thread_self() + (load_rlx(&heap->handle_a) ? 0 : MOLE_OF_MALLOC);
}

bool mole_thread_owns(const struct mole_owner *owner)
{
    uintptr_t thread = load_rlx(&owner->thread_a);
    return thread == MOLE_SHARED ||
           (thread && thread == mole_thread_self_in(owner->heap));
}

/* An orphaned cache, or a new one: from the thread's own records if it will keep it. */
static struct mole_tcache *adopt_or_create(struct mole_thread *thread,
                                           struct mole_heap *heap, bool to_keep)
{
    uintptr_t self = mole_thread_self_in(heap);
    struct mole_owner *orphan = mole_heap_adopt(heap, self);
    if (orphan) {
        struct mole_tcache *cache = (struct mole_tcache *)(void *)orphan;
        mole_empties_adopt(cache);
        return cache;
    }
    return mole_tcache_create(heap, self, to_keep ? &thread->spare_caches : NULL);
}

/* Let no entry of the fast path lead to this record. */
static void forget(struct mole_thread *thread, const struct mole_tcache *cache)
{
    for (unsigned i = 0; i < MOLE_RECENT; i++)
        if (thread->recent[i] == cache)
            thread->recent[i] = mole_thread_nobody.recent[i];
}

/*
 * The cache's record is the thread's from now on; one of its spare ones, if it has any,
 * goes where this one came from, so that neither place gathers records for ever.
 */
static void exchange_home(struct mole_thread *thread, struct mole_tcache *cache)
{
    if (cache->home == &thread->spare_caches)
        return;
    struct mole_meta *spare = mole_meta_pop(&thread->spare_caches);
    if (spare) {
        forget(thread, (struct mole_tcache *)(void *)spare);
        mole_meta_push(cache->home, spare);
    }
    cache->home = &thread->spare_caches;
}

/* From now on the cache is the thread's. False: no memory to note that. */
static bool settle(struct mole_thread *thread, struct mole_heap *heap,
                   struct mole_tcache *cache)
{
    if (!mole_kept_add(&thread->kept, heap, cache)) {
        forget(thread, cache); /* a spare of the thread's, which it will not own */
        return false;
    }
    exchange_home(thread, cache);
    if (heap == mole_process_malloc_heap())
        mole_tls.malloc_cache = thread->malloc_cache = cache;
    else
        remember(thread, heap, cache);
    return true;
}

static void leave(struct mole_heap *heap, struct mole_tcache *cache)
{
    if (cache)
        mole_tcache_leave(cache);
    else
        sub_rel(&heap->gate.uncached_a, 1); /* HB-GATE-1 */
}

/* Let the gate know of the operation, once it lets it in. */
static void enter(struct mole_heap *heap, struct mole_tcache *cache, bool passes)
{
    for (;;) {
        if (cache)
            mole_tcache_enter(cache);
        else
            add_seq_cst(&heap->gate.uncached_a, 1);
        if (likely(!mole_gate_is_shut(heap, passes)))
            return;
        leave(heap, cache);
        mole_gate_pass(heap, passes);
    }
}

struct mole_use mole_thread_begin_with(struct mole_heap *heap, struct mole_tcache *cache,
                                       bool passes)
{
    struct mole_use use = {.heap = heap, .cache = cache, .slots = mole_thread_slots()};
    enter(heap, cache, passes);
    return use;
}

/*
 * The thread's cache in the heap if it has or gets one for good, else a borrowed one, or
 * NULL.
 */
static struct mole_tcache *find_cache(struct mole_heap *heap, struct mole_thread *thread,
                                      bool *is_borrowed)
{
    struct mole_tcache *cache;
    if (!heap->arena.is_locked) {
        cache = (struct mole_tcache *)(void *)mole_heap_owners(heap);
        if (thread)
            remember(thread, heap, cache);
        return cache;
    }
    cache = thread ? mole_thread_cache(heap) : NULL;
    if (cache) {
        if (load_rlx(&heap->handle_a))
            remember(thread, heap, cache);
        return cache;
    }
    bool to_keep =
        thread && (heap == mole_process_malloc_heap() || comes_often(thread, heap));
    cache = adopt_or_create(thread, heap, to_keep);
    *is_borrowed = cache && (!to_keep || !settle(thread, heap, cache));
    return cache;
}

struct mole_tcache *mole_thread_cache_to_free(struct mole_heap *heap)
{
    struct mole_thread *thread = get_thread();
    struct mole_tcache *cache = mole_thread_cache(heap);
    if (cache || !thread || !heap->arena.is_locked || !comes_often(thread, heap))
        return cache;
    cache = adopt_or_create(thread, heap, true);
    if (!cache || settle(thread, heap, cache))
        return cache;
    mole_heap_let_go(&cache->owner);
    return NULL;
}

struct mole_use mole_thread_begin(struct mole_heap *heap, bool passes)
{
    struct mole_thread *thread = get_thread();
    bool is_borrowed = false;
    struct mole_tcache *cache = find_cache(heap, thread, &is_borrowed);
    enter(heap, cache, passes);
    return (struct mole_use){heap, cache, thread ? &thread->slots : NULL, is_borrowed};
}

void mole_thread_end(struct mole_use *use)
{
    if (use->is_borrowed)
        mole_tcache_flush(use->cache);
    leave(use->heap, use->cache);
    if (use->is_borrowed)
        mole_heap_let_go(&use->cache->owner);
}

void mole_thread_keep(struct mole_heap *heap, struct mole_tcache *cache)
{
    struct mole_thread *thread = mole_tls.thread;
    if (!heap->arena.is_locked || mole_kept_add(&thread->kept, heap, cache)) {
        remember(thread, heap, cache);
    } else {
        forget(thread, cache);
        mole_heap_let_go(&cache->owner);
    }
}

bool mole_thread_settle(struct mole_heap *heap)
{
    struct mole_thread *thread = get_thread();
    bool is_shared = !heap->arena.is_locked;
    uintptr_t owner = is_shared ? MOLE_SHARED : mole_thread_self();
    struct mole_meta_stack *home = is_shared ? &mole_tcache_shared
                                   : thread  ? &thread->spare_caches
                                             : NULL;
    struct mole_tcache *cache = mole_tcache_create(heap, owner, home);
    if (!cache)
        return false;
    mole_page_run_list(cache, heap->home);
    if (thread)
        mole_thread_keep(heap, cache);
    else if (!is_shared)
        mole_heap_let_go(&cache->owner);
    return true;
}

/*
 * Let one cache go. Its heap may be destroyed by another thread at this moment, so the id
 * is compared under the lock HeapDestroy takes, and a dead heap's batches are dropped
 * unread.
 */
static void abandon(struct mole_kept *kept)
{
    mole_lock_acquire(&kept->heap->arena.lock);
    if (mole_kept_is_alive(kept)) {
        mole_fixed_cache_drain(kept->cache);
        mole_tcache_flush(kept->cache);
        mole_heap_let_go(&kept->cache->owner);
    } else {
        add_rlx(&stale_a, 1);
    }
    mole_lock_release(&kept->heap->arena.lock);
}

/* Give a record back. The list goes off it first: a fork may come at any step. */
static void end_record(struct mole_thread *thread)
{
    mole_kept_release(&thread->kept);
    mole_spare_drain(&thread->spares);
    mole_pool_drain(&thread->slots);
    store_rlx(&thread->in_use_a, false);
    mole_meta_push(&unused, &thread->meta);
}

void mole_thread_exit(void *value)
{
    struct mole_thread *thread = value;
    mole_thread_bits.is_dying = true;
    mole_tls.frames = NULL; /* those that pthread_exit left: the stack is gone */
    mole_grace_end_thread();
    mole_tls.malloc_cache = &mole_tcache_idle;
    mole_tls.thread = &mole_thread_nobody;
    for (uint32_t i = 0; i < thread->kept.room; i++)
        if (thread->kept.entries[i].heap)
            abandon(&thread->kept.entries[i]);
    end_record(thread);
}

struct mole_thread *mole_thread_first(void)
{
    return load_acq(&all_a); /* HB-THREAD-1 */
}

void mole_thread_forget_others(void)
{
    struct mole_thread *thread;
    for (thread = mole_thread_first(); thread; thread = thread->all_next)
        if (thread != mole_tls.thread && load_rlx(&thread->in_use_a))
            end_record(thread);
}
