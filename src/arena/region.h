/* SPDX-License-Identifier: MIT */
/*
 * The address space blocks live in: one reservation, handed out in chunks from its low
 * end and made usable step by step. Chunks never return here; free ones wait in the pool
 * (pool.h).
 *
 *  label        release side              acquire side            makes visible
 *  HB-REGION-1  grow: CAS on committed_a  take: load of the same  the span map's limit
 *  HB-REGION-2  grow: growers_a is raised, then committed_a read; settle: committed_a was
 *               read, fence, then growers_a: grow sees that its pages are there, or
 *               settle sees it at work and waits until it has left
 */
#pragma once

#include "base/attr.h"

/*
 * Reserve the region, and the span map for it, once. False: no address space to be had.
 */
bool mole_region_init(void) mole_must_check;

/*
 * Whether pages of blocks may be huge that get resident from now on
 * (mole_pages_set_huge). After mole_region_init; at any time.
 */
void mole_region_set_huge(bool on);

/*
 * `chunks` new chunks in a row, zeroed, or NULL. Lock-free: a failed step means that
 * another thread took chunks.
 */
void *mole_region_take(size_t chunks) mole_must_check;

/* Whether the address lies in memory that mole_region_take has handed out. */
bool mole_region_holds(const void *address);

/*
 * Wait until nobody commits pages any more that were handed out before: each thread that
 * was at it, for a system call or two. HB-REGION-2.
 */
void mole_region_settle(void);

/* In a fork's child: nobody is at it. */
void mole_region_repair(void);

/* Chunks that were not handed out yet; there may be no memory for them. */
size_t mole_region_fresh(void);

/*
 * Test builds (MOLE_TESTING): leave only so many chunks that were not handed out, for
 * good. Before there are threads.
 */
void mole_region_shrink(size_t chunks);

/* Bytes of the region: all, those handed out to runs, those usable at once. */
size_t mole_region_reserved(void);
size_t mole_region_taken(void);
size_t mole_region_committed(void);
