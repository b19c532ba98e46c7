/* SPDX-License-Identifier: MIT */
/*
 * Size classes: which block size serves a request. Steps of 16 bytes up to 128, then
 * eight classes an octave, so that above 128 bytes at most 1/9 of a block is waste.
 * Requests above MOLE_SLAB_MAX are large: each has a span of its own.
 */
#pragma once

#include "base/attr.h"

enum {
    MOLE_ALIGN = 16,
    MOLE_DIRECT_MAX = 1024, /* found by one table load per 16 bytes */
    MOLE_DIRECT_COUNT = MOLE_DIRECT_MAX / MOLE_ALIGN,
    MOLE_SLAB_MAX = 32768,
    MOLE_CLASS_COUNT = 8 + 8 * 8,           /* 16..128, then by eighths of octaves */
    MOLE_CLASS_LAST = MOLE_CLASS_COUNT - 1, /* its sizes have no 15 bits: exact.h */
    MOLE_CLASS_MIXED = MOLE_CLASS_COUNT, /* no request's, but of slabs: tcache/mixed.h */
    MOLE_SLAB_CLASSES = MOLE_CLASS_COUNT + 1,
    MOLE_MIXED_BYTES = 256, /* its block size */
};

/* The class of a request of 0 < bytes <= MOLE_SLAB_MAX. */
mole_hot unsigned mole_size_class_of(size_t bytes)
{
    size_t last = bytes - 1;
    if (last < 128)
        return (unsigned)(last >> 4);
    unsigned octave = 63u ^ (unsigned)__builtin_clzl(last); /* 7..14, one instruction */
    return 8 * (octave - 7) + (unsigned)(last >> (octave - 3));
}

/*
 * The same without a branch, for requests that mostly are above 128 bytes. Not always:
 * malloc comes by with small ones, too, where modes come and go.
 */
mole_hot unsigned mole_size_class_medium(size_t bytes)
{
    size_t last = bytes - 1;
    unsigned octave = 63u ^ (unsigned)__builtin_clzl(last | 128);
    return 8 * (octave - 7) + (unsigned)(last >> (octave - 3));
}

/* The block size of a class, of slabs' own one as well. */
mole_hot uint32_t mole_size_class_bytes(unsigned class)
{
    if (unlikely(class == MOLE_CLASS_MIXED))
        return MOLE_MIXED_BYTES;
    if (class < 8)
        return (class + 1) << 4;
    unsigned octave = class / 8 + 6;
    return (class % 8 + 9) << (octave - 3);
}

/*
 * The smallest class whose blocks hold `bytes` and are multiples of `align`, a power of
 * two up to MOLE_PAGE, so that in a slab that starts on a page every block is aligned.
 * Returns MOLE_CLASS_COUNT when there is none.
 */
unsigned mole_size_class_aligned(size_t bytes, size_t align);

/*
 * What to ask for when a block of `old` bytes moves because it grows to `bytes`: a
 * quarter more than it had, for what grows by little is likely to grow again.
 */
static inline size_t mole_size_class_roomy(size_t old, size_t bytes)
{
    size_t roomy = old + old / 4;
    if (bytes <= old || bytes > MOLE_SLAB_MAX || bytes >= roomy)
        return bytes;
    return roomy < MOLE_SLAB_MAX ? roomy : MOLE_SLAB_MAX;
}
