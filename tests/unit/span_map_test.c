/* SPDX-License-Identifier: MIT */
#include "arena/span_map.h"

#include "arena/region.h"
#include "unit.h"

static struct mole_span some;
static struct mole_map_view view;

static char *chunk(void)
{
    char *start = mole_region_take(1);
    require(start != NULL, "no chunk");
    return start;
}

Test(span_map, a_new_chunk_is_nobodys)
{
    char *start = chunk();
    for (size_t page = 0; page < MOLE_CHUNK_PAGES; page++)
        require(!is_mapped(start + page * MOLE_PAGE), "page %zu is somebody's", page);
}

Test(span_map, set_covers_its_pages_to_the_last_byte_and_no_more)
{
    char *start = chunk();
    mole_span_map_set(start + 2 * MOLE_PAGE, 3, &some);
    require(mole_span_map_find(start + 2 * MOLE_PAGE) == &some, "not the first byte");
    require(mole_span_map_find(start + 5 * MOLE_PAGE - 1) == &some, "not the last byte");
    require(!is_mapped(start + 2 * MOLE_PAGE - 1), "the byte before");
    require(!is_mapped(start + 5 * MOLE_PAGE), "the byte behind");
}

Test(span_map, clear_makes_pages_nobodys)
{
    char *start = chunk();
    mole_span_map_set(start, 4, &some);
    mole_span_map_clear(start + MOLE_PAGE, 2);
    require(mole_span_map_find(start) == &some, "the page before was cleared");
    require(!is_mapped(start + MOLE_PAGE) && !is_mapped(start + 2 * MOLE_PAGE),
            "a page is still there");
    require(mole_span_map_find(start + 3 * MOLE_PAGE) == &some,
            "the page behind was cleared");
}

Test(span_map, addresses_outside_the_region_are_nobodys)
{
    int here = 0;
    char *base = (char *)mole_map.base;
    const void *outside[] = {
        NULL,
        (void *)1,
        &here,
        &some,
        base - 1,
        base + mole_region_reserved(),
        base + mole_region_committed(),
        (void *)(UINTPTR_MAX / 2),
        (void *)UINTPTR_MAX,
    };
    for (size_t i = 0; i < LENGTH(outside); i++)
        require(!is_mapped(outside[i]), "%p is somebody's", outside[i]);
}

Test(span_map, the_limit_follows_the_region)
{
    require(load_rlx(&mole_map.limit_a) << MOLE_PAGE_SHIFT >= mole_region_committed(),
            "pages are usable that the map does not know");
    size_t before = load_rlx(&mole_map.limit_a);
    require(mole_region_take(mole_region_committed() / MOLE_CHUNK + 1), "no chunks");
    require(load_rlx(&mole_map.limit_a) > before, "the limit was not raised");
    require(load_rlx(&mole_map.limit_a) << MOLE_PAGE_SHIFT >= mole_region_committed(),
            "pages are usable that the map does not know");
}

Test(span_map, a_view_has_nothing_until_it_is_switched_on)
{
    char *start = chunk();
    uintptr_t page;
    mole_span_map_follow(&view);
    require(!mole_span_map_has(&view, start, &page), "it has a page");
    mole_span_map_switch(&view, true);
    require(mole_span_map_has(&view, start, &page), "it has no page");
    require(load_acq(&view.table[page]) == &mole_span_nobody, "the page is somebody's");
}

Test(span_map, a_view_that_is_on_sees_what_the_map_sees)
{
    char *start = chunk();
    uintptr_t page;
    mole_span_map_follow(&view);
    mole_span_map_switch(&view, true);
    mole_span_map_set(start, 1, &some);
    require(mole_span_map_has(&view, start, &page) &&
                load_acq(&view.table[page]) == &some,
            "it sees something else");
}

Test(span_map, a_view_that_is_switched_off_has_nothing)
{
    char *start = chunk();
    uintptr_t page;
    mole_span_map_follow(&view);
    mole_span_map_switch(&view, true);
    mole_span_map_switch(&view, false);
    require(!mole_span_map_has(&view, start, &page), "it has a page");
    require(mole_span_map_find(start) == &mole_span_nobody, "the map is off too");
}

/* Take so much that the region grows. */
static char *last_of_grown_region(void)
{
    size_t chunks = mole_region_committed() / MOLE_CHUNK + 1;
    char *start = mole_region_take(chunks);
    require(start != NULL, "no chunks");
    return start + (chunks - 1) * MOLE_CHUNK;
}

Test(span_map, a_view_that_is_on_grows_with_the_region)
{
    uintptr_t page;
    mole_span_map_follow(&view);
    mole_span_map_switch(&view, true);
    require(mole_span_map_has(&view, last_of_grown_region(), &page), "it did not");
}

Test(span_map, a_view_that_is_off_stays_off_while_the_region_grows)
{
    uintptr_t page;
    mole_span_map_follow(&view);
    char *last = last_of_grown_region();
    require(!mole_span_map_has(&view, last, &page), "it was switched on");
    mole_span_map_switch(&view, true);
    require(mole_span_map_has(&view, last, &page),
            "switched on, it lacks what came since");
}
