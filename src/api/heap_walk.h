/* SPDX-License-Identifier: MIT */
#pragma once

#include <molehill/heapapi.h>
#include <stdbool.h>

struct mole_heap;

/* HeapValidate of the whole heap; keeps errno. */
bool mole_heap_walk_validate(struct mole_heap *heap, DWORD flags);

/* HeapCompact, but for errors; keeps errno. False: the heap ended meanwhile. */
bool mole_heap_walk_compact(struct mole_heap *heap, DWORD flags, SIZE_T *most);

/* HeapCompact of every heap that has a lock, and that nobody has locked; keeps errno. */
void mole_heap_walk_compact_all(void);
