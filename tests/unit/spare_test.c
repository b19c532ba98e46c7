/* SPDX-License-Identifier: MIT */
#include "tcache/spare.h"

#include "arena/group.h"
#include "arena/mode.h"
#include "arena/region.h"
#include "unit.h"

static HANDLE heap;
static struct mole_heap *record;

static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    record = inside(heap);
}

/* Heaps of either kind that the calling thread keeps. */
static size_t spares(void)
{
    size_t count = 0;
    for (unsigned i = 0; i < 2 * MOLE_SPARES; i++)
        count +=
            load_rlx(&mole_tls.thread->spares.heap_a[i / MOLE_SPARES][i % MOLE_SPARES]) !=
            NULL;
    return count;
}

static bool is_kept(const struct mole_heap *kept)
{
    for (unsigned i = 0; i < 2 * MOLE_SPARES; i++)
        if (load_rlx(&mole_tls.thread->spares.heap_a[i / MOLE_SPARES][i % MOLE_SPARES]) ==
            kept)
            return true;
    return false;
}

Test(spare, a_heap_lives_again_with_another_id)
{
    begin();
    uint64_t id = mole_heap_id(record);
    destroy_heap(heap);
    require(is_kept(record), "the heap was not kept");
    HANDLE next = create_heap(HEAP_GENERATE_EXCEPTIONS);
    require(next == heap && inside(next) == record, "it is not the heap that was kept");
    require(spares() == 0, "it is kept and in use");
    require(mole_heap_id(record) > id, "it has an old id");
    require(record->flags == HEAP_GENERATE_EXCEPTIONS, "it has flags 0x%x",
            record->flags);
    require(mole_thread_cache(record) == mole_thread_recent(next),
            "the thread does not find its cache");
}

Test(spare, its_first_allocations_find_slabs)
{
    begin();
    for (int life = 0; life < 3; life++) {
        uint64_t refills = 0;
        for (size_t bytes = 16; bytes <= 256; bytes += 16) {
            struct mole_tcache *cache = mole_thread_recent(heap);
            refills += cache->direct[bytes / 16 - 1] == &mole_tcache_none &&
                       cache->current[MOLE_CLASS_MIXED]->free == MOLE_END;
            (void)take(heap, 0, bytes);
        }
        require(life == 0 || refills == 0, "%zu sizes have no slab", (size_t)refills);
        destroy_heap(heap);
        heap = create_heap(0);
    }
}

Test(spare, what_is_gone_is_refused_as_ever)
{
    begin();
    void *block = take(heap, 0, 100);
    HANDLE other = create_heap(0);
    destroy_heap(heap);
    require(is_kept(record), "the heap was not kept");
    require(!HeapAlloc(heap, 0, 100), "a block of a heap that is gone");
    require(!HeapFree(heap, 0, block), "its block was freed");
    require(!HeapFree(other, 0, block), "another heap freed its block");
    require(HeapSize(heap, 0, block) == (SIZE_T)-1, "its block has a size");
    require(!HeapReAlloc(heap, 0, block, 50), "its block was resized");
    require(!HeapValidate(heap, 0, NULL), "it is valid");
    require(!HeapLock(heap), "it was locked");
    require(!HeapDestroy(heap), "it was destroyed once more");
    HANDLE next = create_heap(0);
    require(next == heap, "it is not the heap that was kept");
    require(!HeapFree(next, 0, block), "a block of an earlier life was freed");
    require(HeapSize(next, 0, block) == (SIZE_T)-1, "it has a size");
    require(allocated_bytes(next) == 0, "%zu bytes are live", allocated_bytes(next));
}

Test(spare, kinds_are_kept_apart)
{
    begin();
    HANDLE plain = create_heap(HEAP_NO_SERIALIZE);
    struct mole_heap *unlocked = inside(plain);
    destroy_heap(plain);
    destroy_heap(heap);
    require(is_kept(record) && is_kept(unlocked), "one was not kept");
    require(inside(create_heap(0)) == record, "it has no lock");
    require(inside(create_heap(HEAP_NO_SERIALIZE)) == unlocked, "it has a lock");
}

Test(spare, heaps_that_are_not_plain_are_not_kept)
{
    begin();
    const DWORD flags[] = {HEAP_CREATE_ENABLE_EXECUTE, HEAP_TAIL_CHECKING_ENABLED,
                           HEAP_FREE_CHECKING_ENABLED, HEAP_CREATE_HARDENED};
    destroy_heap(heap);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        HANDLE other = create_heap(flags[i]);
        require(inside(other) != record, "flags 0x%x got a plain heap", flags[i]);
        destroy_heap(other);
        require(spares() == 1, "a heap of flags 0x%x was kept", flags[i]);
    }
    destroy_heap(HeapCreate(0, 0, 100000));
    require(spares() == 1, "a heap of fixed size was kept");
    require(mh_configure("global_flag:0x10") == 0, "no global flag");
    HANDLE checked = create_heap(0);
    require(inside(checked) != record && inside(checked)->checks,
            "the global flag had no effect");
}

Test(spare, one_with_a_mode_is_not_kept)
{
    begin();
    require(HeapLock(heap), "not locked");
    destroy_heap(heap);
    require(spares() == 0, "a heap with its gate shut was kept");
    heap = create_heap(0);
    record = inside(heap);
    (void)mole_mode_change(record, mole_heap_id(record), MOLE_MODE_SPIED, 0);
    destroy_heap(heap);
    require(spares() == 0, "a spied heap was kept");
}

Test(spare, modes_of_heaps_to_come_reach_it)
{
    begin();
    destroy_heap(heap);
    mole_mode_change_to_come(MOLE_MODE_SPIED, 0);
    require(create_heap(0) == heap, "it is not the heap that was kept");
    require(mole_mode_of(record) == MOLE_MODE_SPIED, "its mode is %u",
            mole_mode_of(record));
    struct mole_owner *owner = &mole_thread_cache(record)->owner;
    require(load_rlx(&owner->alloc_key_a) == MOLE_NO_KEY &&
                load_rlx(&owner->spied_key_a) == heap,
            "its keys are those of a heap that nobody watches");
}

Test(spare, there_are_so_many_of_a_kind)
{
    enum { COUNT = MOLE_SPARES + 2 };
    HANDLE heaps[COUNT];
    begin();
    for (size_t i = 0; i < COUNT; i++)
        heaps[i] = create_heap(0);
    size_t used = mole_group_figures().used_bytes;
    for (size_t i = 0; i < COUNT; i++)
        destroy_heap(heaps[i]);
    require(spares() == MOLE_SPARES, "%zu are kept", spares());
    require(mole_group_figures().used_bytes < used, "the others were not given back");
}

static const char *destroy_it(struct worker *worker)
{
    (void)worker;
    return HeapDestroy(heap) && spares() == 0 ? NULL : "it was kept";
}

Test(spare, another_threads_heap_is_not_kept)
{
    begin();
    (void)take(heap, 0, 100);
    run_workers(1, destroy_it, NULL);
    require(spares() == 0, "its maker got it back");
}

static const char *keep_one(struct worker *worker)
{
    (void)worker;
    (void)HeapDestroy(HeapCreate(0, 0, 0));
    return spares() == 1 ? NULL : "it was not kept";
}

Test(spare, they_go_with_their_thread)
{
    begin();
    run_workers(1, keep_one, NULL); /* whatever a first thread needs */
    size_t free = mole_meta_free(), ever = mole_meta_ever();
    run_workers(4, keep_one, NULL);
    run_workers(1, keep_one, NULL);
    size_t now = mole_meta_ever() - mole_meta_free();
    require(now <= ever - free + 4096, "%zu bytes of records more are in use",
            now - (ever - free));
    for (struct mole_thread *thread = mole_thread_first(); thread;
         thread = thread->all_next)
        for (unsigned i = 0; i < MOLE_SPARES; i++)
            require(!load_rlx(&thread->spares.heap_a[1][i]), "one was left behind");
}

Test(spare, they_are_given_back_by_age)
{
    begin();
    HANDLE second = create_heap(0);
    destroy_heap(heap);
    destroy_heap(second);
    (void)mole_pool_pass();
    require(spares() == 2, "they went too early");
    require(create_heap(0) == heap, "it is not the heap that was kept");
    destroy_heap(heap);
    require(mole_pool_pass() >= 1, "the pass does not know of what is left");
    require(spares() == 1 && is_kept(record), "not one of two was used meanwhile");
    (void)mole_pool_pass();
    require(spares() == 0, "it did not go");
    require(!is_mapped(heap), "its handle leads somewhere");
}

Test(spare, they_are_given_back_when_asked_for)
{
    begin();
    destroy_heap(heap);
    (void)HeapCompact(GetProcessHeap(), 0);
    require(spares() == 0, "HeapCompact left it");
    require(!is_mapped(heap), "its handle leads somewhere");
}

Test(spare, they_are_given_back_when_memory_is_short)
{
    begin();
    HANDLE heaps[MOLE_SPARES];
    for (size_t i = 0; i < MOLE_SPARES; i++)
        heaps[i] = create_heap(0);
    mole_region_shrink(1);
    while (mole_pool_take(NULL, 1)) {
    }
    for (size_t i = 0; i < MOLE_SPARES; i++)
        destroy_heap(heaps[i]);
    require(spares() == MOLE_SPARES, "%zu were kept", spares());
    for (size_t i = 0; i < MOLE_SPARES; i++)
        require(mole_pool_take(NULL, 1), "run %zu was not to be had", i);
    require(spares() == 0, "they were not given back");
}
