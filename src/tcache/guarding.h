/* SPDX-License-Identifier: MIT */
/*
 * Which block each thread is about to put guards around (arena/guard.h), or to fill: for
 * a fork's child, which finds that work half done when the thread is not there.
 */
#pragma once

#include "tcache/thread.h"

/*
 * A thread begins such work in the heap, and ends it; in between it comes to know which
 * block it is. Until then any block of the heap may be meant. `before` is what
 * begin returned: such work may be part of other such work.
 */
void *mole_guarding_begin(struct mole_heap *heap) mole_must_check;
void mole_guarding_end(void *before);

/*
 * What happens to blocks in between, see guard.h. A new one; `zero`: its bytes are to be
 * zero, and are already if it is large.
 */
void mole_guarding_born(struct mole_heap *heap, void *block, size_t bytes, bool zero);

/* One that had `old` bytes; `zero`: what it grew by is to be zero. */
void mole_guarding_resized(struct mole_heap *heap, void *block, size_t old, size_t bytes,
                           bool zero);

/* One that is about to end; one whose guards should be whole. */
void mole_guarding_died(const struct mole_span *span, void *block);
void mole_guarding_check(const struct mole_span *span, void *block);

/* In a fork's child: finish what other threads had begun. Tables are whole again. */
void mole_guarding_repair(void);
