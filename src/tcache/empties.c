/* SPDX-License-Identifier: MIT */
#include "tcache/empties.h"

#include <string.h>

#include "arena/warmth.h"
#include "tcache/idle.h"
#include "tcache/slab.h"

/*
 * Dear are slabs of blocks above 1 KiB. In a cache: empty_pages of all that are kept,
 * dear_pages of dear ones, dear_least the least of these since a sweep began, dear_room
 * what it has for them: less than MUCH_ROOM beyond what is in it, if anything is; and
 * dear_made of those its thread needed and had to make: who made none gets no room.
 */
enum { FIRST_DEAR = 8 + 8 * 3, MUCH_ROOM = 2 * MOLE_ROOM_STEP };

/*
 * room_a: pages of room that caches have.
 *   writers  caches' owners
 *   readers  the same; mole_empties_room
 *   orders   relaxed: a figure
 *   keeps    MOLE_ROOM_PAGES at most, and no less than the caches' dear_room in all; a
 *            fork's child counts it anew, and in that of a signal's handler which
 *            interrupted this it may fall below zero
 */
static _Atomic(uint32_t) room_a;

uint32_t mole_empties_room(void)
{
    return load_rlx(&room_a);
}

void mole_empties_recount(void)
{
    uint32_t room = 0;
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap)) {
        struct mole_owner *owner =
            load_rlx(&heap->word_a) ? mole_heap_owners(heap) : NULL;
        for (; owner; owner = owner->next)
            room += ((struct mole_tcache *)(void *)owner)->dear_room;
    }
    store_rlx(&room_a, room);
}

static uint32_t in_steps(uint32_t pages)
{
    return (pages + MOLE_ROOM_STEP - 1) / MOLE_ROOM_STEP * MOLE_ROOM_STEP;
}

/* Give room back but for what so many pages need. */
static void give_room(struct mole_tcache *cache, uint32_t pages)
{
    uint32_t needed = in_steps(pages);
    if (cache->dear_room <= needed)
        return;
    uint32_t rest = cache->dear_room - needed;
    cache->dear_room = needed;
    mole_idle_count(cache, -(int32_t)rest);
    sub_rlx(&room_a, rest);
}

/* Whether there is, or now comes to be, room for so many pages. */
static bool has_room(struct mole_tcache *cache, uint32_t pages)
{
    if (likely(pages <= cache->dear_room))
        return true;
    if (pages > cache->dear_made)
        return false;
    uint32_t more = in_steps(pages) - cache->dear_room;
    uint32_t room = load_rlx(&room_a);
    do {
        if ((int32_t)(room + more) > MOLE_ROOM_PAGES)
            return false;
    } while (!cas_weak_rlx(&room_a, &room, room + more));
    cache->dear_room += more;
    mole_idle_count(cache, (int32_t)more);
    return true;
}

static bool is_dear(unsigned class)
{
    return class >= FIRST_DEAR && class < MOLE_CLASS_COUNT;
}

static bool may_have_room(const struct mole_tcache *cache, unsigned class)
{
    const struct mole_arena *arena = &cache->owner.heap->arena;
    return is_dear(class) && arena->is_locked && !arena->is_executable &&
           !mole_warmth_is_full();
}

/* Pages kept that no room is for. */
static uint32_t outside_room(const struct mole_tcache *cache)
{
    uint32_t room = cache->dear_room;
    return cache->empty_pages - (cache->dear_pages < room ? cache->dear_pages : room);
}

static void count(struct mole_tcache *cache, unsigned class, int32_t pages)
{
    cache->empty_pages += (uint32_t)pages;
    mole_idle_count(cache, pages);
    if (!is_dear(class))
        return;
    cache->dear_pages += (uint32_t)pages;
    if (cache->dear_pages < cache->dear_least)
        cache->dear_least = cache->dear_pages;
}

void mole_empties_note_made(struct mole_tcache *cache, const struct mole_span *span)
{
    if (is_dear(span->class) && cache->dear_made < MOLE_ROOM_PAGES)
        cache->dear_made += span->pages;
}

bool mole_empties_put(struct mole_tcache *cache, struct mole_span *span, bool is_own)
{
    if (outside_room(cache) + span->pages > MOLE_EMPTY_PAGES && !cache->keeps_all &&
        !(is_own && may_have_room(cache, span->class) &&
          has_room(cache, cache->dear_pages + span->pages)))
        return false;
    mole_slab_arm(cache, span, 0);
    count(cache, span->class, (int32_t)span->pages);
    span->next = cache->empties[span->class];
    cache->empties[span->class] = span;
    return true;
}

struct mole_span *mole_empties_take(struct mole_tcache *cache, unsigned class)
{
    struct mole_span *span = cache->empties[class];
    if (!span)
        return NULL;
    cache->empties[class] = span->next;
    count(cache, class, -(int32_t)span->pages);
    if (!cache->dear_pages || cache->dear_room >= cache->dear_pages + MUCH_ROOM)
        give_room(cache, cache->dear_pages);
    span->next = NULL;
    return span;
}

/* Dear ones of so many pages go. */
static void drop_dear(struct mole_tcache *cache, struct mole_pool_slots *slots,
                      uint32_t pages)
{
    uint32_t least = cache->dear_pages > pages ? cache->dear_pages - pages : 0;
    struct mole_span *span;
    for (unsigned class = FIRST_DEAR; class < MOLE_CLASS_COUNT; class += 1)
        while (cache->dear_pages > least && (span = mole_empties_take(cache, class)))
            mole_slab_destroy(cache, slots, span);
}

bool mole_empties_drop(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    bool had_any = cache->empty_pages != 0;
    struct mole_span *span;
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        while ((span = mole_empties_take(cache, class)))
            mole_slab_destroy(cache, slots, span);
    return had_any;
}

void mole_empties_shrink_slow(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    if (mole_warmth_is_full() && !cache->keeps_all)
        drop_dear(cache, slots, 2 * MOLE_ROOM_STEP);
}

void mole_empties_sweep(struct mole_tcache *cache)
{
    uint32_t least = cache->dear_least;
    if (cache->dear_room)
        drop_dear(cache, NULL, least < MUCH_ROOM ? least : MUCH_ROOM);
    cache->dear_least = cache->dear_pages;
}

void mole_empties_forget(struct mole_tcache *cache)
{
    memset(cache->empties, 0, sizeof cache->empties);
    mole_idle_count(cache, -(int32_t)cache->empty_pages);
    cache->empty_pages = cache->dear_pages = cache->dear_least = cache->dear_made = 0;
    give_room(cache, 0);
}
