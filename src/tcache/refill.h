/* SPDX-License-Identifier: MIT */
/*
 * The refill that most are, which fast paths make inside of their own operation:
 * mole_tcache_alloc_slow does all others.
 */
#pragma once

#include "tcache/tcache.h"

/*
 * The class's next partial slab takes the place of its current one, which is used up.
 * NULL: there is something else to do first, or no such slab. Owner only, inside an
 * operation.
 */
mole_shared struct mole_span *mole_refill_next(struct mole_tcache *cache, unsigned class)
    mole_must_check;
