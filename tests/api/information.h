/* SPDX-License-Identifier: MIT */
/*
 * What the tests of HeapSetInformation and HeapQueryInformation share.
 */
#pragma once

#include "support.h"

static const HEAP_INFORMATION_CLASS compatibility = HeapCompatibilityInformation;
static const HEAP_INFORMATION_CLASS optimize = HeapOptimizeResources;

enum { ACTIVE = 2 };

/* What the heap answers; and that the answer is all that is touched. */
static inline ULONG value_of(HANDLE heap)
{
    ULONG values[2] = {0xAAAAAAAA, 0xBBBBBBBB};
    SIZE_T length = 77;

    arm_errors();
    require(HeapQueryInformation(heap, compatibility, values, sizeof values[0], &length),
            "HeapQueryInformation failed: %u", GetLastError());
    expect_errors_kept("HeapQueryInformation");
    require(length == sizeof values[0], "ReturnLength is %zu", length);
    require(values[1] == 0xBBBBBBBB, "it wrote more than a ULONG");
    return values[0];
}

static inline void expect_value(HANDLE heap, ULONG value, const char *what)
{
    ULONG now = value_of(heap);
    require(now == value, "%s: the heap says %u, not %u", what, now, value);
}

static inline BOOL set(HANDLE heap, ULONG value)
{
    arm_errors();
    return HeapSetInformation(heap, compatibility, &value, sizeof value);
}
