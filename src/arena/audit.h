/* SPDX-License-Identifier: MIT */
/*
 * Auditing a heap, for HeapValidate of a whole one: every invariant of its runs,
 * descriptors and tables, answered rather than died of (compare mole_span_check). Blocks
 * are not touched: nothing of molehill's is in them or next to them.
 */
#pragma once

#include "arena/heap.h"

/*
 * Whether all of it is in order. `is_quiet`: the caller has the heap for itself, by
 * mole_gate_stop or because it is a HEAP_NO_SERIALIZE heap; else what changes with each
 * operation is left out. Takes the arena's lock.
 */
bool mole_audit_heap(struct mole_heap *heap, bool is_quiet) mole_must_check;
