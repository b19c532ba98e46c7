/* SPDX-License-Identifier: MIT */
/* A library with a core of its own, linked statically, which no other library sees. */
#include <molehill/heapapi.h>

#include "core_copy.h"

static const struct core_copy copy = {
    .process_heap = GetProcessHeap,
    .create = HeapCreate,
    .destroy = HeapDestroy,
    .alloc = HeapAlloc,
    .resize = HeapReAlloc,
    .free = HeapFree,
    .size = HeapSize,
    .validate = HeapValidate,
};

const struct core_copy *core_copy(void);

__attribute__((visibility("default"))) const struct core_copy *core_copy(void)
{
    return &copy;
}
