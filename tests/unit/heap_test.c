/* SPDX-License-Identifier: MIT */
#include "arena/mode.h"

#include "unit.h"

static struct mole_heap *create(uint32_t flags)
{
    struct mole_heap *heap = mole_heap_create(flags, NULL);
    require(heap != NULL, "no heap");
    return heap;
}

static void *handle_of(struct mole_heap *heap)
{
    return load_rlx(&heap->handle_a);
}

static void end(struct mole_heap *heap)
{
    (void)mole_heap_kill(heap);
    mole_heap_finish(heap, NULL);
}

Test(heap, no_two_heaps_ever_have_one_id)
{
    uint64_t last = 0;
    for (int i = 0; i < 3000; i++) {
        struct mole_heap *heap = create(i % 3 == 0 ? MOLE_HEAP_NO_SERIALIZE : 0);
        uint64_t id = mole_heap_id(heap);
        require(id > last, "heap %d has id %llx after %llx", i, (unsigned long long)id,
                (unsigned long long)last);
        require((id & MOLE_MODE_MASK) == 0, "an id has mode bits");
        last = id;
        if (i % 5)
            end(heap);
    }
}

Test(heap, live_heaps_have_different_handles)
{
    enum { COUNT = 500 };
    static void *handles[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        handles[i] = handle_of(create(0));
    require(all_distinct(handles, COUNT), "two heaps have one handle");
}

Test(heap, find_finds_a_live_heap_by_its_handle)
{
    struct mole_heap *a = create(0), *b = create(MOLE_HEAP_NO_SERIALIZE);
    require(mole_heap_find(handle_of(a)) == a && mole_heap_find(handle_of(b)) == b,
            "it does not");
}

Test(heap, find_refuses_anything_else)
{
    HANDLE handle = create_heap(0);
    char *at = handle, *small = take(handle, 0, 64), *large = take(handle, 0, 300000);
    int here = 0;
    const void *wrong[] = {
        NULL,           (void *)1, (void *)UINTPTR_MAX, &here, at + 16,
        at + MOLE_PAGE, small,     small + 64,          large, large + MOLE_PAGE,
        inside(handle), wrong,     (char *)&mole_map,
    };
    for (size_t i = 0; i < LENGTH(wrong); i++)
        require(!mole_heap_find(wrong[i]), "%p (number %zu) is a heap", wrong[i], i);
}

Test(heap, find_refuses_every_byte_around_a_handle)
{
    HANDLE handle = create_heap(0);
    char *at = handle;
    for (ptrdiff_t offset = -64; offset < MOLE_PAGE + 64; offset++)
        require(offset == 0 || !mole_heap_find(at + offset), "offset %td is a heap",
                offset);
}

Test(heap, kill_makes_it_unfindable_at_once)
{
    struct mole_heap *heap = create(0);
    void *handle = handle_of(heap);
    uint64_t id = mole_heap_id(heap);
    (void)mole_heap_kill(heap);
    require(!mole_heap_find(handle), "it is found");
    require(mole_heap_id(heap) != id, "its word is still there");
    mole_heap_finish(heap, NULL);
    require(!mole_heap_find(handle), "it is found after its end");
}

Test(heap, kill_hands_out_its_caches)
{
    struct mole_heap *heap = create(0);
    struct mole_tcache *a = mole_tcache_create(heap, MOLE_ORPHAN, NULL);
    struct mole_tcache *b = mole_tcache_create(heap, MOLE_ORPHAN, NULL);
    require(a && b, "no caches");
    struct mole_owner *owner = mole_heap_kill(heap);
    require(owner == &b->owner && owner->next == &a->owner && !a->owner.next,
            "it does not");
    require(!mole_heap_owners(heap), "it still has them");
    mole_heap_finish(heap, NULL);
}

Test(heap, records_serve_heaps_of_the_same_kind_only)
{
    struct mole_heap *locked = create(0);
    end(locked);
    struct mole_heap *lockless = create(MOLE_HEAP_NO_SERIALIZE);
    require(lockless != locked && !lockless->arena.is_locked, "a lock came along");
    require(create(0) == locked, "the record was not used again");
}

Test(heap, all_records_are_found_by_going_through_them)
{
    struct mole_heap *heaps[20];
    size_t found = 0;
    for (size_t i = 0; i < LENGTH(heaps); i++)
        heaps[i] = create(0);
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        for (size_t i = 0; i < LENGTH(heaps); i++)
            found += heap == heaps[i];
    require(found == LENGTH(heaps), "%zu of 20 were found", found);
}

Test(heap, a_mode_changes_the_word_but_not_the_id)
{
    struct mole_heap *heap = create(0);
    uint64_t id = mole_heap_id(heap);
    struct mole_tcache *cache = mole_tcache_create(heap, mole_thread_self(), NULL);
    require(cache != NULL, "no cache");
    require(mole_mode_change(heap, id, MOLE_MODE_SPIED, 0), "it is gone");
    require(mole_heap_id(heap) == id, "the id changed");
    require(load_rlx(&heap->word_a) == (id | MOLE_MODE_SPIED), "the word has no mode");
    require(load_rlx(&cache->owner.alloc_key_a) == MOLE_NO_KEY,
            "the fast path would not notice");
    struct mole_tcache *next = mole_tcache_create(heap, mole_thread_self(), NULL);
    require(next != NULL, "no cache");
    require(load_rlx(&next->owner.alloc_key_a) == MOLE_NO_KEY,
            "a new cache does not know of it");
    require(mole_mode_change(heap, id, 0, MOLE_MODE_SPIED), "it is gone");
    require(load_rlx(&cache->owner.alloc_key_a) == handle_of(heap), "the mode stays");
    require(load_rlx(&next->owner.alloc_key_a) == handle_of(heap), "the mode stays");
    require(mole_heap_find(handle_of(heap)) == heap, "it is not found");
}

Test(heap, operations_work_while_a_mode_is_set)
{
    HANDLE handle = create_heap(0);
    give_back(handle, take(handle, 0, 100)); /* the fast path works now */
    struct mole_heap *heap = inside(handle);
    require(mole_mode_change(heap, mole_heap_id(heap), MOLE_MODE_SPIED, 0), "it is gone");
    void *block = take(handle, 0, 100);
    require(HeapSize(handle, 0, block) == 100, "the size is another");
    give_back(handle, block);
    require(!HeapValidate(handle, 0, block), "the block lives on");
}

Test(heap, an_orphan_is_adopted_once)
{
    struct mole_heap *heap = create(0);
    struct mole_tcache *cache = mole_tcache_create(heap, MOLE_ORPHAN, NULL);
    require(cache != NULL, "no cache");
    add_rlx(&heap->orphans_a, 1);
    uint64_t before = mole_heap_adoptions();
    require(mole_heap_adopt(heap, mole_thread_self()) == &cache->owner, "not adopted");
    require(load_rlx(&cache->owner.thread_a) == mole_thread_self(), "by nobody");
    require(mole_heap_adoptions() == before + 1, "not counted");
    require(!mole_heap_adopt(heap, mole_thread_self()), "adopted twice");
}

Test(heap, what_was_let_go_can_be_adopted_again)
{
    struct mole_heap *heap = create(0);
    struct mole_tcache *cache = mole_tcache_create(heap, mole_thread_self(), NULL);
    require(cache != NULL, "no cache");
    require(!mole_heap_adopt(heap, 8), "a cache in use was adopted");
    mole_heap_let_go(&cache->owner);
    require(mole_heap_adopt(heap, 8) == &cache->owner, "it cannot be adopted");
    mole_heap_let_go(&cache->owner);
    require(mole_heap_adopt(heap, 16) == &cache->owner, "it cannot be adopted again");
}

enum { ORPHANS = 50, ADOPTERS = 4 };

static void *adopted[ADOPTERS][ORPHANS];
static size_t adopted_count[ADOPTERS];

static const char *adopt_all(struct worker *worker)
{
    struct mole_owner *owner;
    while ((owner = mole_heap_adopt(worker->shared, mole_thread_self()))) {
        answer_unless(load_rlx(&owner->thread_a) == mole_thread_self(),
                      "it is another's");
        adopted[worker->index][adopted_count[worker->index]++] = owner;
    }
    return NULL;
}

Test(heap, threads_that_adopt_get_different_caches)
{
    struct mole_heap *heap = create(0);
    for (size_t i = 0; i < ORPHANS; i++)
        require(mole_tcache_create(heap, MOLE_ORPHAN, NULL), "no cache");
    add_rlx(&heap->orphans_a, ORPHANS);
    run_workers(ADOPTERS, adopt_all, heap);
    void *all[ORPHANS];
    size_t count = 0;
    for (size_t i = 0; i < ADOPTERS; i++)
        for (size_t j = 0; j < adopted_count[i] && count < ORPHANS; j++)
            all[count++] = adopted[i][j];
    require(count == ORPHANS, "%zu of %d were adopted", count, ORPHANS);
    require(all_distinct(all, count), "two threads adopted one");
}

Test(heap, mallocs_heap_has_no_handle_and_no_exact_sizes)
{
    struct mole_heap *heap = mole_process_malloc_heap();
    require(heap && !handle_of(heap), "it has a handle");
    require(!heap->is_sized && !heap->is_private, "it is like any other");
}

Test(heap, a_thousand_one_after_another_take_no_more_memory_than_one)
{
    stop_passes();
    struct mh_stats before = {.size = sizeof before}, after = before;
    end(create(0));
    require(mh_stats_get(&before) == 0, "no counters");
    for (int i = 0; i < 1000; i++)
        end(create(0));
    require(mh_stats_get(&after) == 0, "no counters");
    require(after.committed_bytes == before.committed_bytes, "a thousand heaps left %llu",
            (unsigned long long)(after.committed_bytes - before.committed_bytes));
}
