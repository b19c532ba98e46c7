/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <molehill/heapapi.h>
#include <molehill/spy.h>

static size_t told_old, told_new;

static void note_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                             void *block, size_t bytes)
{
    (void)context, (void)heap, (void)old_block, (void)block;
    told_old = old_bytes;
    told_new = bytes;
}

static void note_freed(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block;
    told_old = bytes;
}

/* The one that picks is elsewhere, and the one that is here takes next to nothing. */
Test(spy_mark, a_block_that_leaves_every_sample_keeps_its_right_size)
{
    HANDLE heap = HeapCreate(0, 0, 0), elsewhere = HeapCreate(0, 0, 0);
    struct mh_spy all = {
        .size = sizeof all, .reallocated = note_reallocated, .freed = note_freed};
    struct mh_spy first = {.size = sizeof first, .sample_bytes = 1};
    struct mh_spy seldom = {.size = sizeof seldom, .sample_bytes = (size_t)1 << 60};
    cr_assert_eq(mh_spy_attach(&all, heap), 0);
    cr_assert_eq(mh_spy_attach(&first, heap), 0);
    void *block = HeapAlloc(heap, 0, 40000);
    cr_assert_eq(mh_spy_detach(&first), 0);
    cr_assert_eq(mh_spy_attach(&seldom, heap), 0);
    cr_assert_eq(mh_spy_attach(&first, elsewhere), 0);
    for (size_t bytes = 40100; bytes <= 40800; bytes += 100) {
        block = HeapReAlloc(heap, 0, block, bytes);
        cr_expect_eq(told_old, bytes - 100, "%zu bytes, not %zu", told_old, bytes - 100);
        cr_expect_eq(told_new, bytes, "%zu bytes, not %zu", told_new, bytes);
    }
    cr_assert(HeapFree(heap, 0, block));
    cr_expect_eq(told_old, 40800, "%zu bytes, not 40800", told_old);
    cr_assert_eq(mh_spy_detach(&first), 0);
    cr_assert_eq(mh_spy_detach(&seldom), 0);
    cr_assert_eq(mh_spy_detach(&all), 0);
}
