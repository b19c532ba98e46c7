/* SPDX-License-Identifier: MIT */
/*
 * malloc while a mode of its heap is set: every call takes its slow path, and works.
 */
#include "unit.h"

#include <sys/mman.h>

#include "../misuse/dying.h"
#include "../race/bait.h"
#include "../race/malloc_mode.h"
#include "arena/large.h"
#include "arena/region.h"
#include "tcache/block.h"

static struct bait bait;

/* The thread has a cache; the fast paths are to find the bait. */
static void begin(void)
{
    stop_passes();
    mh_free(get(64));
    require(bait_init(&bait), "no memory for the bait");
}

static void require_fast(void *(*call)(void), bool is_fast, const char *what)
{
    uint64_t before = bait_state(&bait);
    bait_lay(&bait);
    void *block = call();
    bait_lift(&bait);
    require(block != NULL, "%s gave nothing", what);
    require((bait_state(&bait) != before) == is_fast, "%s took the %s path", what,
            is_fast ? "slow" : "fast");
}

static void *small(void)
{
    return mh_malloc(BAIT_SMALL);
}

static void *medium(void)
{
    return mh_malloc(BAIT_MEDIUM);
}

static void *zeroed(void)
{
    return mh_calloc(BAIT_SMALL / 8, 8);
}

static void *resized(void)
{
    return mh_realloc(NULL, BAIT_SMALL);
}

static void *freed;

static void *free_block(void)
{
    mh_free(freed);
    return freed;
}

static void require_all_fast(bool are_fast)
{
    require_fast(small, are_fast, "malloc");
    require_fast(medium, are_fast, "malloc of a medium block");
    require_fast(zeroed, are_fast, "calloc");
    require_fast(resized, are_fast, "realloc of NULL");
    freed = get(200);
    require_fast(free_block, are_fast, "free");
    freed = get(5000);
    require_fast(free_block, are_fast, "free of a medium block");
}

Test(malloc, without_a_mode_the_fast_paths_are_taken)
{
    begin();
    require_all_fast(true);
}

Test(malloc, under_a_mode_no_fast_path_is_taken)
{
    begin();
    malloc_switch(false);
    for (size_t i = 0; i < 100; i++)
        require_all_fast(false);
    malloc_switch(true);
    require_all_fast(true);
}

static const char *use_malloc(struct worker *worker)
{
    void *blocks[50];
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        blocks[i] = i % 2 ? mh_malloc(i * 900) : mh_calloc(i, 900);
        answer_unless(blocks[i], "no block");
        answer_unless(i % 2 || is_all(blocks[i], i * 900, 0), "calloc gave dirt");
        stamp(blocks[i], i * 900, i);
        blocks[i] = mh_realloc(blocks[i], i * 1800 + 1);
        answer_unless(blocks[i] && stamp_is_intact(blocks[i], i * 900, i), "realloc");
        answer_unless(mh_malloc_usable_size(blocks[i]) > i * 1800, "usable size");
    }
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        answer_unless(stamp_is_intact(blocks[i], i * 900, i), "a block changed");
        if (worker)
            mh_free(blocks[i]);
        else
            answer_unless(!mh_realloc(blocks[i], 0), "realloc to 0 gave a block");
    }
    return NULL;
}

/* Slow paths, new memory and new threads do not end it. */
Test(malloc, a_mode_lasts_until_it_is_taken_back)
{
    void *more[64];
    begin();
    malloc_switch(false);
    size_t before = mole_process_malloc_bytes();
    uint64_t committed = mole_region_committed();
    for (size_t i = 0; i < LENGTH(more); i++)
        more[i] = get(MIB);
    require(mole_region_committed() > committed, "the region has not grown");
    run_workers(4, use_malloc, NULL);
    const char *wrong = use_malloc(NULL);
    require(!wrong, "%s", wrong);
    require_all_fast(false);
    for (size_t i = 0; i < LENGTH(more); i++)
        mh_free(more[i]);
    require(mole_process_malloc_bytes() >= before, "more was freed than there was");
    malloc_switch(true);
    freed = get(200);
    require_fast(free_block, true, "free afterwards");
}

Test(malloc, under_a_mode_all_calls_work_and_nothing_is_left)
{
    begin();
    size_t before = mole_process_malloc_bytes();
    malloc_switch(false);
    run_workers(4, use_malloc, NULL);
    const char *wrong = use_malloc(NULL);
    require(!wrong, "%s", wrong);
    require(mole_process_malloc_bytes() == before, "%zu bytes are left",
            mole_process_malloc_bytes() - before);
    malloc_switch(true);
    require(mole_process_malloc_bytes() == before, "%zu bytes are left then",
            mole_process_malloc_bytes() - before);
}

/* The newest memory is the slabs of the bait: past an old limit, free would be slow. */
Test(malloc, memory_that_came_under_a_mode_is_known_to_the_fast_paths)
{
    begin();
    malloc_switch(false);
    for (size_t i = 0; i < 64; i++)
        get(MIB);
    require(bait_init(&bait), "no memory for the bait");
    malloc_switch(true);
    bait_lay(&bait);
    freed = mh_malloc(BAIT_SMALL);
    bait_lift(&bait);
    require(span_of(freed) == bait.small, "malloc took the slow path");
    require_fast(free_block, true, "free");
}

static void resize_it(void *pointer)
{
    mh_realloc(pointer, 100);
}

static void ask_it(void *pointer)
{
    mh_malloc_usable_size(pointer);
}

Test(malloc, under_a_mode_misuse_dies_and_names_the_pointer)
{
    begin();
    malloc_switch(false);
    for (EACH_SIZE(bytes)) {
        char *block = get(bytes);
        require_death(free_it, block + 1, "interior free");
        mh_free(block);
        require_death(free_it, block, "double free");
        require_death(resize_it, block, "realloc of a freed block");
        require_death(ask_it, block, "malloc_usable_size of a freed block");
    }
}

static const char *allocate_there(struct worker *worker)
{
    void **block = worker->shared;
    *block = mh_malloc(64);
    return *block ? NULL : "no block";
}

Test(malloc, under_a_mode_a_second_free_of_another_threads_block_dies)
{
    void *block;
    begin();
    malloc_switch(false);
    run_workers(1, allocate_there, &block);
    mh_free(block);
    require_death(free_it, block, "double free of another thread's block");
}

Test(malloc, under_a_mode_foreign_addresses_are_tolerated)
{
    alignas(16) static char statics[64];
    begin();
    malloc_switch(false);
    uint64_t before = mole_block_foreign();
    errno = ERRNO_SENTINEL;
    mh_free(statics);
    require(errno == ERRNO_SENTINEL, "free set errno to %d", errno);
    require(mh_malloc_usable_size(statics) == 0, "it has a usable size");
    require(!mh_realloc(statics, 10) && errno == ENOMEM, "it was resized");
    require(mole_block_foreign() == before + 3, "not all were counted");
}

Test(malloc, realloc_moves_what_grows_by_little_now_and_then_only)
{
    char *block = mh_malloc(200);
    size_t moves = 0;
    stamp(block, 200, 1);
    for (size_t bytes = 208; bytes <= 30000; bytes += 8) {
        char *grown = mh_realloc(block, bytes);
        require(grown != NULL, "no %zu bytes", bytes);
        require(mh_malloc_usable_size(grown) >= bytes, "%zu of %zu bytes",
                mh_malloc_usable_size(grown), bytes);
        moves += grown != block;
        block = grown;
    }
    require(stamp_is_intact(block, 200, 1), "its contents changed");
    require(moves <= 26, "it moved %zu times",
            moves); /* by a quarter: log 150 / log 5/4 */
}

Test(malloc, realloc_stays_only_where_the_block_is_no_waste)
{
    char *block = mh_malloc(1000);
    require(mh_realloc(block, 512) == block, "half of it is waste");
    require(mh_realloc(block, 300) != block, "a third of it is enough to stay");
}

Test(malloc, realloc_of_an_address_inside_a_block_dies_also_where_it_would_stay)
{
    char *block = mh_malloc(100);
    require_death(resize_it, block + 16, "realloc of an interior address");
}

static void resize_large(void *pointer)
{
    mh_realloc(pointer, 100000);
}

Test(malloc, realloc_of_a_large_block_stays_where_it_has_room)
{
    char *block = mh_malloc(200000);
    size_t room = span_of(block)->room;
    require(room >= 200704 && mh_malloc_usable_size(block) == 200704, "its room");
    stamp(block, 200000, 1);
    require(mh_realloc(block, room) == block, "it has room for %zu bytes", room);
    require(mh_malloc_usable_size(block) == room, "it did not grow");
    require(mh_realloc(block, 100000) == block, "it is not much smaller");
    require(mh_malloc_usable_size(block) == 102400, "it did not shrink");
    char *grown = mh_realloc(block, room + 1);
    require(grown && span_of(grown)->room > room, "it has no more room");
    require(stamp_is_intact(grown, 100000, 1), "its contents changed");
    char *small = mh_realloc(grown, 1000);
    require(small && span_of(small)->kind == MOLE_SPAN_SLAB, "it is large still");
    require(stamp_is_intact(small, 1000, 1), "its contents changed with it");
}

Test(malloc, realloc_gives_pages_back_where_a_block_shrinks_by_much)
{
    char *block = mh_malloc(4 * (size_t)MIB);
    memset(block, 1, 4 * (size_t)MIB);
    require(mh_realloc(block, MIB) == block, "it moved");
    unsigned char is_resident;
    require(mincore(block + MIB - MOLE_PAGE, MOLE_PAGE, &is_resident) == 0 && is_resident,
            "a page of the block went");
    require(mincore(block + 2 * MIB, MOLE_PAGE, &is_resident) == 0 && !is_resident,
            "a page behind it stayed");
}

Test(malloc, realloc_of_a_large_block_that_is_free_dies)
{
    begin();
    for (int has_mode = 0; has_mode < 2; has_mode++) {
        malloc_switch(!has_mode);
        char *block = get(200000);
        mh_free(block);
        require(span_of(block)->base == block, "no cache keeps the span");
        require(!mole_large_resize_here(span_of(block), block, 100000), "it was resized");
        require_death(resize_large, block, "realloc of a freed large block");
        require_death(resize_large, (char *)get(200000) + 16, "an interior address");
    }
}

Test(malloc, realloc_keeps_the_contents_and_errno_when_a_small_block_moves)
{
    begin();
    for (size_t from = 16; from <= 32768; from *= 2)
        for (size_t to = 16; to <= 131072; to *= 2) {
            char *block = get(from);
            stamp(block, from, to);
            errno = ERRNO_SENTINEL;
            block = mh_realloc(block, to);
            require(block && errno == ERRNO_SENTINEL, "%zu to %zu: errno", from, to);
            require(mh_malloc_usable_size(block) >= to, "%zu to %zu: size", from, to);
            require(stamp_is_intact(block, from < to ? from : to, to) || from > to,
                    "%zu to %zu: contents", from, to);
            mh_free(block);
        }
}

enum { SIZES = LENGTH(misuse_sizes) };

/* A block of each size, then once more: their slabs are not empty when the former go. */
static const char *allocate_sizes(struct worker *worker)
{
    void **blocks = worker->shared;
    for (size_t i = 0; i < (size_t)2 * SIZES; i++) {
        blocks[i] = mh_malloc(misuse_sizes[i % SIZES]);
        answer_unless(blocks[i], "no block");
    }
    return NULL;
}

/* The fast path's answers are those of the general case, whoever allocated the block. */
Test(malloc, usable_size_is_that_of_the_slab_or_of_the_pages)
{
    void *blocks[2][2 * SIZES];
    begin();
    struct worker self = {.shared = blocks[0]};
    require(!allocate_sizes(&self), "no memory");
    run_workers(1, allocate_sizes, blocks[1]);
    for (size_t who = 0; who < LENGTH(blocks); who++)
        for (size_t i = 0; i < (size_t)2 * SIZES; i++) {
            void *block = blocks[who][i];
            size_t bytes = misuse_sizes[i % SIZES];
            size_t room = mole_block_room(span_of(block), block);
            size_t usable = mh_malloc_usable_size(block);
            require(usable == room && usable >= bytes, "of %zu bytes, %zu: %zu, not %zu",
                    bytes, who, usable, room);
        }
}

Test(malloc, usable_size_of_what_is_no_block_dies)
{
    void *mine[2 * SIZES], *others[2 * SIZES];
    begin();
    struct worker self = {.shared = mine};
    require(!allocate_sizes(&self), "no memory");
    run_workers(1, allocate_sizes, others);
    for (size_t i = 0; i < SIZES; i++) {
        require_death(ask_it, (char *)mine[i] + 1, "inside a block");
        require_death(ask_it, (char *)others[i] + 1, "inside another thread's block");
        mh_free(mine[i]);
        mh_free(others[i]);
        require_death(ask_it, mine[i], "of a freed block");
        require_death(ask_it, others[i], "of another thread's block, freed");
    }
    HANDLE heap = HeapCreate(0, 0, 0);
    require_death(ask_it, HeapAlloc(heap, 0, 64), "of a heap's block");
    require_death(ask_it, HeapAlloc(heap, 0, 100000), "of a heap's large block");
}

/* No child is asked: fork empties the cache that keeps the span. */
Test(malloc, usable_size_of_a_freed_large_block_dies, .signal = SIGABRT)
{
    begin();
    char *block = get(200000);
    mh_free(block);
    if (span_of(block)->base == block) /* the cache keeps the span */
        mh_malloc_usable_size(block);
}
