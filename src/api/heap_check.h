/* SPDX-License-Identifier: MIT */
/*
 * What calls on heaps that are checked look at before they do anything (arena/guard.h):
 * global_flag's parameter validation, and validation of all.
 */
#pragma once

#include <molehill/heapapi.h>

#include "base/attr.h"

struct mole_heap;
struct mole_span;

enum mole_heap_check_call { MOLE_CHECK_SIZE, MOLE_CHECK_RESIZE, MOLE_CHECK_FREE };

/* Whether a call with these flags may go on. Only for heaps with checks. */
bool mole_heap_check_all(struct mole_heap *heap, DWORD flags);

/*
 * The same of a call on the block at `block`; `span` is its own, NULL where no live block
 * is.
 */
bool mole_heap_check_found(struct mole_heap *heap, struct mole_span *span,
                           const void *block, DWORD flags,
                           enum mole_heap_check_call call);
