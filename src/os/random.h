/* SPDX-License-Identifier: MIT */
/*
 * Numbers that nobody outside of the process can tell beforehand: for secrets of heaps.
 */
#pragma once

#include "base/attr.h"

/* 64 random bits. Any thread; lock-free. errno is kept. */
uint64_t mole_random(void);

/* The same from `state`, one's own generator: splitmix64, which any state will do for. */
uint64_t mole_random_next(uint64_t *state);
