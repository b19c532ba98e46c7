/* SPDX-License-Identifier: MIT */
/*
 * A countdown over bytes whose length is drawn anew each time it ends, exponentially: so
 * that every byte ends it with the same chance, whatever came before. Arithmetic only, no
 * state of its own. Each countdown is used by one thread at a time.
 */
#pragma once

#include "base/attr.h"

struct mole_draw {
    int64_t left;    /* bytes until it ends */
    uint64_t random; /* state of its generator */
    size_t mean;     /* what `left` was drawn for; 0: nothing yet */
};

/* Draw a new length, of `mean` bytes on average. */
void mole_draw_begin(struct mole_draw *draw, size_t mean);

/* True with chance `share` (0 to 1). */
bool mole_draw_is_lucky(struct mole_draw *draw, double share);

/*
 * The chance that a countdown of `mean` bytes ends within `bytes`: 1 - e^(-bytes/mean).
 */
double mole_draw_share(size_t bytes, size_t mean);
