/* SPDX-License-Identifier: MIT */
#include "arena/size_class.h"

unsigned mole_size_class_aligned(size_t bytes, size_t align)
{
    if (bytes > MOLE_SLAB_MAX)
        return MOLE_CLASS_COUNT;
    unsigned class = mole_size_class_of(bytes ? bytes : 1);
    while (class < MOLE_CLASS_COUNT && (mole_size_class_bytes(class) & (align - 1)))
        class += 1;
    return class;
}
