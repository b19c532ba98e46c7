/* SPDX-License-Identifier: MIT */
/*
 * What malloc's parts share, and how the modes of its heap reach its fast paths.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* A block past the fast paths: aligned to `align`, a power of two. NULL with ENOMEM. */
mole_slow void *mole_malloc_alloc_slow(size_t bytes, size_t align, bool zero)
    mole_must_check;

/*
 * Let the fast paths work, or send every call to its slow path: for whoever sets a mode
 * of malloc's heap, one thread at a time. Operations that have begun are to be awaited
 * then.
 */
void mole_malloc_switch(bool on);
