/* SPDX-License-Identifier: MIT */
#include "arena/heap.h"

#include <string.h>

#include "arena/fixed.h"
#include "arena/guard.h"
#include "arena/hold.h"
#include "arena/late.h"
#include "arena/mode.h"
#include "arena/span_map.h"

/*
 * all_a: every heap record, linked by all_next.
 *   writers  take_record pushes
 *   readers  mole_heap_first
 *   orders   push CAS release, load acquire: HB-HEAP-2
 *   keeps    only grows: HB-HEAP-2 makes all_next visible, word_a the rest (HB-HEAP-1)
 */
static _Atomic(struct mole_heap *) all_a;
static struct mole_meta_stack unused[2]; /* without and with a lock: for good */

/*
 * last_id_a: the id given last. adoptions_a: caches adopted.
 *   writers  create; adopt
 *   readers  the same; mole_heap_adoptions
 *   orders   relaxed: only uniqueness matters
 *   keeps    neither falls
 */
static _Atomic(uint64_t) last_id_a;
static _Atomic(uint64_t) adoptions_a;

/* Sized, so that who claims a block of its compares: in a purged record that fails. */
struct mole_heap mole_heap_nobody = {.is_sized = true};

static struct mole_heap *take_record(bool is_locked)
{
    struct mole_heap *heap =
        (struct mole_heap *)(void *)mole_meta_pop(&unused[is_locked]);
    if (heap) {
        if (unlikely(load_rlx(&heap->gate.owner_a))) /* destroyed with its gate shut */
            mole_gate_reset(heap);
        return heap;
    }
    heap = mole_meta_take(MOLE_META_HEAP, sizeof *heap);
    if (!heap)
        return NULL;
    mole_arena_init(&heap->arena, is_locked);
    mole_lock_init(&heap->mode_lock);
    mole_gate_reset(heap);
    struct mole_heap *head = load_rlx(&all_a);
    do {
        heap->all_next = head;
    } while (!cas_weak_rel(&all_a, &head, heap)); /* HB-HEAP-2 */
    return heap;
}

struct mole_heap *mole_heap_first(void)
{
    return load_acq(&all_a); /* HB-HEAP-2 */
}

struct mole_heap *mole_heap_next(struct mole_heap *heap)
{
    return heap->all_next;
}

uint64_t mole_heap_new_id(void)
{
    return (add_rlx(&last_id_a, 1) + 1) << MOLE_MODE_SHIFT;
}

static void publish(struct mole_heap *heap)
{
    store_rlx(&heap->owners_a, NULL);
    store_rlx(&heap->orphans_a, 0);
    store_rlx(&heap->returned_a, 0);
    store_rlx(&heap->frees_a, 0);
    memset(heap->stolen, 0, sizeof heap->stolen);
    heap->arena.has_grown = false;
    store_rlx(&heap->arena.keeps_a, false);
    uint64_t id = mole_heap_new_id();
    uint64_t mode = heap->checks ? MOLE_MODE_CHECKED : 0;
    store_rel(&heap->word_a, id | mode); /* HB-HEAP-1 */
    mole_mode_begin(heap);
}

/* Let the heap have its first page, whose address is the handle. */
static void move_in(struct mole_heap *heap, uint32_t flags, struct mole_run *home,
                    struct mole_span *first)
{
    home->next = home->prev = home->page_next = home->page_prev = NULL;
    heap->arena.runs = home;
    store_rel(&heap->handle_a, home->base); /* HB-HEAP-3 */
    heap->home = home;
    heap->first = first;
    heap->flags = flags;
    store_rlx(&heap->is_active_a, false);
    heap->fixed = NULL;
    heap->initial_bytes = 0;
    heap->is_private = true;
    heap->is_sized = true;
    mole_span_set_owner(first, &mole_owner_nobody);
    first->kind = MOLE_SPAN_NONE;
    first->base = home->base;
    first->heap = heap;
}

/* One that is not published yet, its home run of so many chunks; or NULL. */
static struct mole_heap *create(uint32_t flags, struct mole_pool_slots *slots,
                                size_t chunks)
{
    struct mole_heap *heap = take_record(!(flags & MOLE_HEAP_NO_SERIALIZE));
    if (!heap)
        return NULL;
    struct mole_span *first = mole_span_take(0);
    if (!first)
        goto fail_record;
    heap->arena.is_executable = flags & MOLE_HEAP_ENABLE_EXECUTE;
    struct mole_run *home = mole_arena_fetch(&heap->arena, slots, chunks);
    if (!home)
        goto fail_span;
    move_in(heap, flags, home, first);
    mole_guard_begin(heap);
    return heap;
fail_span:
    mole_span_give(first);
fail_record:
    mole_meta_push(&unused[heap->arena.is_locked], &heap->meta);
    return NULL;
}

static void appear(struct mole_heap *heap)
{
    mole_span_map_set(heap->home->base, 1, heap->first);
    publish(heap);
}

struct mole_heap *mole_heap_create(uint32_t flags, struct mole_pool_slots *slots)
{
    struct mole_heap *heap = create(flags, slots, 1);
    if (!heap)
        return NULL;
    heap->home->is_cut = 1;
    heap->home->free_pages = 0xfffe;
    appear(heap);
    return heap;
}

struct mole_heap *mole_heap_create_fixed(uint32_t flags, struct mole_pool_slots *slots,
                                         const struct mole_fixed_limits *limits)
{
    size_t chunks = mole_fixed_chunks(limits->maximum_bytes);
    struct mole_heap *heap = chunks ? create(flags, slots, chunks) : NULL;
    if (!heap)
        return NULL;
    heap->home->is_cut = 0;
    heap->home->free_pages = 0;
    if (!mole_fixed_create(heap, limits)) {
        mole_heap_finish(heap, slots);
        return NULL;
    }
    appear(heap);
    return heap;
}

struct mole_heap *mole_heap_create_nameless(void)
{
    struct mole_heap *heap = take_record(true);
    if (!heap)
        return NULL;
    store_rlx(&heap->handle_a, NULL);
    heap->arena.is_executable = false;
    heap->home = NULL;
    heap->first = NULL;
    heap->flags = 0;
    heap->fixed = NULL;
    heap->initial_bytes = 0;
    heap->is_private = false;
    heap->is_sized = false;
    heap->checks = heap->pad = 0;
    publish(heap);
    return heap;
}

struct mole_heap *mole_heap_find(const void *handle)
{
    struct mole_span *span = mole_span_map_find(handle);
    if (span == &mole_span_nobody || span->kind != MOLE_SPAN_NONE || span->base != handle)
        return NULL;
    struct mole_heap *heap = mole_span_heap(span);
    return load_acq(&heap->word_a) && load_rlx(&heap->handle_a) == handle
               ? heap
               : NULL; /* HB-HEAP-1 */
}

struct mole_owner *mole_heap_kill(struct mole_heap *heap)
{
    /*
     * Threads that end look at their caches under this lock, and thieves at all of them.
     */
    mole_arena_enter(&heap->arena);
    store_rlx(&heap->word_a, 0);
    struct mole_owner *owners = swap_acq(&heap->owners_a, NULL); /* HB-OWNER-2 */
    mole_arena_leave(&heap->arena);
    mole_gate_forget(heap);
    mole_span_map_clear(heap->home->base, 1);
    mole_hold_await();
    return owners;
}

void mole_heap_finish(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    if (heap->fixed) {
        mole_fixed_destroy(heap);
        mole_arena_return(&heap->arena, slots, heap->home);
    } else {
        mole_arena_give_all(&heap->arena, slots);
    }
    mole_span_give(heap->first);
    mole_meta_push(&unused[heap->arena.is_locked], &heap->meta);
}

void mole_heap_enlist(struct mole_heap *heap, struct mole_owner *owner)
{
    struct mole_owner *head = load_rlx(&heap->owners_a);
    do {
        owner->next = head;
    } while (!cas_weak_rel(&heap->owners_a, &head, owner)); /* HB-OWNER-2 */
    mole_mode_give_keys(owner);
}

struct mole_owner *mole_heap_owners(struct mole_heap *heap)
{
    return load_acq(&heap->owners_a); /* HB-OWNER-2 */
}

bool mole_heap_adopt_one(struct mole_owner *owner, uintptr_t thread)
{
    uintptr_t orphan = MOLE_ORPHAN;
    if (load_rlx(&owner->thread_a) != MOLE_ORPHAN)
        return false;
    if (cas_acq(&owner->thread_a, &orphan, thread)) { /* HB-OWNER-1 */
        sub_rlx(&owner->heap->orphans_a, 1);
        add_rlx(&adoptions_a, 1);
        store_rlx(&owner->is_lean_a, false);
        return true;
    }
    return false;
}

struct mole_owner *mole_heap_adopt(struct mole_heap *heap, uintptr_t thread)
{
    if (load_rlx(&heap->orphans_a) <= 0)
        return NULL;
    struct mole_owner *owner = mole_heap_owners(heap);
    while (owner && !mole_heap_adopt_one(owner, thread))
        owner = owner->next;
    return owner;
}

void mole_heap_let_go(struct mole_owner *owner)
{
    struct mole_heap *heap = owner->heap;
    add_rlx(&heap->orphans_a, 1);             /* first: the hint must not be too low */
    store_rel(&owner->thread_a, MOLE_ORPHAN); /* HB-OWNER-1 */
}

uint64_t mole_heap_adoptions(void)
{
    return load_rlx(&adoptions_a);
}

uint64_t mole_heap_count(void)
{
    return load_rlx(&last_id_a);
}
