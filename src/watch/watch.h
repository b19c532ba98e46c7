/* SPDX-License-Identifier: MIT */
/*
 * Operations on heaps that spies watch: tcache/block.h's, with what the spies are told
 * around them. The slow paths of the Win32 functions and of malloc call these in any
 * case; with no mode set that is one test more.
 *
 *   alloc     may it? --> the operation --> allocated
 *   free      freed --> the operation
 *   resize    may it? --> new block, contents copied --> reallocated --> old one released
 *
 * Callbacks run between operations, never inside of one: a gate may shut meanwhile.
 *
 * A heap of which only samples are wanted has MOLE_MODE_SAMPLED: its allocations count
 * bytes down. A block that is picked gets pages of its own, a large span, which frees and
 * resizes take the long way for anyhow; its descriptor bears the mark.
 */
#pragma once

#include "spy/spy.h"
#include "tcache/block.h"

/* As mole_block_alloc. NULL also when a spy vetoes. */
mole_shared void *mole_watch_alloc(struct mole_heap *heap, size_t bytes, size_t align,
                                   unsigned how) mole_must_check;

/* As mole_block_free. */
mole_shared bool mole_watch_free(struct mole_span *span, void *block, unsigned how);

mole_shared void *mole_watch_resize(struct mole_span *span, void *block, size_t bytes,
                                    unsigned how) mole_must_check;

/* A heap was made, and nobody else knows of it; it is about to end. */
void mole_watch_created(struct mole_heap *heap);
void mole_watch_destroyed(struct mole_heap *heap);

/* What spies know the heap by. */
struct mole_spied mole_watch_spied(struct mole_heap *heap);
