/* SPDX-License-Identifier: MIT */
/*
 * How much free memory may stay resident. What the program shows to use again may: a
 * take that found nothing but cold runs is one that more warm ones would have spared the
 * faults, so each such take raises the limit by twice that, and passes lower it again.
 * What is given back beyond the limit is purged at once. A program that frees all it has
 * is small at once, without a further call; one that takes and frees in turns soon keeps
 * what it needs.
 */
#pragma once

#include "base/attr.h"

/* The limit without any demand, in chunks: 128 KiB. */
enum { MOLE_WARMTH_LEAST = 2 };

/* A cold run of `chunks` was taken that may have been warm before. */
void mole_warmth_missed(size_t chunks);

/* Whether a run of `chunks` that is given back may stay warm. */
bool mole_warmth_allows(size_t chunks);

/* Whether the last run given back had to be purged: the program shrinks. */
bool mole_warmth_is_full(void);

/* One pass over the pool was made. */
void mole_warmth_pass(void);
