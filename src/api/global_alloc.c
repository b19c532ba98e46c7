/* SPDX-License-Identifier: MIT */
/*
 * GlobalAlloc and LocalAlloc of fixed memory, and _msize, all over the process heap.
 */
#include <errno.h>
#include <malloc.h>

#include <molehill/msize.h>
#include <molehill/winbase.h>

#include "api/last_error.h"
#include "tcache/block.h"
#include "tcache/process.h"

static_assert(GMEM_MOVEABLE == LMEM_MOVEABLE && GMEM_ZEROINIT == LMEM_ZEROINIT &&
                  GMEM_MODIFY == LMEM_MODIFY &&
                  GMEM_INVALID_HANDLE == LMEM_INVALID_HANDLE,
              "both families share what is below");

/* Whether it is a live block of the process heap; any value may come in. */
static bool is_known(LPCVOID block)
{
    struct mole_heap *heap = mole_process_start() ? mole_process_heap() : NULL;
    return heap && block && mole_block_find(heap, block);
}

/* The same, and an error if not. */
static bool is_block(LPCVOID block)
{
    bool is_good = is_known(block);
    if (!is_good)
        mole_last_error_fail(ERROR_INVALID_HANDLE);
    return is_good;
}

static HANDLE allocate(UINT flags, SIZE_T bytes)
{
    if (flags & GMEM_MOVEABLE) {
        mole_last_error_fail(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    DWORD heap_flags = flags & GMEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0;
    void *block = HeapAlloc(GetProcessHeap(), heap_flags, bytes);
    if (!block)
        mole_last_error_fail(ERROR_NOT_ENOUGH_MEMORY);
    return block;
}

static HANDLE resize(HANDLE block, SIZE_T bytes, UINT flags)
{
    if (!is_block(block))
        return NULL;
    if (flags & GMEM_MODIFY) {
        if (!(flags & GMEM_MOVEABLE))
            return block;
        mole_last_error_fail(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    DWORD heap_flags = (flags & GMEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0) |
                       (flags & GMEM_MOVEABLE ? 0 : HEAP_REALLOC_IN_PLACE_ONLY);
    void *resized = HeapReAlloc(GetProcessHeap(), heap_flags, block, bytes);
    if (!resized)
        mole_last_error_fail(ERROR_NOT_ENOUGH_MEMORY);
    return resized;
}

static HANDLE release(HANDLE block)
{
    if (HeapFree(GetProcessHeap(), 0, block))
        return NULL;
    mole_last_error_fail(ERROR_INVALID_HANDLE);
    return block;
}

static SIZE_T size_of(HANDLE block)
{
    SIZE_T bytes = block ? HeapSize(GetProcessHeap(), 0, block) : (SIZE_T)-1;
    if (bytes != (SIZE_T)-1)
        return bytes;
    mole_last_error_fail(ERROR_INVALID_HANDLE);
    return 0;
}

static HANDLE handle_of(LPCVOID block)
{
    if (!block) {
        mole_last_error_fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    return is_block(block) ? (HANDLE)(ULONG_PTR)block : NULL;
}

HGLOBAL WINAPI GlobalAlloc(UINT uFlags, SIZE_T dwBytes)
{
    return allocate(uFlags, dwBytes ? dwBytes : 1);
}

HLOCAL WINAPI LocalAlloc(UINT uFlags, SIZE_T uBytes)
{
    return allocate(uFlags, uBytes);
}

HGLOBAL WINAPI GlobalReAlloc(HGLOBAL hMem, SIZE_T dwBytes, UINT uFlags)
{
    return resize(hMem, dwBytes, uFlags);
}

HLOCAL WINAPI LocalReAlloc(HLOCAL hMem, SIZE_T uBytes, UINT uFlags)
{
    return resize(hMem, uBytes, uFlags);
}

HGLOBAL WINAPI GlobalFree(HGLOBAL hMem)
{
    return release(hMem);
}

HLOCAL WINAPI LocalFree(HLOCAL hMem)
{
    return release(hMem);
}

SIZE_T WINAPI GlobalSize(HGLOBAL hMem)
{
    return size_of(hMem);
}

SIZE_T WINAPI LocalSize(HLOCAL hMem)
{
    return size_of(hMem);
}

LPVOID WINAPI GlobalLock(HGLOBAL hMem)
{
    return is_block(hMem) ? hMem : NULL;
}

LPVOID WINAPI LocalLock(HLOCAL hMem)
{
    return is_block(hMem) ? hMem : NULL;
}

BOOL WINAPI GlobalUnlock(HGLOBAL hMem)
{
    return is_block(hMem);
}

/* Windows tells the two apart here. */
BOOL WINAPI LocalUnlock(HLOCAL hMem)
{
    if (is_block(hMem))
        mole_last_error_fail(ERROR_NOT_LOCKED);
    return FALSE;
}

UINT WINAPI GlobalFlags(HGLOBAL hMem)
{
    return is_block(hMem) ? 0 : GMEM_INVALID_HANDLE;
}

UINT WINAPI LocalFlags(HLOCAL hMem)
{
    return is_block(hMem) ? 0 : LMEM_INVALID_HANDLE;
}

HGLOBAL WINAPI GlobalHandle(LPCVOID pMem)
{
    return handle_of(pMem);
}

HLOCAL WINAPI LocalHandle(LPCVOID pMem)
{
    return handle_of(pMem);
}

size_t _msize(void *memblock)
{
    if (!memblock) {
        errno = EINVAL;
        return (size_t)-1;
    }
    return is_known(memblock) ? HeapSize(GetProcessHeap(), HEAP_NO_SERIALIZE, memblock)
                              : malloc_usable_size(memblock);
}
