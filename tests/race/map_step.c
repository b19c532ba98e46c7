/* SPDX-License-Identifier: MIT */
/*
 * The followed view of the span map, one instruction at a time: while it is switched on
 * the region grows, and while the region grows it is switched on. When both are over its
 * limit is the map's, or what the region has grown by would be slow to free for good.
 */
#include "arena/span_map.h"
#include "scenario.h"

enum { CHUNKS = 2000 }; /* to grow by */

static struct mole_map_view view;
static bool is_on;
static size_t chunks; /* that the map has */

static void grow(void)
{
    mole_span_map_raise(++chunks);
}

static void switch_on(void)
{
    mole_span_map_switch(&view, true);
    is_on = true;
}

static void switch_off(void)
{
    mole_span_map_switch(&view, false);
    is_on = false;
}

static void observe(void)
{
    expect(load_rlx(&view.limit_a) <= load_rlx(&mole_map.limit_a),
           "acted at %zu, stop %zu: the view goes beyond the map", chosen, stop);
}

static void settle(void)
{
    uintptr_t limit = load_rlx(&mole_map.limit_a), seen = load_rlx(&view.limit_a);
    expect(limit == chunks * MOLE_CHUNK_PAGES,
           "acted at %zu: the map has %zu pages, not %zu", chosen, (size_t)limit,
           chunks * MOLE_CHUNK_PAGES);
    expect(!is_on || seen == limit, "acted at %zu: the view has %zu pages, the map %zu",
           chosen, (size_t)seen, (size_t)limit);
}

static const struct scene scene = {switch_off, observe, settle};

static const struct scenario map_scenarios[] = {
    {"switch on, another grows", NULL, switch_on, grow, &scene, SCENARIO_ONCE},
    {"grow, another switches on", NULL, grow, switch_on, &scene, SCENARIO_ONCE},
};

static void set_up(void)
{
    (void)GetProcessHeap();
    mole_span_map_follow(&view);
    chunks = load_rlx(&mole_map.limit_a) / MOLE_CHUNK_PAGES;
    if (!mole_span_map_cover(chunks, chunks + CHUNKS))
        abort();
}

int main(void)
{
    return scenario_main("map_step", map_scenarios,
                         sizeof map_scenarios / sizeof map_scenarios[0], set_up);
}
