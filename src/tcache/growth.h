/* SPDX-License-Identifier: MIT */
/*
 * How many slabs a cache has, by class: the more, the larger the next (slab.c).
 */
#pragma once

#include "arena/size_class.h"
#include "base/atom.h"

struct mole_growth {
    /*
     * slabs_a: slabs of each class that the cache has, saturating.
     *   writers  who makes one, takes one apart or steals one, under the arena's lock; a
     *            wipe, which has the heap
     *   readers  the owner
     *   orders   relaxed: a hint
     *   keeps    0 once there are none; too low while memory is short, or once there
     *            were more than it counts
     */
    _Atomic(uint8_t) slabs_a[MOLE_SLAB_CLASSES];
};

static inline unsigned mole_growth_of(const struct mole_growth *growth, unsigned class)
{
    return load_rlx(&growth->slabs_a[class]);
}

static inline void mole_growth_set(struct mole_growth *growth, unsigned class,
                                   unsigned slabs)
{
    store_rlx(&growth->slabs_a[class], (uint8_t)slabs);
}

/* There is one more, or less. Under the arena's lock. */
static inline void mole_growth_note_made(struct mole_growth *growth, unsigned class)
{
    unsigned slabs = mole_growth_of(growth, class);
    if (slabs < UINT8_MAX)
        mole_growth_set(growth, class, slabs + 1);
}

static inline void mole_growth_note_gone(struct mole_growth *growth, unsigned class)
{
    unsigned slabs = mole_growth_of(growth, class);
    if (slabs > 0)
        mole_growth_set(growth, class, slabs - 1);
}

/* The next ones are small again. Under the arena's lock, or nobody has the cache yet. */
static inline void mole_growth_forget(struct mole_growth *growth)
{
    for (unsigned class = 0; class < MOLE_SLAB_CLASSES; class += 1)
        mole_growth_set(growth, class, 0);
}
