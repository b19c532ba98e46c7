/* SPDX-License-Identifier: MIT */
/*
 * HeapSetInformation and HeapQueryInformation: settings of one heap, or of all. Part of
 * heapapi.h, which includes it.
 */
#pragma once

#include "molehill.h"
#include "wintypes.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum _HEAP_INFORMATION_CLASS {
    HeapCompatibilityInformation = 0,
    HeapEnableTerminationOnCorruption = 1,
    HeapOptimizeResources = 3,
    HeapTag = 7 /* not known here either */
} HEAP_INFORMATION_CLASS;

#define HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION 1

typedef struct _HEAP_OPTIMIZE_RESOURCES_INFORMATION {
    DWORD Version; /* HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION */
    DWORD Flags;   /* 0 */
} HEAP_OPTIMIZE_RESOURCES_INFORMATION, *PHEAP_OPTIMIZE_RESOURCES_INFORMATION;

static_assert(sizeof(HEAP_INFORMATION_CLASS) == 4 &&
                  sizeof(HEAP_OPTIMIZE_RESOURCES_INFORMATION) == 8,
              "what callers on Windows pass");

/*
 * Set something of a heap.
 *
 *   HeapHandle  see below
 *   HeapInformationClass
 *       HeapCompatibilityInformation: a ULONG. 2, the low-fragmentation front end: the
 *         heap says 2 from now on (HeapQueryInformation); nothing else changes, for
 *         molehill has but one front end. 0 or 1, once it says 2, fail with
 *         ERROR_GEN_FAILURE; before, they change nothing. 2 fails with
 *         ERROR_INVALID_PARAMETER for a heap without lock (HEAP_NO_SERIALIZE) and for one
 *         of a fixed size, with ERROR_GEN_FAILURE for one with a checking flag. Fewer
 *         than 4 bytes: ERROR_INSUFFICIENT_BUFFER
 *       HeapEnableTerminationOnCorruption: no buffer, no length; HeapHandle is ignored.
 *         From now on, for good and in all heaps: when HeapFree or HeapReAlloc is given
 *         what is no live block of the heap, or finds damage, a line on stderr names heap
 *         and block, and the process aborts
 *       HeapOptimizeResources: a HEAP_OPTIMIZE_RESOURCES_INFORMATION. As HeapCompact;
 *         with HeapHandle NULL of all heaps, but for those without lock and those that
 *         another thread has locked
 *   HeapInformation
 *       the buffer, or NULL, as it says there
 *   HeapInformationLength
 *       its bytes
 *   returns     TRUE, or FALSE
 *   errors      the above, ERROR_INVALID_HANDLE; ERROR_INVALID_PARAMETER for any other
 *               class, and for buffers, lengths and values that do not fit. errno EINVAL,
 *               or under compat:windows the same codes
 *   threads     any
 *   progress    lock-free, but for 0 and 1 (as HeapQueryInformation) and
 *               HeapOptimizeResources: as HeapCompact, and with NULL HeapDestroy waits
 *               until it is done
 *   spec        2.11
 */
MH_API BOOL WINAPI HeapSetInformation(HANDLE HeapHandle,
                                      HEAP_INFORMATION_CLASS HeapInformationClass,
                                      PVOID HeapInformation, SIZE_T HeapInformationLength)
    MH_WIN32_SYMBOL(HeapSetInformation);

/*
 * Ask for something of a heap.
 *
 *   HeapHandle             the heap
 *   HeapInformationClass   HeapCompatibilityInformation; no other can be asked for
 *   HeapInformation        receives a ULONG: 0, or 2 once it was set, or once there were
 *                          18 allocations of one size class up to 16 KiB; always 0 for a
 *                          heap for which 2 cannot be set
 *   HeapInformationLength  at least 4
 *   ReturnLength           receives 4, also when the length is too small; may be NULL
 *   returns                TRUE, or FALSE
 *   errors                 ERROR_NOACCESS for a NULL HeapHandle, with *ReturnLength left
 *                          alone, ERROR_INVALID_HANDLE for any other bad one;
 *                          ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_PARAMETER. errno
 *                          EFAULT or EINVAL, or under compat:windows the same codes
 *   threads                any
 *   progress               until it is 2 as HeapLock, and all calls on the heap wait
 *                          while it reads the heap's tables; then lock-free
 *   spec                   2.11
 */
MH_API BOOL WINAPI HeapQueryInformation(HANDLE HeapHandle,
                                        HEAP_INFORMATION_CLASS HeapInformationClass,
                                        PVOID HeapInformation,
                                        SIZE_T HeapInformationLength,
                                        PSIZE_T ReturnLength)
    MH_WIN32_SYMBOL(HeapQueryInformation);

#ifdef __cplusplus
}
#endif
