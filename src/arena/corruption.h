/* SPDX-License-Identifier: MIT */
/*
 * HeapEnableTerminationOnCorruption: once it is set, the process ends at the first
 * corruption that a heap function finds, by one line and abort(); in a hardened heap in
 * any case. Else the functions here return: the caller goes on to refuse. HeapSize and
 * HeapValidate of a bad pointer only answer.
 */
#pragma once

#include "base/attr.h"

struct mole_heap;

/* From now on, and for good. */
void mole_corruption_end_process(void);

/*
 * Something is damaged: `what` was found out about the block, or the heap if NULL. The
 * caller may hold anything.
 */
mole_slow void mole_corruption_found(const struct mole_heap *heap, const void *block,
                                     const char *what);

/* `function` was given an address that is no live block of the heap. */
mole_slow void mole_corruption_blame(const struct mole_heap *heap, const char *function,
                                     const void *address);
