/* SPDX-License-Identifier: MIT */
/*
 * What malloc's parts share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "arena/span_map.h"

/* A block past the fast paths: aligned to `align`, a power of two. NULL with ENOMEM. */
mole_slow void *mole_malloc_alloc_slow(size_t bytes, size_t align, bool zero)
    mole_must_check;

/* The span map for fast paths; const after init but for its limit: malloc.c. */
extern mole_own struct mole_map_view mole_malloc_view;

/* malloc_usable_size of whatever is at `block`, past the fast path; it may be fatal. */
mole_slow size_t mole_malloc_usable_slow(void *block);
