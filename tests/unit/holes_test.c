/* SPDX-License-Identifier: MIT */
#include "arena/holes.h"

#include "arena/guard.h"
#include "os/pages.h"
#include "os/random.h"
#include "unit.h"

enum { FILLED = 0x5a };

/* All blocks of the slab were used once; its pages are filled, and none is live. */
static void begin(struct mole_span *span)
{
    while (mole_span_carve(span)) {
    }
    require(span->fresh == span->capacity, "%u of %u blocks are carved", span->fresh,
            span->capacity);
    for (uint32_t index = 0; index < span->capacity; index++)
        store_rlx(&span->entry_a[index], MOLE_END);
    memset(span->base, FILLED, (size_t)span->pages * MOLE_PAGE);
    span->purged = 0;
}

static bool page_is(const struct mole_span *span, size_t page, unsigned char value)
{
    return is_all(span->base + page * MOLE_PAGE, MOLE_PAGE, value);
}

/* Whether a byte of the page's unit is a live block's: asked block by block. */
static bool page_is_live(const struct mole_span *span, size_t page)
{
    size_t pages = span->pages / 32, unit = pages > 1 ? pages * MOLE_PAGE : MOLE_PAGE;
    size_t at = page * MOLE_PAGE / unit;
    for (size_t index = 0; index < span->capacity; index++) {
        size_t first = index * span->block_bytes, last = first + span->block_bytes - 1;
        if (mole_span_entry_is_live(load_rlx(&span->entry_a[index])) &&
            first / unit <= at && at <= last / unit)
            return true;
    }
    return false;
}

/* Purge, and compare each page with what it should be. How many are gone. */
static size_t purge(struct mole_span *span)
{
    uint64_t before = mole_holes_purged();
    size_t count = mole_holes_purge(span), gone = 0;
    for (size_t page = 0; page < span->pages; page++) {
        bool is_live = page_is_live(span, page);
        require(page_is(span, page, is_live ? FILLED : 0),
                "class %u: page %zu of %u, which is %s, was %s", span->class, page,
                span->pages, is_live ? "live" : "a hole", is_live ? "lost" : "kept");
        require((span->purged >> page * MOLE_PAGE / mole_holes_unit(span) & 1) ==
                    !is_live,
                "page %zu is noted wrongly", page);
        gone += !is_live;
    }
    require(mole_holes_purged() - before == count, "the counter did not follow");
    require(count <= gone, "%zu of %zu holes were purged", count, gone);
    return count;
}

static void set_live(struct mole_span *span, uint64_t *random, unsigned percent)
{
    for (uint32_t index = 0; index < span->capacity; index++)
        store_rlx(&span->entry_a[index],
                  mole_random_next(random) % 100 < percent ? MOLE_WHOLE : MOLE_END);
}

Test(holes, are_the_pages_that_no_live_block_touches)
{
    stop_passes();
    static const unsigned percents[] = {0, 1, 4, 10, 25, 60, 100};
    uint64_t random = 7;
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1) {
        uint32_t pages = pages_for(class) < 16 ? 16 : pages_for(class);
        pages *=
            class % 2 && pages > 16 ? 8 : 1; /* half of them larger than they become */
        struct mole_span *span = slab_of(class, pages);
        for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
            begin(span);
            set_live(span, &random, percents[i]);
            size_t count = purge(span);
            require(percents[i] != 0 || count == pages, "%zu of %u pages were purged",
                    count, pages);
        }
    }
}

Test(holes, each_block_alone_keeps_its_pages)
{
    stop_passes();
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 5) {
        struct mole_span *span = slab_of(class, pages_for(class));
        for (uint32_t index = 0; index < span->capacity; index++) {
            begin(span);
            store_rlx(&span->entry_a[index], MOLE_WHOLE);
            (void)purge(span);
        }
    }
}

Test(holes, are_not_purged_twice)
{
    stop_passes();
    struct mole_span *span = slab_of(mole_size_class_of(512), 16);
    begin(span);
    store_rlx(&span->entry_a[0], MOLE_WHOLE);
    store_rlx(&span->entry_a[127], MOLE_WHOLE);
    require(purge(span) == 14, "14 pages of 16 were to be purged");
    require(mole_holes_purge(span) == 0, "the same pages were purged again");
    store_rlx(&span->entry_a[127], MOLE_END);
    require(purge(span) == 1, "the page that became a hole since was to be purged");
}

Test(holes, that_the_system_refuses_are_tried_again)
{
    stop_passes();
    struct mole_span *span = slab_of(mole_size_class_of(512), 16);
    begin(span);
    store_rlx(&span->entry_a[8], MOLE_WHOLE);
    mole_pages_inject(1, false);
    size_t count = mole_holes_purge(span);
    mole_pages_inject(0, false);
    require(count == 14 && span->purged == 0xfffc, "%zu pages were purged, %x noted",
            count, span->purged);
    require(page_is(span, 0, FILLED), "what was refused is gone");
    require(purge(span) == 1, "page 0 was not tried again");
}

/* Free blocks of such a heap are filled, and looked at when they are used again. */
Test(holes, of_checked_heaps_stay)
{
    stop_passes();
    HANDLE heap = create_heap(HEAP_FREE_CHECKING_ENABLED);
    void *blocks[64];
    for (size_t i = 0; i < 64; i++)
        blocks[i] = take(heap, 0, 2000);
    for (size_t i = 1; i < 64; i++)
        give_back(heap, blocks[i]);
    require(mole_holes_purge(span_of(blocks[0])) == 0, "free blocks' fill was purged");
    require(HeapCompact(heap, 0) > 0 && HeapValidate(heap, 0, NULL),
            "the heap is not in order");
}
