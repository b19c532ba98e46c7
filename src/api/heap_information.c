/* SPDX-License-Identifier: MIT */
/*
 * HeapSetInformation and HeapQueryInformation.
 */
#include <errno.h>
#include <molehill/heapapi.h>
#include <string.h>

#include "api/handle.h"
#include "api/heap_walk.h"
#include "api/last_error.h"
#include "arena/corruption.h"
#include "arena/guard.h"
#include "tcache/process.h"
#include "tcache/usage.h"

/* Values of HeapCompatibilityInformation: 1 is of Windows before Vista. */
enum { STANDARD = 0, LOW_FRAGMENTATION = 2 };

/* Allocations of a class after which Windows changes to the latter by itself. */
enum { ALLOCATIONS_THAT_ACTIVATE = 18 };

static BOOL fail(DWORD error)
{
    mole_last_error_fail(error);
    return FALSE;
}

/* Why the heap can never be a low-fragmentation one, as an error; or ERROR_SUCCESS. */
static DWORD why_standard(const struct mole_heap *heap)
{
    if ((heap->flags & HEAP_NO_SERIALIZE) || heap->fixed)
        return ERROR_INVALID_PARAMETER;
    if (mole_guard_is_debug(heap))
        return ERROR_GEN_FAILURE;
    return ERROR_SUCCESS;
}

/* Whether it says that it is one. Once it does it stays so. */
static bool is_low_fragmentation(struct mole_heap *heap)
{
    if (load_rlx(&heap->is_active_a))
        return true;
    int saved = errno;
    bool is_active = false;
    if (why_standard(heap) == ERROR_SUCCESS && mole_gate_stop(heap)) {
        is_active = mole_usage_reaches(heap, ALLOCATIONS_THAT_ACTIVATE);
        if (is_active)
            store_rlx(&heap->is_active_a, true);
        mole_gate_resume(heap);
    }
    errno = saved;
    return is_active;
}

static BOOL set_compatibility(HANDLE handle, const void *buffer, SIZE_T length)
{
    ULONG value;
    if (length < sizeof value)
        return fail(ERROR_INSUFFICIENT_BUFFER);
    struct mole_heap *heap = mole_handle_heap(handle);
    if (!heap)
        return fail(ERROR_INVALID_HANDLE);
    if (!buffer)
        return fail(ERROR_INVALID_PARAMETER);
    memcpy(&value, buffer, sizeof value);
    if (value > LOW_FRAGMENTATION)
        return fail(ERROR_INVALID_PARAMETER);
    if (value != LOW_FRAGMENTATION)
        return is_low_fragmentation(heap) ? fail(ERROR_GEN_FAILURE) : TRUE;
    DWORD error = why_standard(heap);
    if (error != ERROR_SUCCESS)
        return fail(error);
    store_rlx(&heap->is_active_a, true);
    return TRUE;
}

static BOOL end_on_corruption(const void *buffer, SIZE_T length)
{
    if (buffer || length)
        return fail(ERROR_INVALID_PARAMETER);
    mole_corruption_end_process();
    return TRUE;
}

static BOOL optimize(HANDLE handle, const void *buffer, SIZE_T length)
{
    HEAP_OPTIMIZE_RESOURCES_INFORMATION wanted;
    if (!buffer || length < sizeof wanted)
        return fail(ERROR_INVALID_PARAMETER);
    memcpy(&wanted, buffer, sizeof wanted);
    if (wanted.Version != HEAP_OPTIMIZE_RESOURCES_CURRENT_VERSION || wanted.Flags)
        return fail(ERROR_INVALID_PARAMETER);
    struct mole_heap *heap = mole_handle_heap(handle);
    if (!handle)
        mole_heap_walk_compact_all();
    else if (!heap || !mole_heap_walk_compact(heap, 0, &(SIZE_T){0}))
        return fail(ERROR_INVALID_HANDLE);
    return TRUE;
}

BOOL WINAPI HeapSetInformation(HANDLE HeapHandle,
                               HEAP_INFORMATION_CLASS HeapInformationClass,
                               PVOID HeapInformation, SIZE_T HeapInformationLength)
{
    switch (HeapInformationClass) {
    case HeapCompatibilityInformation:
        return set_compatibility(HeapHandle, HeapInformation, HeapInformationLength);
    case HeapEnableTerminationOnCorruption:
        return end_on_corruption(HeapInformation, HeapInformationLength);
    case HeapOptimizeResources:
        return optimize(HeapHandle, HeapInformation, HeapInformationLength);
    default:
        return fail(ERROR_INVALID_PARAMETER);
    }
}

BOOL WINAPI HeapQueryInformation(HANDLE HeapHandle,
                                 HEAP_INFORMATION_CLASS HeapInformationClass,
                                 PVOID HeapInformation, SIZE_T HeapInformationLength,
                                 PSIZE_T ReturnLength)
{
    ULONG value;
    if (HeapInformationClass != HeapCompatibilityInformation)
        return fail(ERROR_INVALID_PARAMETER);
    struct mole_heap *heap = mole_handle_heap(HeapHandle);
    if (!heap)
        return fail(HeapHandle ? ERROR_INVALID_HANDLE : ERROR_NOACCESS);
    if (ReturnLength)
        *ReturnLength = sizeof value;
    if (HeapInformationLength < sizeof value)
        return fail(ERROR_INSUFFICIENT_BUFFER);
    if (!HeapInformation)
        return fail(ERROR_INVALID_PARAMETER);
    value = is_low_fragmentation(heap) ? LOW_FRAGMENTATION : STANDARD;
    memcpy(HeapInformation, &value, sizeof value);
    return TRUE;
}
