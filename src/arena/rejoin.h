/* SPDX-License-Identifier: MIT */
/*
 * What the pool does when fresh chunks are used up. A larger run is split. If there is
 * none, all free runs, those in threads' slots too, are taken in hand and sorted by
 * address, and neighbours are joined if a large enough piece comes of it; else they go
 * back as they were, and until more is given back, requests beyond the largest piece fail
 * at once.
 */
#pragma once

#include "arena/run.h"

/*
 * A run of at least `chunks` chunks, or NULL: there are not so many in a row. Under the
 * lock of hands.h: runs that others have in their hands are waited for.
 */
struct mole_run *mole_rejoin_take(size_t chunks) mole_must_check;

/* In a fork's child, before anything is given or taken. */
void mole_rejoin_repair(void);

/* Times all free runs were looked through, since the start. */
uint64_t mole_rejoin_count(void);
