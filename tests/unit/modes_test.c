/* SPDX-License-Identifier: MIT */
/* Which heaps are watched, and by what keys: it follows who is attached. */
#include "unit.h"

#include "../api/spies.h"
#include "arena/mode.h"

static struct notes notes;

static int agree(void *context, void *heap, size_t bytes)
{
    note(context, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
    return true;
}

static unsigned watched(HANDLE heap)
{
    return mole_mode_of(inside(heap)) & MOLE_MODE_WATCHED;
}

static unsigned malloc_watched(void)
{
    return mole_mode_of(mole_process_malloc_heap()) & MOLE_MODE_WATCHED;
}

static void expect_modes(HANDLE heap, HANDLE other, unsigned a, unsigned b, unsigned c)
{
    require(watched(heap) == a && watched(other) == b && malloc_watched() == c,
            "the modes are %u, %u and %u, not %u, %u and %u", watched(heap),
            watched(other), malloc_watched(), a, b, c);
    struct mole_owner *owner = mole_heap_owners(inside(heap));
    require((load_rlx(&owner->alloc_key_a) == heap) == (a == 0) &&
                (load_rlx(&owner->free_key_a) == heap) == !(a & MOLE_MODE_SPIED) &&
                (load_rlx(&owner->sampled_key_a) == heap) == (a == MOLE_MODE_SAMPLED) &&
                (load_rlx(&owner->spied_key_a) == heap) == (a == MOLE_MODE_SPIED),
            "the keys do not fit");
}

Test(modes, they_follow_who_is_attached)
{
    enum { SPIED = MOLE_MODE_SPIED, SAMPLED = MOLE_MODE_SAMPLED };
    static struct notes sampler, all;
    HANDLE heap = create_heap(0), other = create_heap(0);
    expect_modes(heap, other, 0, 0, 0);
    begin_notes(&notes, heap);
    expect_modes(heap, other, SPIED, 0, 0);
    notes_init(&sampler);
    sampler.spy.sample_bytes = 1000;
    attach(&sampler.spy, MH_SPY_ALL);
    expect_modes(heap, other, SPIED | SAMPLED, SAMPLED, SAMPLED);
    HANDLE later = create_heap(0);
    expect_modes(later, other, SAMPLED, SAMPLED, SAMPLED);
    begin_notes(&all, MH_SPY_MALLOC);
    expect_modes(heap, other, SPIED | SAMPLED, SAMPLED, SPIED | SAMPLED);
    end_notes(&notes);
    expect_modes(heap, other, SAMPLED, SAMPLED, SPIED | SAMPLED);
    end_notes(&sampler);
    expect_modes(heap, other, 0, 0, SPIED);
    expect_modes(later, other, 0, 0, SPIED);
    end_notes(&all);
    expect_modes(heap, other, 0, 0, 0);
    all.spy.may_allocate = agree;
    attach(&all.spy, heap);
    expect_modes(heap, other, SPIED | MOLE_MODE_ASKED, 0, 0);
    detach(&all.spy);
    expect_modes(heap, other, 0, 0, 0);
    expect_modes(later, create_heap(0), 0, 0, 0);
}
