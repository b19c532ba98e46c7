/* SPDX-License-Identifier: MIT */
/*
 * GlobalAlloc, LocalAlloc and their kin, for fixed memory: a handle is the block's
 * address, and the block is one of the process heap. Moveable memory is not there.
 *
 * What holds for all of them:
 *   blocks     Both families take each other's blocks, and any block of the process heap.
 *              A value that is no such block is refused, never followed.
 *   errors     Success leaves the last error and errno as they were. A failure sets the
 *              last error in both modes, and errno: ENOMEM for ERROR_NOT_ENOUGH_MEMORY,
 *              else EINVAL; under compat:windows the code itself.
 *   progress   as the heap function that does the work: HeapAlloc, HeapReAlloc, HeapFree,
 *              HeapSize
 */
#pragma once

#include "heapapi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef HANDLE HGLOBAL;
typedef HANDLE HLOCAL;

/*
 * Flags. All but the first three do nothing, as on Windows; unknown bits are ignored.
 */
#define GMEM_FIXED 0x0000
#define GMEM_MOVEABLE 0x0002
#define GMEM_ZEROINIT 0x0040
#define GMEM_MODIFY 0x0080
#define GMEM_NOCOMPACT 0x0010
#define GMEM_NODISCARD 0x0020
#define GMEM_DISCARDABLE 0x0100
#define GMEM_NOT_BANKED 0x1000
#define GMEM_LOWER GMEM_NOT_BANKED
#define GMEM_SHARE 0x2000
#define GMEM_DDESHARE 0x2000
#define GMEM_NOTIFY 0x4000
#define GMEM_VALID_FLAGS 0x7F72
#define GPTR (GMEM_FIXED | GMEM_ZEROINIT)
#define GHND (GMEM_MOVEABLE | GMEM_ZEROINIT)

#define LMEM_FIXED 0x0000
#define LMEM_MOVEABLE 0x0002
#define LMEM_NOCOMPACT 0x0010
#define LMEM_NODISCARD 0x0020
#define LMEM_ZEROINIT 0x0040
#define LMEM_MODIFY 0x0080
#define LMEM_DISCARDABLE 0x0F00
#define LMEM_VALID_FLAGS 0x0F72
#define LPTR (LMEM_FIXED | LMEM_ZEROINIT)
#define LHND (LMEM_MOVEABLE | LMEM_ZEROINIT)
#define NONZEROLPTR LMEM_FIXED
#define NONZEROLHND LMEM_MOVEABLE

/* What GlobalFlags and LocalFlags answer. */
#define GMEM_INVALID_HANDLE 0x8000
#define GMEM_DISCARDED 0x4000
#define GMEM_LOCKCOUNT 0x00FF
#define LMEM_INVALID_HANDLE 0x8000
#define LMEM_DISCARDED 0x4000
#define LMEM_LOCKCOUNT 0x00FF

/*
 * Allocate fixed memory.
 *
 *   uFlags    GMEM_ZEROINIT or LMEM_ZEROINIT: all bytes are 0. GMEM_MOVEABLE and
 *             LMEM_MOVEABLE are refused.
 *   dwBytes   how many; 0 gives a block of one byte from GlobalAlloc, and of none from
 *             LocalAlloc, as on Windows
 *   returns   the block, its address a multiple of MEMORY_ALLOCATION_ALIGNMENT, which the
 *             caller ends with GlobalFree or LocalFree; or NULL
 *   errors    ERROR_NOT_ENOUGH_MEMORY; ERROR_NOT_SUPPORTED for moveable memory
 *   threads   any
 */
MH_API HGLOBAL WINAPI GlobalAlloc(UINT uFlags, SIZE_T dwBytes)
    MH_WIN32_SYMBOL(GlobalAlloc);
MH_API HLOCAL WINAPI LocalAlloc(UINT uFlags, SIZE_T dwBytes) MH_WIN32_SYMBOL(LocalAlloc);

/*
 * Change the size of a block of fixed memory. When it fails, the block is left as it was.
 *
 *   hMem      a block
 *   dwBytes   the new size; 0 gives a block of size 0, it does not free
 *   uFlags    GMEM_MOVEABLE or LMEM_MOVEABLE: the block may move; without it, it must
 *             stay where it is. GMEM_ZEROINIT: bytes from the old size up to the new one
 *             are 0.
 *             GMEM_MODIFY: nothing is done, for a fixed block has no attributes; together
 *             with GMEM_MOVEABLE, which would make it moveable, it is refused.
 *   returns   the block, moved or not; or NULL
 *   errors    ERROR_NOT_ENOUGH_MEMORY: there is none, or the block cannot stay;
 *             ERROR_INVALID_HANDLE: no block; ERROR_NOT_SUPPORTED
 *   threads   any
 */
MH_API HGLOBAL WINAPI GlobalReAlloc(HGLOBAL hMem, SIZE_T dwBytes, UINT uFlags)
    MH_WIN32_SYMBOL(GlobalReAlloc);
MH_API HLOCAL WINAPI LocalReAlloc(HLOCAL hMem, SIZE_T dwBytes, UINT uFlags)
    MH_WIN32_SYMBOL(LocalReAlloc);

/*
 * Free a block.
 *
 *   hMem      a block; NULL does nothing and succeeds
 *   returns   NULL; or hMem when nothing was freed
 *   errors    ERROR_INVALID_HANDLE: no block, one freed before included
 *   threads   any
 */
MH_API HGLOBAL WINAPI GlobalFree(HGLOBAL hMem) MH_WIN32_SYMBOL(GlobalFree);
MH_API HLOCAL WINAPI LocalFree(HLOCAL hMem) MH_WIN32_SYMBOL(LocalFree);

/*
 * The size of a block, exactly as last requested.
 *
 *   hMem      a block
 *   returns   bytes; 0 for a block that was resized to 0, and for a failure
 *   errors    ERROR_INVALID_HANDLE: no block
 *   threads   any
 */
MH_API SIZE_T WINAPI GlobalSize(HGLOBAL hMem) MH_WIN32_SYMBOL(GlobalSize);
MH_API SIZE_T WINAPI LocalSize(HLOCAL hMem) MH_WIN32_SYMBOL(LocalSize);

/*
 * The address of a block. Fixed memory has no lock count: nothing is counted.
 *
 *   hMem      a block
 *   returns   hMem; or NULL
 *   errors    ERROR_INVALID_HANDLE: no block
 *   threads   any
 */
MH_API LPVOID WINAPI GlobalLock(HGLOBAL hMem) MH_WIN32_SYMBOL(GlobalLock);
MH_API LPVOID WINAPI LocalLock(HLOCAL hMem) MH_WIN32_SYMBOL(LocalLock);

/*
 * The other half of GlobalLock and LocalLock. Does nothing.
 *
 *   hMem      a block
 *   returns   GlobalUnlock TRUE, or FALSE for what is no block; LocalUnlock always FALSE
 *   errors    ERROR_INVALID_HANDLE: no block; LocalUnlock else ERROR_NOT_LOCKED, for
 *             fixed memory never is
 *   threads   any
 */
MH_API BOOL WINAPI GlobalUnlock(HGLOBAL hMem) MH_WIN32_SYMBOL(GlobalUnlock);
MH_API BOOL WINAPI LocalUnlock(HLOCAL hMem) MH_WIN32_SYMBOL(LocalUnlock);

/*
 * The attributes and the lock count of a block. Fixed memory has neither.
 *
 *   hMem      a block
 *   returns   0; or GMEM_INVALID_HANDLE, which is LMEM_INVALID_HANDLE
 *   errors    ERROR_INVALID_HANDLE: no block
 *   threads   any
 */
MH_API UINT WINAPI GlobalFlags(HGLOBAL hMem) MH_WIN32_SYMBOL(GlobalFlags);
MH_API UINT WINAPI LocalFlags(HLOCAL hMem) MH_WIN32_SYMBOL(LocalFlags);

/*
 * The handle of a block.
 *
 *   pMem      a block's address
 *   returns   pMem; or NULL
 *   errors    ERROR_INVALID_PARAMETER for NULL; ERROR_INVALID_HANDLE: no block
 *   threads   any
 */
MH_API HGLOBAL WINAPI GlobalHandle(LPCVOID pMem) MH_WIN32_SYMBOL(GlobalHandle);
MH_API HLOCAL WINAPI LocalHandle(LPCVOID pMem) MH_WIN32_SYMBOL(LocalHandle);

#ifdef __cplusplus
}
#endif
