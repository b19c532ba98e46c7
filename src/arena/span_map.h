/* SPDX-License-Identifier: MIT */
/*
 * span map — from an address to the span it lies in, without touching the address.
 *
 *   table[(address - base) / MOLE_PAGE] --> struct mole_span, or mole_span_nobody
 *
 * One flat table of pointers, reserved for the whole region and usable up to `limit`
 * pages. A slab's pages all point to it, so that interior pointers are found and refused;
 * of a large span only the first page does.
 *
 *  label     release side             acquire side             makes visible
 *  HB-MAP-1  set: store of the entry  find: load of the entry  the span's fields
 *  HB-MAP-2  raise: store of limit_a  find: load of limit_a    the table below the limit
 *  HB-MAP-3  switch: cas of limit_a   raise: cas of limit_a    a view switched on
 *            raise: cas of limit_a    switch: cas of limit_a   the new limit
 *
 * HB-MAP-3 is about the map's limit_a: whichever comes second raises the view's.
 *
 * A program that frees what it was given needs neither label, for the pointer itself came
 * to it through an allocation; they are for addresses made up (HeapValidate and the
 * like).
 * Progress: find is wait-free; set and raise are called by whoever owns the pages.
 */
#pragma once

#include "base/atom.h"
#include "base/attr.h"

struct mole_span;

/*
 * What a lookup needs, in one cache line. libmolehill-malloc has a view of its own, whose
 * limit is 0 while malloc's heap has a mode set: then each lookup fails and the slow path
 * decides.
 */
struct mole_map_view {
    uintptr_t base;                     /* const after init */
    _Atomic(struct mole_span *) *table; /* const after init */

    /*
     * limit_a: pages of the table that may be read.
     *   writers  the region as it grows, under no lock: only ever raised; a followed
     *            view's also whoever switches that
     *   readers  every lookup
     *   orders   store release, load acquire: HB-MAP-2; cas both: HB-MAP-3
     *   keeps    table[0 .. limit_a) holds no NULL
     */
    _Atomic(uintptr_t) limit_a;
};

extern mole_own struct mole_map_view mole_map;
extern mole_own struct mole_span mole_span_nobody; /* span.h */

/* Whether the table has an entry for `address`; then `*page` is its index. */
mole_hot bool mole_span_map_has(const struct mole_map_view *view, const void *address,
                                uintptr_t *page)
{
    *page = ((uintptr_t)address - view->base) >> MOLE_PAGE_SHIFT;
    return likely(*page < load_acq_folded(&view->limit_a)); /* HB-MAP-2 */
}

/* The span at `address`; mole_span_nobody for an address of nobody's. */
mole_hot struct mole_span *mole_span_map_find(const void *address)
{
    uintptr_t page;
    if (!mole_span_map_has(&mole_map, address, &page))
        return &mole_span_nobody;
    return load_acq(&mole_map.table[page]); /* HB-MAP-1 */
}

/* Let `pages` pages from `start` belong to `span`. The caller owns them. */
void mole_span_map_set(void *start, size_t pages, struct mole_span *span);

/* The same for nobody. */
void mole_span_map_clear(void *start, size_t pages);

/* The map, for who is not in the core. */
extern mole_shared const struct mole_map_view *const mole_span_map;

/* Reserve the table for a region of `bytes` at `base`. */
bool mole_span_map_init(void *base, size_t bytes) mole_must_check;

/*
 * Make the table readable for the pages in [from, to) of the region; both chunk counts.
 */
bool mole_span_map_cover(size_t from_chunk, size_t to_chunk) mole_must_check;

/* Publish that the table is readable up to `chunks` chunks. */
void mole_span_map_raise(size_t chunks);

/*
 * Keep a second view up to date: base and table now, the limit as the region grows unless
 * `view->limit_a` is 0 when it does. One at most.
 */
mole_shared void mole_span_map_follow(struct mole_map_view *view);

/* Switch a followed view on (its limit follows the region) or off (limit 0). */
mole_shared void mole_span_map_switch(struct mole_map_view *view, bool on);
