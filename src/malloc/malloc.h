/* SPDX-License-Identifier: MIT */
/*
 * What malloc's parts share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* A block past the fast paths: aligned to `align`, a power of two. NULL with ENOMEM. */
mole_slow void *mole_malloc_alloc_slow(size_t bytes, size_t align, bool zero)
    mole_must_check;
