/* SPDX-License-Identifier: MIT */
#include "arena/mode.h"

#include "arena/hold.h"
#include "os/barrier.h"

/*
 * to_come_a: the modes of heaps to come.
 *   writers  mole_mode_change_to_come
 *   readers  create
 *   orders   relaxed, between fences: HB-MODE-1
 *   keeps    MOLE_MODE_FENCED stays
 *
 * are_fenced_a: all heaps have MOLE_MODE_FENCED, and what began without it can be seen.
 *   writers  mole_mode_go_fenced, holding all heaps
 *   readers  the same
 *   orders   store release, load acquire: HB-FENCED-1
 *   keeps    never false again
 */
static _Atomic(unsigned) to_come_a;
static _Atomic(bool) are_fenced_a;

struct keys {
    void *alloc;
    void *free;
    void *sampled;
    void *spied;
    void *fixed;
};

/*
 * Malloc's heap has no handle, and two keys only: its other modes are in the limits of
 * malloc's fast paths, which follow. What the same two are elsewhere while no spy watches
 * is the one value that the Win32 functions look out for.
 */
static struct keys keys_of(struct mole_heap *heap, unsigned modes)
{
    void *handle = load_rlx(&heap->handle_a);
    void *key = handle ? handle : MOLE_NO_KEY;
    void *watched = handle ? handle : MOLE_MALLOC_KEY;
    void *unwatched = handle ? MOLE_MALLOC_KEY : MOLE_NO_KEY;
    if (heap->fixed)
        return (struct keys){MOLE_NO_KEY, MOLE_NO_KEY, unwatched, unwatched,
                             .fixed = modes ? MOLE_NO_KEY : key};
    return (struct keys){
        .alloc = modes ? MOLE_NO_KEY : key,
        .free = modes & ~(unsigned)MOLE_MODE_SAMPLED ? MOLE_NO_KEY : key,
        .sampled = modes == MOLE_MODE_SAMPLED ? watched : unwatched,
        .spied = modes == MOLE_MODE_SPIED ? watched : unwatched,
        .fixed = MOLE_NO_KEY,
    };
}

static void store_keys(struct mole_owner *owner, struct keys keys)
{
    store_rel(&owner->alloc_key_a, keys.alloc);     /* HB-GATE-2 */
    store_rel(&owner->free_key_a, keys.free);       /* HB-GATE-2 */
    store_rel(&owner->sampled_key_a, keys.sampled); /* HB-GATE-2 */
    store_rel(&owner->spied_key_a, keys.spied);     /* HB-GATE-2 */
    store_rel(&owner->fixed_key_a, keys.fixed);     /* HB-GATE-2 */
}

bool mole_mode_change(struct mole_heap *heap, uint64_t id, unsigned set, unsigned clear)
{
    mole_lock_acquire(&heap->mode_lock);
    uint64_t word = load_rlx(&heap->word_a);
    bool is_same;
    do {
        is_same = id && (word & ~(uint64_t)MOLE_MODE_MASK) == id;
    } while (is_same && !cas_weak_rel(&heap->word_a, &word, /* HB-GATE-2 */
                                      (word & ~(uint64_t)clear) | set));
    if (is_same) {
        fence_seq_cst(); /* HB-MODE-1 */
        for (struct mole_owner *owner = mole_heap_owners(heap); owner;
             owner = owner->next)
            store_keys(owner, keys_of(heap, mole_mode_of(heap)));
        if (heap->follow)
            heap->follow(mole_mode_of(heap));
    }
    mole_lock_release(&heap->mode_lock);
    return is_same;
}

void mole_mode_deny(struct mole_owner *owner)
{
    store_keys(owner, (struct keys){MOLE_NO_KEY, MOLE_NO_KEY, MOLE_NO_KEY, MOLE_NO_KEY,
                                    MOLE_NO_KEY});
}

void mole_mode_allow(struct mole_owner *owner)
{
    store_keys(owner, keys_of(owner->heap, 0));
}

void mole_mode_follow(struct mole_heap *heap, void (*follow)(unsigned modes))
{
    mole_lock_acquire(&heap->mode_lock);
    heap->follow = follow;
    follow(mole_mode_of(heap));
    mole_lock_release(&heap->mode_lock);
}

void mole_mode_change_to_come(unsigned set, unsigned clear)
{
    unsigned modes = load_rlx(&to_come_a);
    while (!cas_weak_rlx(&to_come_a, &modes, (modes & ~clear) | set)) {
    }
    fence_seq_cst(); /* HB-MODE-1 */
}

static void fence_all(void)
{
    mole_mode_change_to_come(MOLE_MODE_FENCED, 0);
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        if (heap->arena.is_locked) /* it has a gate */
            (void)mole_mode_change(heap, mole_heap_id(heap), MOLE_MODE_FENCED, 0);
    mole_barrier_drain();
    store_rel(&are_fenced_a, true); /* HB-FENCED-1 */
}

bool mole_mode_are_fenced(void)
{
    return load_acq(&are_fenced_a); /* HB-FENCED-1 */
}

void mole_mode_go_fenced(void)
{
    if (mole_mode_are_fenced())
        return;
    mole_hold_begin(); /* and wait for who is at it already */
    if (!load_rlx(&are_fenced_a))
        fence_all();
    mole_hold_end();
}

void mole_mode_give_keys(struct mole_owner *owner)
{
    struct mole_heap *heap = owner->heap;
    unsigned modes;
    do {
        modes = mole_mode_of(heap);
        store_keys(owner, keys_of(heap, modes)); /* for those that are compared below */
        fence_seq_cst();                         /* HB-MODE-1 */
    } while (mole_mode_of(heap) != modes);       /* changed, maybe before the stores */
}

void mole_mode_begin(struct mole_heap *heap)
{
    fence_seq_cst(); /* HB-MODE-1 */
    unsigned modes = load_rlx(&to_come_a);
    if (!heap->arena.is_locked)
        modes &= ~(unsigned)MOLE_MODE_FENCED; /* it has no gate */
    if (unlikely(modes))
        (void)mole_mode_change(heap, mole_heap_id(heap), modes, 0);
}
