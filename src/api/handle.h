/* SPDX-License-Identifier: MIT */
/* What a HANDLE stands for. */
#pragma once

#include <molehill/wintypes.h>

#include "tcache/process.h"

/* The live heap of a handle, or NULL; any value may come in. */
static inline struct mole_heap *mole_handle_heap(HANDLE handle)
{
    return mole_process_start() ? mole_heap_find(handle) : NULL;
}
