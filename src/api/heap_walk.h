/* SPDX-License-Identifier: MIT */
#pragma once

#include <molehill/heapapi.h>
#include <stdbool.h>

struct mole_heap;

/* HeapValidate of the whole heap; keeps errno. */
bool mole_heap_walk_validate(struct mole_heap *heap, DWORD flags);
