/* SPDX-License-Identifier: MIT */
/* HeapSummary. Wine 8 does not have it; there a program adds up what HeapWalk told. */
#pragma once

#include "say.h"

static BOOL runs_on_wine(void)
{
#ifdef _WIN32
    return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != NULL;
#else
    return FALSE;
#endif
}

static void say_summary(const char *what, HANDLE heap, SIZE_T walked)
{
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    BOOL done = TRUE, sane = TRUE;
    error_now = SENTINEL;
    if (runs_on_wine()) {
        summary.cbAllocated = walked;
    } else {
        CALL(done = HeapSummary(heap, 0, &summary));
        sane = summary.cbAllocated <= summary.cbCommitted &&
               summary.cbCommitted <= summary.cbReserved &&
               summary.cbReserved <= summary.cbMaxReserve;
    }
    answer("HeapSummary", "ordinary", what, "%s, %llu bytes, %s", truth(done),
           (unsigned long long)summary.cbAllocated, sane ? "sane" : "out of order");
}
