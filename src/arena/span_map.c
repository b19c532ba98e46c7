/* SPDX-License-Identifier: MIT */
#include "arena/span_map.h"

#include "arena/span.h"
#include "os/pages.h"

struct mole_map_view mole_map;
const struct mole_map_view *const mole_span_map = &mole_map;

/*
 * follower_a: the second view, or NULL.
 *   writers  mole_span_map_follow, once
 *   readers  raise
 *   orders   store release, load acquire: HB-MAP-2 continues through it
 *   keeps    NULL or a view of static storage
 */
static _Atomic(struct mole_map_view *) follower_a;

enum { TABLE_BYTES_PER_CHUNK = MOLE_CHUNK_PAGES * sizeof(struct mole_span *) };

bool mole_span_map_init(void *base, size_t bytes)
{
    size_t table_bytes = bytes / MOLE_CHUNK * TABLE_BYTES_PER_CHUNK;
    mole_map.table =
        mole_pages_reserve(mole_round_up(table_bytes, MOLE_CHUNK), MOLE_CHUNK);
    mole_map.base = (uintptr_t)base;
    mole_span_set_owner(&mole_span_nobody, &mole_owner_nobody);
    return mole_map.table != NULL;
}

bool mole_span_map_cover(size_t from_chunk, size_t to_chunk)
{
    _Atomic(struct mole_span *) *entry = mole_map.table + from_chunk * MOLE_CHUNK_PAGES;
    _Atomic(struct mole_span *) *end = mole_map.table + to_chunk * MOLE_CHUNK_PAGES;
    /*
     * Whole system pages, which may be as large as a chunk; committing twice does no
     * harm.
     */
    uintptr_t first = (uintptr_t)entry & ~(uintptr_t)(MOLE_CHUNK - 1);
    uintptr_t last = mole_round_up((uintptr_t)end, MOLE_CHUNK);
    if (!mole_pages_commit((void *)first, last - first))
        return false;
    /*
     * Two threads may cover the same pages; the slower one must not undo a span set
     * since.
     */
    for (; entry < end; entry++) {
        struct mole_span *none = NULL;
        (void)cas_rel(entry, &none, &mole_span_nobody);
    }
    return true;
}

static void raise_view(struct mole_map_view *view, uintptr_t pages, bool from_zero)
{
    uintptr_t limit = load_rlx(&view->limit_a);
    while (limit < pages && (limit || from_zero)) {
        if (cas_weak_acq_rel(&view->limit_a, &limit, pages)) /* HB-MAP-2, HB-MAP-3 */
            return;
    }
}

void mole_span_map_raise(size_t chunks)
{
    raise_view(&mole_map, chunks * MOLE_CHUNK_PAGES, true);
    struct mole_map_view *follower = load_acq(&follower_a);
    if (follower)
        raise_view(follower, chunks * MOLE_CHUNK_PAGES, false);
}

void mole_span_map_follow(struct mole_map_view *view)
{
    view->base = mole_map.base;
    view->table = mole_map.table;
    store_rel(&follower_a, view);
}

void mole_span_map_switch(struct mole_map_view *view, bool on)
{
    if (!on) {
        store_rel(&view->limit_a, 0); /* HB-GATE-2 */
        return;
    }
    uintptr_t limit = load_acq(&mole_map.limit_a); /* HB-MAP-2 */
    do
        raise_view(view, limit, true);
    while (!cas_weak_acq_rel(&mole_map.limit_a, &limit, limit)); /* HB-MAP-3 */
}

void mole_span_map_set(void *start, size_t pages, struct mole_span *span)
{
    size_t first = ((uintptr_t)start - mole_map.base) >> MOLE_PAGE_SHIFT;
    _Atomic(struct mole_span *) *entry = &mole_map.table[first], *end = entry + pages;
    for (; entry < end; entry++)
        store_rel(entry, span); /* HB-MAP-1 */
}

void mole_span_map_clear(void *start, size_t pages)
{
    mole_span_map_set(start, pages, &mole_span_nobody);
}
