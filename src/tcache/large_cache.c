/* SPDX-License-Identifier: MIT */
#include "tcache/large_cache.h"

#include <string.h>

#include "arena/large.h"
#include "os/pages.h"
#include "tcache/tcache.h"

/* The chunks of the spans in each of the further slots. */
static const uint8_t further[MOLE_LARGE_FURTHER] = {1, 1, 1, 2};

/* Of the spans in a slot. */
static unsigned chunks_in(unsigned i)
{
    return i <= MOLE_LARGE_MOST  ? i
           : i == MOLE_LARGE_ODD ? 0
                                 : further[i - MOLE_LARGE_ODD - 1];
}

/* The next slot for so many chunks; 0: there is none. */
static unsigned next_for(unsigned chunks, unsigned i)
{
    for (i = i < MOLE_LARGE_ODD ? MOLE_LARGE_ODD + 1 : i + 1; i < MOLE_LARGE_SLOTS; i++)
        if (chunks_in(i) == chunks)
            return i;
    return 0;
}

static unsigned state_of(uintptr_t kept)
{
    return kept & MOLE_LARGE_STATES;
}

static struct mole_span *span_in(uintptr_t kept)
{
    return (struct mole_span *)(kept & ~(uintptr_t)MOLE_LARGE_STATES);
}

/* Empty a slot that nobody is busy with. What was in it; 0: nothing. */
static uintptr_t empty(_Atomic(uintptr_t) *slot)
{
    uintptr_t kept = load_rlx(slot);
    while (span_in(kept) && state_of(kept) != MOLE_LARGE_BUSY)
        if (cas_acq(slot, &kept, MOLE_LARGE_OPEN)) /* HB-LARGE-1, HB-LARGE-2 */
            return kept;
    return 0;
}

/* The same of all slots for so many chunks. */
static uintptr_t empty_any(struct mole_large_cache *large, unsigned chunks)
{
    for (unsigned i = chunks; i; i = next_for(chunks, i)) {
        uintptr_t kept = empty(&large->slot_a[i]);
        if (kept)
            return kept;
    }
    return 0;
}

void *mole_large_cache_reuse(struct mole_tcache *cache, size_t bytes, size_t align,
                             bool zero)
{
    if (!cache || !cache->large.is_used || align > MOLE_CHUNK)
        return NULL;
    size_t least = bytes ? (bytes - 1) / MOLE_CHUNK + 1 : 1;
    /* The pool's runs may have one more chunk than was asked for. */
    for (size_t chunks = least; chunks <= MOLE_LARGE_MOST && chunks < least + 2;
         chunks++) {
        uintptr_t kept = empty_any(&cache->large, (unsigned)chunks);
        if (!kept)
            continue;
        struct mole_span *span = span_in(kept);
        store_rlx(&span->bytes_a, bytes);
        if (zero && state_of(kept) != MOLE_LARGE_CLEAN)
            memset(span->base, 0, bytes);
        return span->base;
    }
    return NULL;
}

/* What is in the slot, if anything and nobody is busy with it, goes to the pool. */
static void clear(struct mole_tcache *cache, struct mole_pool_slots *slots,
                  _Atomic(uintptr_t) *slot)
{
    uintptr_t kept = empty(slot);
    if (kept)
        mole_large_release(cache->owner.heap, slots, span_in(kept),
                           state_of(kept) == MOLE_LARGE_CLEAN);
}

/*
 * Shut a slot that has been of no use since this was last called, to make room for
 * another.
 */
static void age(struct mole_tcache *cache, struct mole_pool_slots *slots,
                _Atomic(uintptr_t) *slot)
{
    uintptr_t kept = load_rlx(slot);
    if (state_of(kept) == MOLE_LARGE_READY) {
        (void)cas_acq(slot, &kept, (uintptr_t)span_in(kept) | MOLE_LARGE_OLD);
        return;
    }
    clear(cache, slots, slot);
    if (load_rlx(slot) == MOLE_LARGE_OPEN)
        store_rlx(slot, 0);
}

/* Whether there is room for so many chunks more, or can be made. */
static bool make_room(struct mole_tcache *cache, struct mole_pool_slots *slots,
                      uint32_t chunks)
{
    struct mole_large_cache *large = &cache->large;
    uint32_t sum = chunks;
    for (unsigned i = 1; i < MOLE_LARGE_SLOTS; i++)
        sum += load_rlx(&large->slot_a[i]) ? chunks_in(i) : 0;
    for (unsigned i = 1; i < MOLE_LARGE_SLOTS && sum > MOLE_LARGE_KEPT; i++)
        if (load_rlx(&large->slot_a[i]) && chunks_in(i) != chunks) {
            age(cache, slots, &large->slot_a[i]);
            sum -= load_rlx(&large->slot_a[i]) ? 0 : chunks_in(i);
        }
    return sum <= MOLE_LARGE_KEPT;
}

/* A slot for so many chunks that is open, or can be opened now; 0: none. */
static unsigned find_open(struct mole_tcache *cache, struct mole_pool_slots *slots,
                          uint32_t chunks)
{
    struct mole_large_cache *large = &cache->large;
    struct mole_heap *heap = cache->owner.heap;
    if (chunks > MOLE_LARGE_MOST || heap->checks || heap->arena.is_executable)
        return 0;
    unsigned shut = 0;
    for (unsigned i = chunks; i; i = next_for(chunks, i)) {
        _Atomic(uintptr_t) *slot = &large->slot_a[i];
        if (state_of(load_rlx(slot)) == MOLE_LARGE_CLEAN)
            clear(cache, slots, slot);
        if (load_rlx(slot) == MOLE_LARGE_OPEN)
            return i;
        if (!shut && !load_rlx(slot))
            shut = i;
    }
    if (!shut || !make_room(cache, slots, chunks))
        return 0;
    store_rlx(&large->slot_a[shut], MOLE_LARGE_OPEN);
    large->is_used = true;
    store_rlx(&heap->arena.keeps_a, true);
    return shut;
}

void mole_large_cache_free(struct mole_tcache *cache, struct mole_pool_slots *slots,
                           struct mole_span *span)
{
    mole_large_unmark(span); /* who is to hear of it has heard */
    unsigned i = cache ? find_open(cache, slots, span->capacity) : 0;
    if (!i) {
        mole_large_free(span->heap, slots, span);
        return;
    }
    cache->frees++;
    store_rlx(&span->bytes_a, MOLE_LARGE_FREE);
    store_rel(&cache->large.slot_a[i],
              (uintptr_t)span + MOLE_LARGE_READY); /* HB-LARGE-1 */
}

/* Under the arena's lock: the span's run, which is in no heap any more. */
static struct mole_run *take_apart(struct mole_arena *arena, struct mole_span *span)
{
    struct mole_run *run = mole_span_run(span);
    mole_span_unmap(span);
    mole_arena_unlink(arena, run);
    return run;
}

static void take_runs(struct mole_tcache *cache, struct mole_run **loot)
{
    for (unsigned i = 1; i < MOLE_LARGE_SLOTS; i++) {
        uintptr_t kept = empty(&cache->large.slot_a[i]);
        if (!kept)
            continue;
        struct mole_run *run = take_apart(&cache->owner.heap->arena, span_in(kept));
        mole_span_give(span_in(kept));
        run->is_zero = state_of(kept) == MOLE_LARGE_CLEAN ? MOLE_RUN_EMPTIED : 0;
        run->next = *loot;
        *loot = run;
    }
}

size_t mole_large_cache_reclaim(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    if (!load_rlx(&heap->arena.keeps_a))
        return 0;
    struct mole_run *loot = NULL;
    mole_arena_enter(&heap->arena);
    if (load_acq(&heap->word_a)) /* HB-HEAP-1; else its caches are nobody's */
        for (struct mole_owner *owner = mole_heap_owners(heap); owner;
             owner = owner->next)
            take_runs((struct mole_tcache *)(void *)owner, &loot);
    mole_arena_leave(&heap->arena);
    size_t count = 0;
    for (struct mole_run *run; (run = loot); count++) {
        loot = run->next;
        mole_arena_return(&heap->arena, slots, run);
    }
    return count;
}

/*
 * A span that a pass is busy with is taken apart first, and then left to it, unless it
 * has just been done with it. Others stay the heap's, which gives back all it has.
 */
static void drop_one(struct mole_tcache *cache, struct mole_pool_slots *slots,
                     _Atomic(uintptr_t) *slot)
{
    struct mole_arena *arena = &cache->owner.heap->arena;
    struct mole_run *run = NULL;
    uintptr_t kept = load_acq(slot); /* HB-LARGE-2 */
    while (kept) {
        if (state_of(kept) == MOLE_LARGE_BUSY && !run)
            run = take_apart(arena, span_in(kept));
        if (!cas_acq_rel(slot, &kept, 0)) /* HB-LARGE-2, HB-LARGE-3 */
            continue;
        if (!run || state_of(kept) == MOLE_LARGE_BUSY)
            return;
        mole_span_give(span_in(kept));
        run->is_zero = 0;
        mole_arena_return(arena, slots, run);
        return;
    }
}

void mole_large_cache_drop(struct mole_tcache *cache, struct mole_pool_slots *slots)
{
    for (unsigned i = 1; i < MOLE_LARGE_SLOTS; i++)
        drop_one(cache, slots, &cache->large.slot_a[i]);
    cache->large.is_used = false;
}

void mole_large_cache_forget(struct mole_tcache *cache)
{
    for (unsigned i = 1; i < MOLE_LARGE_SLOTS; i++)
        store_rlx(&cache->large.slot_a[i], 0);
    cache->large.is_used = false;
}

/* What a pass is busy with: of one cache. */
struct hand {
    _Atomic(uintptr_t) *slot[MOLE_LARGE_SLOTS];
    struct mole_span *span[MOLE_LARGE_SLOTS];
    unsigned count;
};

/* One pass, over all heaps. */
struct pass {
    bool all;
    size_t kept;
    struct hand hand;
};

static void look_at(struct pass *pass, _Atomic(uintptr_t) *slot)
{
    uintptr_t kept = load_rlx(slot);
    uintptr_t span = kept & ~(uintptr_t)MOLE_LARGE_STATES;
    if (state_of(kept) == MOLE_LARGE_READY && !pass->all) {
        pass->kept++;
        (void)cas_acq(slot, &kept, span | MOLE_LARGE_OLD);
    } else if (state_of(kept) - 1 < MOLE_LARGE_OLD && span &&
               cas_acq(slot, &kept, span | MOLE_LARGE_BUSY)) { /* HB-LARGE-1 */
        pass->hand.slot[pass->hand.count] = slot;
        pass->hand.span[pass->hand.count++] = span_in(span);
    }
}

/* What is in hand goes to the system, and is free in its slot then. */
static void put_back(struct hand *hand)
{
    while (hand->count > 0) {
        struct mole_span *span = hand->span[--hand->count];
        uintptr_t kept = (uintptr_t)span | MOLE_LARGE_BUSY;
        bool is_clean = mole_pages_purge(span->base, (size_t)span->pages * MOLE_PAGE);
        uintptr_t then = (uintptr_t)span | (is_clean ? MOLE_LARGE_CLEAN : MOLE_LARGE_OLD);
        if (cas_acq_rel(hand->slot[hand->count], &kept, then)) /* HB-LARGE-2 */
            continue;
        struct mole_run *run = mole_span_run(span); /* HB-LARGE-3: its heap has ended */
        mole_span_give(span);
        run->is_zero = is_clean ? MOLE_RUN_EMPTIED : 0;
        mole_pool_give(NULL, run);
    }
}

/* The cache after this one that had something to give back; NULL: there is none. */
static struct mole_owner *next_in(struct pass *pass, struct mole_heap *heap, uint64_t id,
                                  struct mole_owner *owner)
{
    if (!mole_arena_try(&heap->arena)) {
        pass->kept++;
        return NULL;
    }
    bool is_alive = id && mole_heap_id(heap) == id;
    bool is_first = !owner;
    for (;;) {
        if (!is_alive || (!is_first && !heap->arena.is_locked))
            owner = NULL; /* the one cache of such a heap may be another heap's by now */
        else
            owner = is_first ? mole_heap_owners(heap) : owner->next;
        is_first = false;
        if (!owner)
            break;
        struct mole_tcache *cache = (struct mole_tcache *)(void *)owner;
        for (unsigned i = 1; i < MOLE_LARGE_SLOTS; i++)
            look_at(pass, &cache->large.slot_a[i]);
        if (pass->hand.count)
            break;
    }
    mole_arena_leave(&heap->arena);
    return owner;
}

static void pass_over(struct pass *pass, struct mole_heap *heap)
{
    uint64_t id = mole_heap_id(heap);
    struct mole_owner *owner = NULL;
    while ((owner = next_in(pass, heap, id, owner)))
        put_back(&pass->hand);
}

size_t mole_large_cache_pass(bool all)
{
    struct pass pass = {.all = all};
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap)) {
        if (!load_rlx(&heap->arena.keeps_a))
            continue;
        if (all && heap->arena.is_locked)
            (void)mole_large_cache_reclaim(heap, NULL);
        else
            pass_over(&pass, heap);
    }
    return pass.kept;
}
