/* SPDX-License-Identifier: MIT */
/*
 * Stealing: memory that one thread allocated and others freed comes back even if the
 * first never calls again. A full slab with all its blocks in its inbox holds nothing of
 * anybody's, and its owner can only meet it through its woken list. So whoever takes that
 * list, then the blocks, and finds the slab full, owns it.
 *
 *   thief: swap owner->woken_a --> [S1: all in the inbox] --CAS the inbox--> full: its
 *   run goes
 *                                                                            to the pool
 *                                  [S2: anything else] --> as it was, listed again
 *
 *  label       release side                 acquire side       makes visible
 *  HB-STEAL-1  make_full: store of state_a  thief: load of it  the owner's last writes
 *
 * What the freeing threads wrote came with the inbox (inbox.h).
 * May run together: thieves with each other and with the owner; a swap gives each slab to
 * one.
 * Progress: lock-free but for the arena's lock when a run is given back.
 * Checked by: tests/race/steal_step.c (every instruction), tests/race/producer.c,
 * tests/race/oracle.c (TSan).
 */
#pragma once

#include "arena/heap.h"

/*
 * Give the runs of slabs that came back whole to the pool, of all caches of the heap.
 * Cheap when there are none, or while another thread has shut the heap's gate. Returns
 * how many. The heap may be destroyed by another
 * thread at the same time: its record stays, and the arena's lock keeps the two apart.
 */
size_t mole_steal(struct mole_heap *heap, struct mole_pool_slots *slots);
