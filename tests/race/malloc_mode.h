/* SPDX-License-Identifier: MIT */
/*
 * Set and clear a mode of malloc's heap that does nothing but keep its fast paths from
 * applying.
 */
#pragma once

#include <stdbool.h>

#include "arena/mode.h"
#include "tcache/process.h"

static inline void malloc_switch(bool on)
{
    struct mole_heap *heap = mole_process_malloc_heap();
    (void)mole_mode_change(heap, mole_heap_id(heap), on ? 0 : MOLE_MODE_FENCED,
                           on ? MOLE_MODE_FENCED : 0);
}
