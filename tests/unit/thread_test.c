/* SPDX-License-Identifier: MIT */
#include "os/pages.h"
#include "tcache/process.h"
#include "tcache/thread.h"

#include "unit.h"

static HANDLE heap;
static struct mole_heap *record; /* of that heap */

static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    record = inside(heap);
}

Test(thread, the_maker_of_a_heap_has_a_cache_there)
{
    begin();
    struct mole_tcache *cache = mole_thread_cache(record);
    require(cache != NULL, "it has none");
    require(mole_thread_owns(&cache->owner), "it does not own it");
    struct mole_use use = mole_thread_begin(record, false);
    require(use.cache == cache && !use.is_borrowed, "an operation uses another cache");
    require(load_rlx(&cache->owner.busy_a) == 1, "the cache is not entered");
    mole_thread_end(&use);
    require(load_rlx(&cache->owner.busy_a) == 0, "the cache is not left");
}

static const char *borrow_once(struct worker *worker)
{
    (void)worker;
    answer_unless(!mole_thread_cache(record),
                  "it has a cache before its first operation");
    struct mole_use use = mole_thread_begin(record, false);
    answer_unless(use.cache && use.is_borrowed, "the cache was not borrowed");
    answer_unless(mole_thread_owns(&use.cache->owner), "the borrower does not own it");
    struct mole_owner *owner = &use.cache->owner;
    mole_thread_end(&use);
    answer_unless(load_rlx(&owner->thread_a) == MOLE_ORPHAN, "it was not let go");
    answer_unless(!mole_thread_cache(record), "it was kept");
    return NULL;
}

Test(thread, a_newcomer_borrows_a_cache_for_one_operation)
{
    begin();
    run_workers(1, borrow_once, NULL);
}

static const char *borrow_until_kept(struct worker *worker)
{
    (void)worker;
    for (int i = 1; i < MOLE_KEEP_AFTER; i++) {
        struct mole_use use = mole_thread_begin(record, false);
        answer_unless(use.is_borrowed, "a cache was kept too early");
        mole_thread_end(&use);
    }
    struct mole_use use = mole_thread_begin(record, false);
    answer_unless(!use.is_borrowed, "the cache was not kept");
    mole_thread_end(&use);
    struct mole_tcache *cache = mole_thread_cache(record);
    answer_unless(cache == use.cache, "it cannot be found again");
    answer_unless(mole_thread_owns(&cache->owner), "it is not owned");
    answer_unless(mole_thread_recent(heap) == cache, "the fast path has another");
    return NULL;
}

Test(thread, it_keeps_a_cache_after_some_operations)
{
    begin();
    run_workers(1, borrow_until_kept, NULL);
}

static const char *settle(struct worker *worker)
{
    settle_in(heap);
    *(struct mole_tcache **)worker->shared = mole_thread_cache(record);
    return *(struct mole_tcache **)worker->shared ? NULL : "it did not settle";
}

Test(thread, the_cache_of_an_ended_thread_is_adopted)
{
    begin();
    struct mole_tcache *of_first, *of_second;
    uint64_t before = mole_heap_adoptions();
    run_workers(1, settle, &of_first);
    require(load_rlx(&of_first->owner.thread_a) == MOLE_ORPHAN, "it was not let go");
    run_workers(1, settle, &of_second);
    require(of_second == of_first, "the next thread got another cache");
    require(mole_heap_adoptions() > before, "no adoption was counted");
}

static const char *alloc_and_leave(struct worker *worker)
{
    void **blocks = worker->shared;
    settle_in(heap);
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = HeapAlloc(heap, 0, 100);
        answer_unless(blocks[i], "no block");
        stamp(blocks[i], 100, i);
    }
    return NULL;
}

Test(thread, blocks_of_an_ended_thread_live_on)
{
    begin();
    void *blocks[100];
    run_workers(1, alloc_and_leave, blocks);
    for (size_t i = 0; i < 100; i++) {
        require(stamp_is_intact(blocks[i], 100, i), "block %zu changed", i);
        require(HeapSize(heap, 0, blocks[i]) == 100, "block %zu lost its size", i);
        give_back(heap, blocks[i]);
    }
}

Test(thread, the_fast_path_finds_the_cache_by_the_handle)
{
    begin();
    struct mole_tcache *cache = mole_thread_recent(heap);
    require(cache == mole_thread_cache(record), "it finds another cache");
    require(cache->owner.heap == record, "it finds another heap's");
    require(load_rlx(&cache->owner.alloc_key_a) == heap, "its key is another");
    require(cache->owner.id == mole_heap_id(record), "its id is another");
}

Test(thread, the_fast_path_finds_nothing_for_an_unknown_handle)
{
    begin();
    char *strange = (char *)heap + MOLE_CHUNK;
    while (mole_thread_place(strange) != mole_thread_place(heap))
        strange += MOLE_CHUNK;
    require(load_rlx(&mole_thread_recent(strange)->owner.alloc_key_a) != strange,
            "it is remembered");
}

Test(thread, what_is_remembered_of_a_dead_heap_is_no_new_heaps)
{
    begin();
    struct mole_tcache *cache = mole_thread_recent(heap);
    uint64_t id = cache->owner.id;
    struct mole_heap *old = record;
    destroy_heap(heap);
    require(load_rlx(&old->word_a) != id, "the dead heap's word is still there");
    require(load_rlx(&cache->owner.alloc_key_a) == MOLE_NO_KEY, "its cache has a key");
    for (int i = 0; i < 100; i++) {
        HANDLE next = create_heap(0);
        require(mole_heap_id(inside(next)) != id, "a new heap has the old id");
        destroy_heap(next);
    }
}

Test(thread, it_finds_its_caches_in_many_heaps)
{
    enum { COUNT = 500 };
    static HANDLE heaps[COUNT];
    static struct mole_tcache *caches[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        heaps[i] = create_heap(0);
        caches[i] = mole_thread_cache(inside(heaps[i]));
        require(caches[i] != NULL, "no cache in heap %zu", i);
    }
    for (size_t i = 0; i < COUNT; i++)
        require(mole_thread_cache(inside(heaps[i])) == caches[i],
                "the cache in heap %zu is another one now", i);
    void *pointers[COUNT];
    memcpy(pointers, caches, sizeof pointers);
    require(all_distinct(pointers, COUNT), "two heaps share a cache");
}

/* Heaps whose records are in use from now on. */
static const char *use_records(struct worker *worker)
{
    (void)worker;
    for (int i = 0; i < 400; i++)
        (void)create_heap(0);
    return NULL;
}

Test(thread, caches_of_dead_heaps_are_forgotten)
{
    enum { COUNT = 400 };
    static HANDLE heaps[COUNT];
    begin();
    struct mole_thread *thread = mole_tls.thread;
    for (size_t i = 0; i < COUNT; i++)
        heaps[i] = create_heap(0);
    for (size_t i = 0; i < COUNT; i++)
        destroy_heap(heaps[i]);
    run_workers(1, use_records, NULL);
    for (int i = 0; i < 3 * COUNT && thread->kept.count >= COUNT; i++)
        (void)create_heap(0);
    require(thread->kept.count < COUNT, "the table still has %u", thread->kept.count);
    require(mole_thread_cache(record), "the live heap's was forgotten too");
}

Test(thread, a_record_has_one_entry_however_often_it_is_used)
{
    begin();
    struct mole_thread *thread = mole_tls.thread;
    destroy_heap(create_heap(0));
    uint32_t count = thread->kept.count;
    for (int i = 0; i < 100; i++) {
        HANDLE next = create_heap(0);
        require(mole_thread_cache(inside(next)), "the new heap's cache is not found");
        destroy_heap(next);
    }
    require(thread->kept.count == count, "%u entries, it was one more heap at a time",
            thread->kept.count);
}

Test(thread, a_heap_without_serialization_has_one_cache_for_all)
{
    begin();
    heap = create_heap(HEAP_NO_SERIALIZE);
    record = inside(heap);
    struct mole_use use = mole_thread_begin(record, false);
    require(load_rlx(&use.cache->owner.thread_a) == MOLE_SHARED, "it is one thread's");
    require(!use.is_borrowed && !mole_heap_owners(record)->next,
            "there is another cache");
    mole_thread_end(&use);
}

static const char *own_a_foreign_cache(struct worker *worker)
{
    const struct mole_owner *owner = worker->shared;
    return mole_thread_owns(owner) ? "it owns the cache of another thread" : NULL;
}

Test(thread, it_owns_neither_other_threads_caches_nor_orphans)
{
    begin();
    struct mole_tcache *cache = mole_thread_cache(record);
    run_workers(1, own_a_foreign_cache, &cache->owner);
    struct mole_tcache *orphan = mole_tcache_create(record, MOLE_ORPHAN, NULL);
    require(orphan && !mole_thread_owns(&orphan->owner), "it owns an orphan");
}

/* --- calls after the thread's destructor ran -------------------------------------- */

enum { LATE = 50 };

static struct late {
    pthread_key_t key;
    void *of_heap[LATE], *of_malloc[LATE];
    bool is_dying, works;
} late;

/* Runs after molehill's own, whose key is older. */
static void late_destructor(void *value)
{
    (void)value;
    late.is_dying = mole_thread_bits.is_dying;
    late.works = true;
    for (size_t i = 0; i < LATE; i++) {
        late.works &= HeapFree(heap, 0, late.of_heap[i]);
        mh_free(late.of_malloc[i]);
        void *block = HeapAlloc(heap, 0, 100), *other = mh_malloc(100);
        late.works &= block && other && HeapSize(heap, 0, block) == 100;
        late.works &= HeapFree(heap, 0, block);
        mh_free(other);
    }
}

static const char *end_late(struct worker *worker)
{
    (void)worker;
    settle_in(heap);
    for (size_t i = 0; i < LATE; i++) {
        late.of_heap[i] = HeapAlloc(heap, 0, 64);
        late.of_malloc[i] = mh_malloc(64);
        answer_unless(late.of_heap[i] && late.of_malloc[i], "no blocks");
    }
    answer_unless(pthread_setspecific(late.key, &late) == 0, "pthread_setspecific");
    return NULL;
}

Test(thread, blocks_are_freed_and_allocated_after_its_destructor_ran)
{
    begin();
    size_t before = allocated_bytes(heap), malloc_before = mole_process_malloc_bytes();
    require(pthread_key_create(&late.key, late_destructor) == 0, "pthread_key_create");
    run_workers(1, end_late, NULL);
    require(late.is_dying, "the destructor came first after all");
    require(late.works, "an operation failed");
    require(allocated_bytes(heap) == before, "%zu bytes are lost",
            allocated_bytes(heap) - before);
    require(mole_process_malloc_bytes() == malloc_before, "bytes of malloc are lost");
}

Test(thread, its_record_and_slots_are_used_by_the_next_thread)
{
    begin();
    struct mole_tcache *ignored;
    run_workers(1, settle, &ignored);
    struct mh_stats before = {.size = sizeof before}, after = before;
    require(mh_stats_get(&before) == 0, "no counters");
    for (int i = 0; i < 200; i++)
        run_workers(1, settle, &ignored);
    require(mh_stats_get(&after) == 0, "no counters");
    require(after.committed_bytes == before.committed_bytes,
            "200 threads one after another took %llu bytes",
            (unsigned long long)(after.committed_bytes - before.committed_bytes));
}

/* Records of heaps for others, which no list of theirs knows. */
static const char *leave_records(struct worker *worker)
{
    HANDLE heaps[20];
    (void)worker;
    for (size_t i = 0; i < 3; i++)
        (void)create_heap(0); /* those of the heaps that the test destroyed */
    for (size_t i = 0; i < 20; i++)
        heaps[i] = create_heap(0);
    for (size_t i = 0; i < 20; i++)
        destroy_heap(heaps[i]);
    return NULL;
}

/*
 * Until the list of what the thread keeps is full, so that the next heap needs a new one.
 * The thread has spare caches, which it remembers.
 */
static void fill_list(void)
{
    HANDLE heaps[3];
    for (size_t i = 0;
         mole_tls.thread->kept.count * 2 < mole_tls.thread->kept.room || i < 3; i++)
        heaps[i % 3] = create_heap(0);
    for (size_t i = 0; i < 3; i++)
        destroy_heap(heaps[i]);
    (void)mole_spare_release(true);
    run_workers(1, leave_records, NULL);
}

Test(thread, a_cache_that_cannot_be_kept_is_not_remembered)
{
    begin();
    fill_list();
    mole_pages_inject(1, true); /* no list to be had, for no record is */
    while (mole_meta_take(MOLE_META_LIST, sizeof(struct mole_kept) * 17)) {
    }
    size_t made_so_far = 0;
    for (int i = 0; i < 20; i++) {
        HANDLE next = HeapCreate(0, 0, 0);
        if (!next)
            continue;
        made_so_far++;
        struct mole_heap *made = inside(next);
        struct mole_tcache *recent = mole_thread_recent(next);
        require(mole_thread_cache(made) == NULL, "the test does not make keeping fail");
        require(load_rlx(&recent->owner.alloc_key_a) != next,
                "the fast path finds a stranger's cache");
        for (unsigned place = 0; place < MOLE_RECENT; place++)
            require(mole_tls.thread->recent[place] == &mole_tcache_idle ||
                        mole_thread_owns(&mole_tls.thread->recent[place]->owner) ||
                        load_rlx(&mole_tls.thread->recent[place]->owner.alloc_key_a) ==
                            MOLE_NO_KEY,
                    "a place leads to a cache that is up for adoption");
    }
    require(made_so_far >= 3, "only %zu heaps were made", made_so_far);
    mole_pages_inject(0, false);
}

static const char *destroy_that(struct worker *worker)
{
    return HeapDestroy(worker->shared) ? NULL : "it cannot be destroyed";
}

Test(thread, a_heap_that_another_destroyed_is_remembered_as_nobodys)
{
    begin();
    HANDLE other = create_heap(0);
    void *block = take(other, 0, 64);
    struct mole_tcache *cache = mole_thread_recent(other);
    run_workers(1, destroy_that, other);
    require(load_rlx(&cache->owner.alloc_key_a) == MOLE_NO_KEY, "it has its key");
    require(!HeapAlloc(other, 0, 64), "a block of a heap that is gone");
    require(!HeapFree(other, 0, block), "a block of a heap that is gone was freed");
}

Test(thread, no_key_is_no_handle)
{
    begin();
    HANDLE alive = create_heap(0);
    void *block = take(alive, 0, 64);
    for (int i = 0; i < 64; i++) {
        HANDLE other = create_heap(0);
        give_back(other, take(other, 0, 64));
        void *none = HeapAlloc(MOLE_NO_KEY, 0, 64);
        require(!none, "a block of a heap that was none");
        require(!HeapFree(MOLE_NO_KEY, 0, block), "a block was freed in it");
        destroy_heap(other);
        require(!HeapAlloc(MOLE_NO_KEY, 0, 64), "a block of a heap that is gone");
        require(!HeapAlloc(NULL, 0, 64), "a block of the heap NULL");
    }
    give_back(alive, block);
}
