/* SPDX-License-Identifier: MIT */
#include "tcache/large_cache.h"

#include <molehill/molehill.h>
#include <sys/wait.h>

#include "../api/walking.h"
#include "arena/group.h"
#include "arena/region.h"
#include "tcache/compact.h"
#include "unit.h"

enum { BYTES = 100000, CHUNKS = 2 };

/* HEAP_NO_SERIALIZE and others alike: `flags` of the test's parameters. */
static HANDLE heap;

/* A heap in which the thread has a cache of its own. */
static void begin(DWORD flags)
{
    stop_passes();
    heap = create_heap(flags);
    settle_in(heap);
}

static struct mole_large_cache *kept(void)
{
    return &mole_thread_cache_at_hand(inside(heap))->large;
}

static unsigned state(size_t chunks)
{
    return load_rlx(&kept()->slot_a[chunks]) & MOLE_LARGE_STATES;
}

static size_t runs(void)
{
    size_t count = 0;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next)
        count++;
    return count;
}

/* A block of so many chunks, with other contents than 0, that is free again. */
static char *leave(size_t chunks)
{
    char *block = take(heap, 0, chunks * MOLE_CHUNK);
    memset(block, 0xDD, chunks * MOLE_CHUNK);
    give_back(heap, block);
    return block;
}

static const DWORD kinds[] = {0, HEAP_NO_SERIALIZE};

Test(large_cache, a_freed_block_is_the_next_of_its_size)
{
    for (size_t kind = 0; kind < LENGTH(kinds); kind++) {
        begin(kinds[kind]);
        char *block = leave(CHUNKS);
        uint64_t refills = mole_arena_refills();
        for (size_t bytes = MOLE_CHUNK + 1; bytes <= (size_t)CHUNKS * MOLE_CHUNK;
             bytes += 5000) {
            require(take(heap, 0, bytes) == block, "%zu bytes are elsewhere", bytes);
            require(HeapSize(heap, 0, block) == bytes, "it has %zu bytes, not %zu",
                    HeapSize(heap, 0, block), bytes);
            give_back(heap, block);
        }
        require(mole_arena_refills() == refills, "the arena was asked for a run");
        destroy_heap(heap);
    }
}

Test(large_cache, malloc_has_the_same)
{
    stop_passes();
    char *block = mh_malloc(BYTES);
    mh_free(block);
    require(mh_malloc(BYTES - 5000) == block, "it is elsewhere");
    size_t room = mh_malloc_usable_size(block);
    require(room >= BYTES - 5000 && room % MOLE_PAGE == 0, "it has %zu bytes", room);
    memset(block, 0xDD, room);
    char *moved = mh_realloc(block, (size_t)CHUNKS * MOLE_CHUNK + 1);
    require(is_all(moved, room, 0xDD), "not all of it was moved");
    mh_free(moved);
    require(mh_calloc(1, BYTES) != NULL, "no block");
}

Test(large_cache, what_is_kept_is_no_live_block)
{
    begin(0);
    struct walked walked = {0};
    HEAP_SUMMARY before = {.cb = sizeof before}, after = {.cb = sizeof after};
    require(HeapSummary(heap, 0, &before), "HeapSummary failed");
    char *block = leave(CHUNKS);
    require(state(CHUNKS) == MOLE_LARGE_READY, "it is not kept");
    require(!HeapFree(heap, 0, block), "it was freed twice");
    require(HeapSize(heap, 0, block) == (SIZE_T)-1, "it has a size");
    require(!HeapReAlloc(heap, 0, block, 10), "it was resized");
    require(!HeapValidate(heap, 0, block), "it is valid");
    require(HeapValidate(heap, 0, NULL), "the heap is not");
    walk(heap, &walked);
    require(busy_count(&walked) == 0, "HeapWalk shows it");
    require(HeapSummary(heap, 0, &after), "HeapSummary failed");
    require(after.cbAllocated == before.cbAllocated &&
                after.cbCommitted == before.cbCommitted &&
                after.cbReserved == before.cbReserved,
            "HeapSummary counts it: %zu, %zu, %zu bytes", after.cbAllocated,
            after.cbCommitted, after.cbReserved);
}

static const char *free_others(struct worker *worker)
{
    settle_in(heap);
    answer_unless(HeapFree(heap, 0, worker->shared), "HeapFree failed");
    return HeapFree(heap, 0, worker->shared) ? "it was freed twice" : NULL;
}

/* The thread could keep it, for it has the block that it kept before. */
Test(large_cache, what_another_thread_keeps_is_no_live_block)
{
    begin(0);
    void *block = leave(CHUNKS), *other = take(heap, 0, BYTES);
    require(block == other, "it is elsewhere");
    block = take(heap, 0, BYTES);
    run_workers(1, free_others, block);
    require(!HeapFree(heap, 0, block), "it was freed twice");
    give_back(heap, other);
    require(state(CHUNKS) == MOLE_LARGE_READY, "nothing is kept");
}

Test(large_cache, other_heaps_blocks_are_refused)
{
    begin(0);
    HANDLE other = create_heap(0);
    settle_in(other);
    give_back(other, take(other, 0, BYTES));
    (void)take(other, 0, BYTES); /* that heap's cache could keep one */
    char *block = leave(CHUNKS);
    require(take(heap, 0, BYTES) == block, "it is elsewhere");
    require(!HeapFree(other, 0, block), "another heap freed it");
    require(!HeapFree(heap, 0, block + MOLE_PAGE), "an address inside was freed");
    require(!HeapFree(heap, 0, block + 16), "another one was");
    require(HeapSize(heap, 0, block) == BYTES, "it has gone");
}

Test(large_cache, zeroed_blocks_are_zero_whatever_is_kept)
{
    for (size_t kind = 0; kind < LENGTH(kinds); kind++) {
        begin(kinds[kind]);
        for (unsigned passes = 0; passes < 3; passes++) {
            char *block = leave(CHUNKS);
            for (unsigned i = 0; i < passes; i++)
                (void)mole_pool_pass();
            require(take(heap, HEAP_ZERO_MEMORY, BYTES) == block, "it is elsewhere");
            require(is_all(block, BYTES, 0), "after %u passes it is not zero", passes);
            give_back(heap, block);
        }
    }
}

Test(large_cache, the_second_pass_gives_the_pages_back)
{
    for (size_t kind = 0; kind < LENGTH(kinds); kind++) {
        begin(kinds[kind]);
        char *block = leave(CHUNKS);
        require(mole_pool_pass() >= 1 && state(CHUNKS) == MOLE_LARGE_OLD,
                "after one pass its state is %u", state(CHUNKS));
        require(is_all(block, BYTES, 0xDD), "one pass gave its pages back");
        (void)mole_pool_pass();
        require(state(CHUNKS) == MOLE_LARGE_CLEAN, "after two it is %u", state(CHUNKS));
        require(is_all(block, BYTES, 0), "two passes did not give its pages back");
        require(mole_large_cache_pass(false) == 0, "it counts as warm");
        require(take(heap, 0, BYTES) == block, "it is elsewhere");
        give_back(heap, block);
        (void)mole_pool_pass();
        require(state(CHUNKS) == MOLE_LARGE_OLD, "what was used again is as old");
    }
}

Test(large_cache, no_more_is_kept_than_is_allowed)
{
    begin(0);
    for (size_t chunks = 1; chunks <= 2 * MOLE_LARGE_MOST; chunks++)
        (void)leave(chunks);
    size_t sum = 0;
    for (size_t chunks = 1; chunks <= MOLE_LARGE_MOST; chunks++)
        sum += load_rlx(&kept()->slot_a[chunks]) ? chunks : 0;
    require(sum > 0 && sum <= MOLE_LARGE_KEPT, "%zu chunks are kept", sum);
    require(load_rlx(&kept()->slot_a[MOLE_LARGE_ODD]) == 0, "the last slot is in use");
    size_t held = 0;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next)
        held += run->chunks;
    require(held <= MOLE_LARGE_KEPT + 2, "the heap has %zu chunks", held);
}

Test(large_cache, sizes_that_are_not_used_any_more_make_room)
{
    begin(0);
    (void)leave(MOLE_LARGE_MOST);
    (void)leave(8);
    for (size_t i = 0; i < 3; i++)
        (void)leave(6);
    require(state(6) == MOLE_LARGE_READY, "the size in use is not kept");
    require(state(8) == 0, "one that must go for it still is");
    require(state(MOLE_LARGE_MOST) == MOLE_LARGE_OLD, "one that need not go did");
    for (size_t i = 0; i < 3; i++) {
        (void)leave(MOLE_LARGE_MOST);
        (void)leave(6);
    }
    require(state(6) == MOLE_LARGE_READY && state(MOLE_LARGE_MOST) == MOLE_LARGE_READY,
            "two that fit are not both kept");
}

Test(large_cache, one_that_is_clean_goes_when_a_warm_one_comes)
{
    begin(0);
    char *other = take(heap, 0, BYTES);
    char *block = leave(CHUNKS);
    (void)mole_pool_pass();
    (void)mole_pool_pass();
    give_back(heap, other);
    require(state(CHUNKS) == MOLE_LARGE_READY, "the slot's state is %u", state(CHUNKS));
    require(!is_mapped(block), "the clean one is still there");
    require(take(heap, 0, BYTES) == other, "not the warm one");
}

Test(large_cache, other_spans_are_not_kept)
{
    stop_passes();
    heap = create_heap(0);
    char *block = mh_aligned_alloc((size_t)4 * MOLE_CHUNK, MOLE_CHUNK);
    require((uintptr_t)block % ((size_t)4 * MOLE_CHUNK) == 0, "it is not aligned");
    static void *between[32];
    for (size_t i = 0; mole_span_run(span_of(block))->base == block; i++) {
        require(i < LENGTH(between), "all start their runs");
        between[i] = mh_malloc(40000);
        block = mh_aligned_alloc((size_t)4 * MOLE_CHUNK, MOLE_CHUNK);
    }
    mh_free(block);
    require(!is_mapped(block), "one that does not start its run is kept");
    char *most = mh_malloc((size_t)(MOLE_LARGE_MOST + 1) * MOLE_CHUNK);
    mh_free(most);
    require(!is_mapped(most), "one of too many chunks is kept");
}

Test(large_cache, heaps_with_checks_or_code_keep_nothing)
{
    stop_passes();
    const DWORD others[] = {HEAP_CREATE_ENABLE_EXECUTE, HEAP_TAIL_CHECKING_ENABLED};
    for (size_t i = 0; i < LENGTH(others); i++) {
        heap = create_heap(others[i]);
        settle_in(heap);
        void *block = take(heap, 0, BYTES);
        give_back(heap, block);
        require(!is_mapped(block), "a heap with flags %x keeps it", (unsigned)others[i]);
        destroy_heap(heap);
    }
}

Test(large_cache, compacting_gives_it_to_the_pool)
{
    for (size_t kind = 0; kind < LENGTH(kinds); kind++) {
        begin(kinds[kind]);
        size_t before = runs();
        void *block = leave(CHUNKS);
        (void)leave(7);
        require(runs() == before + 2, "they are not kept");
        mole_compact_heap(inside(heap), NULL);
        require(runs() == before && !is_mapped(block), "they still are");
        require(take(heap, 0, BYTES) != NULL, "no block");
    }
}

static const char *reclaim(struct worker *worker)
{
    worker->shared = NULL;
    return mole_large_cache_reclaim(mole_heap_find(heap), NULL) == 1 ? NULL
                                                                     : "not one run";
}

Test(large_cache, another_thread_reclaims_it)
{
    begin(0);
    void *block = leave(CHUNKS);
    run_workers(1, reclaim, NULL);
    require(!is_mapped(block), "it is still kept");
    block = leave(CHUNKS);
    require(state(CHUNKS) == MOLE_LARGE_READY, "nothing is kept any more");
    require(take(heap, 0, BYTES) == block, "it is elsewhere");
}

/* There is no memory but what is kept. */
static void use_up(void)
{
    mole_region_shrink(0);
    while (mole_pool_take(mole_thread_slots(), 1))
        continue;
}

Test(large_cache, who_finds_no_memory_has_what_other_heaps_keep)
{
    begin(0);
    HANDLE other = create_heap(0);
    (void)take(other, 0, MOLE_SLAB_MAX + 1);
    (void)leave(7);
    mole_region_shrink(0);
    while (HeapAlloc(other, 0, MOLE_SLAB_MAX + 1) && state(7) == MOLE_LARGE_READY)
        continue;
    require(state(7) == MOLE_LARGE_OPEN, "it is still kept");
    for (size_t i = 0; i < 6; i++)
        (void)take(other, 0, MOLE_SLAB_MAX + 1);
    require(!HeapAlloc(other, 0, MOLE_SLAB_MAX + 1), "there was more");
}

Test(large_cache, a_heap_without_a_lock_that_finds_no_memory_has_its_own)
{
    begin(HEAP_NO_SERIALIZE);
    (void)leave(7);
    use_up();
    size_t count = 0;
    while (HeapAlloc(heap, 0, MOLE_SLAB_MAX + 1))
        count++;
    require(count == 7, "%zu blocks of a chunk, not 7", count);
}

Test(large_cache, it_goes_with_its_heap)
{
    stop_passes();
    for (size_t kind = 0; kind < 2 * LENGTH(kinds); kind++) {
        size_t used = 0;
        for (size_t i = 0; i < 50; i++) {
            heap = create_heap(kinds[kind / 2]);
            settle_in(heap);
            char *block = leave(CHUNKS);
            for (size_t passes = 0; passes < i % 3; passes++)
                (void)mole_pool_pass();
            if (kind % 2) /* such heaps are not kept for another life */
                require(HeapLock(heap) || kinds[kind / 2], "HeapLock failed");
            destroy_heap(heap);
            require(!is_mapped(block), "it is in the map");
            if (i == 10)
                used = mole_group_figures().used_bytes;
            require(i < 10 || mole_group_figures().used_bytes <= used,
                    "records get lost");
        }
    }
}

Test(large_cache, frees_are_counted_once)
{
    begin(0);
    struct mh_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    require(mh_stats_get(&before) == 0, "no figures");
    for (size_t i = 0; i < 10; i++)
        (void)leave(CHUNKS);
    require(mh_stats_get(&after) == 0, "no figures");
    require(after.frees - before.frees == 10, "%lu frees, not 10",
            (unsigned long)(after.frees - before.frees));
    destroy_heap(heap);
    require(mh_stats_get(&after) == 0, "no figures");
    require(after.frees - before.frees == 10, "%lu frees at the end",
            (unsigned long)(after.frees - before.frees));
}

static size_t free_spans(void)
{
    size_t count = 0;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next) {
        struct mole_span *span = mole_span_map_find(run->base);
        count +=
            span->kind == MOLE_SPAN_LARGE && load_rlx(&span->bytes_a) == MOLE_LARGE_FREE;
    }
    return count;
}

static const char *leave_one(struct worker *worker)
{
    (void)worker;
    settle_in(heap);
    return leave(3) ? NULL : "no block";
}

Test(large_cache, a_forks_child_gives_back_what_other_threads_keep)
{
    begin(0);
    run_workers(1, leave_one, NULL);
    (void)leave(CHUNKS);
    require(free_spans() == 2, "%zu spans are kept", free_spans());
    pid_t child = fork();
    if (child == 0) {
        bool is_good = free_spans() == 0 && HeapValidate(heap, 0, NULL) &&
                       HeapAlloc(heap, 0, BYTES) && HeapDestroy(heap);
        _exit(!is_good);
    }
    int status;
    require(waitpid(child, &status, 0) == child, "no child");
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child found some");
    require(free_spans() == 2, "the parent has lost some");
}
