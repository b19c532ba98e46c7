/* SPDX-License-Identifier: MIT */
/*
 * What observers hear of blocks: which events, in which order, and what holds while they
 * are told.
 */
#include "spies.h"

static struct notes notes;

/*
 * Often enough that a thread is first a guest of the heap, then has a cache of its own.
 */
enum { TURNS = 40 };

static void alloc_and_free(HANDLE heap, DWORD flags, size_t bytes)
{
    forget_notes(&notes);
    void *block = take(heap, flags, bytes);
    expect_count(&notes, 1, "HeapAlloc");
    expect_told(&notes, 0, (struct told){ALLOCATED, heap, block, bytes, NULL, 0});
    require(!(flags & HEAP_ZERO_MEMORY) || is_all_zero(block, 0, bytes), "not zeroed");
    memset(block, 0xA5, bytes);
    require(HeapSize(heap, 0, block) == bytes, "HeapSize of %zu bytes", bytes);
    expect_count(&notes, 1, "HeapSize");
    require(HeapFree(heap, flags & HEAP_NO_SERIALIZE, block), "HeapFree failed");
    expect_count(&notes, 2, "HeapFree");
    expect_told(&notes, 1, (struct told){FREED, heap, block, bytes, NULL, 0});
}

static void alloc_and_free_all(HANDLE heap, DWORD flags)
{
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++)
            alloc_and_free(heap, flags, spied_sizes[i]);
}

HEAP_CASE(spy, each_block_is_told_of_once_when_it_comes_and_when_it_goes)
{
    begin_notes(&notes, heap);
    alloc_and_free_all(heap, 0);
    end_notes(&notes);
}

HEAP_CASE(spy, zeroed_blocks_are_told_of_too)
{
    begin_notes(&notes, heap);
    alloc_and_free_all(heap, HEAP_ZERO_MEMORY);
    end_notes(&notes);
}

HEAP_CASE(spy, calls_without_serialization_are_told_of_too)
{
    begin_notes(&notes, heap);
    alloc_and_free_all(heap, HEAP_NO_SERIALIZE);
    end_notes(&notes);
}

Test(spy, fixed_size_heaps_are_spied_too)
{
    HANDLE heap = HeapCreate(0, 0, 64 * MIB);
    require(heap != NULL, "no heap of a fixed size");
    begin_notes(&notes, heap);
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t bytes = 0; bytes < 0x7FFF8; bytes = 3 * bytes + 1)
            alloc_and_free(heap, turn % 2 ? HEAP_ZERO_MEMORY : 0, bytes);
    forget_notes(&notes);
    void *old = take(heap, 0, 100);
    void *other = take(heap, 0, 100); /* in its way, or it in the other's */
    void *block = HeapReAlloc(heap, 0, old, 5000);
    require(block != NULL, "it did not grow");
    expect_told(&notes, 2, (struct told){REALLOCATED, heap, block, 5000, old, 100});
    give_back(heap, other);
    give_back(heap, block);
    expect_count(&notes, 5, "all of them");
    end_notes(&notes);
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 5, "a call after the spy left");
    destroy_heap(heap);
}

Test(spy, heaps_without_serialization_are_spied_too)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);
    begin_notes(&notes, heap);
    alloc_and_free_all(heap, 0);
    alloc_and_free_all(heap, HEAP_ZERO_MEMORY);
    end_notes(&notes);
    destroy_heap(heap);
}

Test(spy, a_spy_of_everything_hears_the_same)
{
    HANDLE heap = create_heap(0);
    begin_notes(&notes, MH_SPY_ALL);
    alloc_and_free_all(heap, 0);
    alloc_and_free_all(GetProcessHeap(), 0);
    end_notes(&notes);
    destroy_heap(heap);
}

HEAP_CASE(spy, nothing_is_told_before_attaching_or_after_detaching)
{
    notes_init(&notes);
    give_back(heap, take(heap, 0, 100));
    for (size_t turn = 0; turn < TURNS; turn++) {
        attach(&notes.spy, heap);
        detach(&notes.spy);
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            void *block = take(heap, 0, spied_sizes[i]);
            block = HeapReAlloc(heap, 0, block, spied_sizes[i] * 2 + 1);
            require(block != NULL, "HeapReAlloc failed");
            give_back(heap, block);
        }
    }
    expect_count(&notes, 0, "detached");
}

HEAP_CASE(spy, blocks_older_than_the_spy_are_told_of)
{
    void *blocks[LENGTH(spied_sizes)][2];
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 0; j < 2; j++)
            blocks[i][j] = take(heap, 0, spied_sizes[i]);
    begin_notes(&notes, heap);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
        forget_notes(&notes);
        void *old = blocks[i][1];
        size_t bytes = spied_sizes[i], now = bytes * 3 + 1;
        void *block = HeapReAlloc(heap, 0, old, now);
        require(block != NULL, "HeapReAlloc failed");
        give_back(heap, blocks[i][0]);
        expect_count(&notes, 2, "two calls");
        expect_told(&notes, 0, (struct told){REALLOCATED, heap, block, now, old, bytes});
        expect_told(&notes, 1, (struct told){FREED, heap, blocks[i][0], bytes, NULL, 0});
        give_back(heap, block);
    }
    end_notes(&notes);
}

/* One resize, whatever becomes of it. */
static void resize(HANDLE heap, DWORD flags, size_t from, size_t to)
{
    void *old = take(heap, 0, from);
    mark(old, from, from);
    forget_notes(&notes);
    void *block = HeapReAlloc(heap, flags, old, to);
    expect_count(&notes, block ? 1 : 0, "HeapReAlloc");
    require(block || (flags & HEAP_REALLOC_IN_PLACE_ONLY), "HeapReAlloc failed");
    if (!block) {
        require(HeapSize(heap, 0, old) == from && is_marked(old, from, from),
                "the old block changed");
        give_back(heap, old);
        return;
    }
    expect_told(&notes, 0, (struct told){REALLOCATED, heap, block, to, old, from});
    require(HeapSize(heap, 0, block) == to, "HeapSize after %zu to %zu", from, to);
    require(is_marked(block, from < to ? from : to, from), "contents of %zu bytes", from);
    require(!(flags & HEAP_ZERO_MEMORY) || is_all_zero(block, from, to), "not cleared");
    give_back(heap, block);
    expect_count(&notes, 2, "HeapFree");
    expect_told(&notes, 1, (struct told){FREED, heap, block, to, NULL, 0});
}

static void resize_all(HANDLE heap, DWORD flags)
{
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 0; j < LENGTH(spied_sizes); j++) {
            resize(heap, flags, spied_sizes[i], spied_sizes[j]);
            resize(heap, flags, spied_sizes[i], spied_sizes[i] + j);
        }
}

HEAP_CASE(spy, each_resize_is_one_event)
{
    begin_notes(&notes, heap);
    resize_all(heap, 0);
    resize_all(heap, HEAP_ZERO_MEMORY);
    end_notes(&notes);
}

HEAP_CASE(spy, a_resize_in_place_is_told_of_if_it_succeeds)
{
    begin_notes(&notes, heap);
    resize_all(heap, HEAP_REALLOC_IN_PLACE_ONLY);
    resize_all(heap, HEAP_REALLOC_IN_PLACE_ONLY | HEAP_ZERO_MEMORY);
    end_notes(&notes);
}

/* What a callback saw that it should not have: the test looks after the call. */
static const char *wrong;
static size_t seen;

/* Blocks that nobody can have got at an address from `from` on. */
static void take_others(void *heap, size_t bytes, const char *from, size_t length)
{
    enum { OTHERS = 64 };
    void *others[OTHERS];
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = HeapAlloc(heap, 0, bytes);
        const char *at = others[i];
        if (!at)
            wrong = "a callback got no block";
        else if (at < from + (length ? length : 1) && from < at + (bytes ? bytes : 1))
            wrong = "a callback got memory of the block that goes";
        else
            memset(others[i], 0xEE, bytes);
    }
    for (size_t i = 0; i < OTHERS; i++)
        if (!HeapFree(heap, 0, others[i]))
            wrong = "a callback could not free its block";
}

static void look_at_freed(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    if (HeapSize(heap, 0, block) != bytes || !HeapValidate(heap, 0, block))
        wrong = "a block was gone before it was told of";
    take_others(heap, bytes, block, bytes);
    if (!is_marked(block, bytes, bytes))
        wrong = "a block's contents were gone before it was told of";
    seen++;
}

HEAP_CASE(spy, a_block_that_goes_is_still_there)
{
    const struct mh_spy spy = {.size = sizeof spy, .freed = look_at_freed};
    attach(&spy, heap);
    for (size_t turn = 0; turn < 4; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            void *block = take(heap, 0, spied_sizes[i]);
            mark(block, spied_sizes[i], spied_sizes[i]);
            give_back(heap, block);
            require(!wrong, "%zu bytes: %s", spied_sizes[i], wrong);
        }
    detach(&spy);
    require(seen == 4 * LENGTH(spied_sizes), "the spy heard of %zu", seen);
}

static void look_at_allocated(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    if (HeapSize(heap, 0, block) != bytes || !HeapValidate(heap, 0, block))
        wrong = "a block was told of before it was there";
    memset(block, 0x77, bytes);
    seen++;
}

HEAP_CASE(spy, a_block_that_comes_is_there)
{
    const struct mh_spy spy = {.size = sizeof spy, .allocated = look_at_allocated};
    attach(&spy, heap);
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            give_back(heap, take(heap, 0, spied_sizes[i]));
            require(!wrong, "%zu bytes: %s", spied_sizes[i], wrong);
        }
    detach(&spy);
    require(seen == TURNS * LENGTH(spied_sizes), "the spy heard of %zu", seen);
}

static size_t moves;

static void look_at_reallocated(void *context, void *heap, void *old, size_t old_bytes,
                                void *block, size_t bytes)
{
    (void)context;
    seen++;
    if (HeapSize(heap, 0, block) != bytes)
        wrong = "a block was told of before it had its size";
    if (!is_marked(block, old_bytes < bytes ? old_bytes : bytes, old_bytes))
        wrong = "a block was told of before it had its contents";
    if (old == block)
        return;
    moves++;
    take_others(heap, old_bytes, old, old_bytes);
    take_others(heap, 16, old, old_bytes);
}

HEAP_CASE(spy, nobody_gets_the_old_address_while_a_move_is_told_of)
{
    const struct mh_spy spy = {.size = sizeof spy, .reallocated = look_at_reallocated};
    attach(&spy, heap);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 0; j < LENGTH(spied_sizes); j++) {
            void *block = take(heap, 0, spied_sizes[i]);
            mark(block, spied_sizes[i], spied_sizes[i]);
            block = HeapReAlloc(heap, 0, block, spied_sizes[j]);
            require(block != NULL, "HeapReAlloc failed");
            require(!wrong, "%zu to %zu: %s", spied_sizes[i], spied_sizes[j], wrong);
            give_back(heap, block);
        }
    detach(&spy);
    require(seen == LENGTH(spied_sizes) * LENGTH(spied_sizes), "it heard of %zu", seen);
    require(moves > LENGTH(spied_sizes) * 4, "only %zu blocks moved", moves);
}

HEAP_CASE(spy, nothing_is_told_of_calls_that_are_refused)
{
    HANDLE other = create_heap(0);
    char *block = take(heap, 0, 100), *large = take(heap, 0, 100000);
    void *freed = take(heap, 0, 100), *foreign = take(other, 0, 100);
    give_back(heap, freed);
    void *bad[] = {block + 1, block + 16, large + 16, freed, foreign, &block, (void *)8};
    begin_notes(&notes, MH_SPY_ALL);
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < LENGTH(bad); i++) {
            require(!HeapFree(heap, 0, bad[i]), "HeapFree took the pointer %zu", i);
            require(!HeapReAlloc(heap, 0, bad[i], 50), "HeapReAlloc took %zu", i);
        }
    require(!HeapAlloc(heap, 0, (SIZE_T)1 << 50), "there was a petabyte");
    require(!HeapReAlloc(heap, 0, block, (SIZE_T)1 << 50), "there was a petabyte");
    require(!HeapReAlloc(heap, 0, large, (SIZE_T)1 << 50), "there was a petabyte");
    require(HeapFree(heap, 0, NULL), "HeapFree of NULL failed");
    require(!HeapReAlloc(heap, 0, NULL, 10), "HeapReAlloc of NULL gave a block");
    require(!HeapDestroy(GetProcessHeap()), "HeapDestroy took the process heap");
    expect_count(&notes, 0, "refused calls");
    end_notes(&notes);
    give_back(heap, block);
    give_back(heap, large);
    destroy_heap(other);
}

HEAP_CASE(spy, callbacks_that_are_left_out_are_not_missed)
{
    struct notes few;
    notes_init(&few);
    few.spy.allocated = NULL;
    few.spy.reallocated = NULL;
    few.spy.heap_created = few.spy.heap_destroyed = NULL;
    attach(&few.spy, MH_SPY_ALL);
    destroy_heap(create_heap(0));
    void *block = HeapReAlloc(heap, 0, take(heap, 0, 100), 50000);
    require(block != NULL, "HeapReAlloc failed");
    expect_count(&few, 0, "without `freed`");
    give_back(heap, block);
    expect_told(&few, 0, (struct told){FREED, heap, block, 50000, NULL, 0});
    detach(&few.spy);
    few.spy.freed = NULL;
    attach(&few.spy, heap);
    give_back(heap, take(heap, 0, 100));
    detach(&few.spy);
    expect_count(&few, 1, "a spy without callbacks");
}
