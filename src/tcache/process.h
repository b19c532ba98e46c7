/* SPDX-License-Identifier: MIT */
/*
 * What the process has one of: the start of molehill, the process heap, malloc's heap,
 * and what is to be put right in the child of a fork.
 *
 *  label       release side        acquire side              makes visible
 *  HB-START-1  start: store of UP  start: load of the state  what was set up
 *
 * Fork: nothing is held over it. In the child, caches of threads that are gone are
 * rebuilt from the tables of their slabs, whatever instruction they were at, and become
 * orphans; locks are made anew. The forking thread's own caches are kept as they are, for
 * it may have been interrupted in the middle of an operation by the signal whose handler
 * forks.
 * Checked by: tests/race/fork_step.c (every instruction), tests/race/fork.c.
 */
#pragma once

#include "arena/heap.h"

/* Bring molehill up. False: no memory. Called by every slow path; cheap once done. */
mole_shared bool mole_process_start(void) mole_must_check;

/* The process heap, malloc's heap: set by mole_process_start. */
struct mole_heap *mole_process_heap(void);
mole_shared struct mole_heap *mole_process_malloc_heap(void);

/*
 * Have `hook()` called in the child of each fork from now on, after all of this is put
 * right. Once for each hook, however often it is asked for.
 */
typedef void (*mole_process_hook)(void);
enum { MOLE_PROCESS_HOOKS = 4 };
void mole_process_call_in_child(mole_process_hook hook);

/* Bytes in malloc's live blocks. */
mole_shared size_t mole_process_malloc_bytes(void);
