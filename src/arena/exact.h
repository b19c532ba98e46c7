/* SPDX-License-Identifier: MIT */
/*
 * The exact sizes of blocks in slabs, as their entries keep them (span.h). 15 bits do not
 * hold those of the last class: there an entry tells what the block has to spare, and
 * MOLE_WHOLE that it has 1 byte, or none. Heaps without exact sizes have MOLE_WHOLE only.
 */
#pragma once

#include "arena/size_class.h"
#include "arena/span.h"

/* The entry of a live block of `bytes` in a slab of any class but the last. */
mole_hot uint32_t mole_span_mark(size_t bytes)
{
    return MOLE_LIVE + (uint32_t)bytes; /* one instruction, unlike an or */
}

/* The entry of a new block of `bytes`, in a slab of the class that serves them. */
mole_hot uint32_t mole_exact_mark(unsigned class, size_t bytes)
{
    return mole_span_mark(class == MOLE_CLASS_LAST ? MOLE_SLAB_MAX - bytes : bytes);
}

/* The size that `entry` tells, which is a live block's with this index. */
size_t mole_exact_bytes(const struct mole_span *span, size_t index, uint16_t entry);

/* The live block with this index has `bytes` from now on, if its heap keeps that. */
void mole_exact_set(struct mole_span *span, size_t index, size_t bytes);
