/* SPDX-License-Identifier: MIT */
/*
 * COM's task allocator: CoGetMalloc, the three functions over it, and registering a spy.
 * Works without CoInitialize, from any thread, also from threads that are ending. What
 * the allocator does is described at IMalloc, what a spy hears at IMallocSpy.
 */
#pragma once

#include "objidl.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The task allocator.
 *
 *   dwMemContext  MEMCTX_TASK; all others are refused
 *   ppMalloc      where to store it: the same object always. AddRef and Release do not
 *                 change its life.
 *   returns       S_OK; or E_INVALIDARG, and NULL is stored
 *   threads       any
 *   progress      wait-free
 *   spec          3.1
 */
MH_API HRESULT WINAPI CoGetMalloc(DWORD dwMemContext, IMalloc **ppMalloc)
    MH_WIN32_SYMBOL(CoGetMalloc);

/* IMalloc's Alloc, Realloc and Free on it. */
MH_API LPVOID WINAPI CoTaskMemAlloc(SIZE_T cb) MH_WIN32_SYMBOL(CoTaskMemAlloc);
MH_API LPVOID WINAPI CoTaskMemRealloc(LPVOID pv, SIZE_T cb)
    MH_WIN32_SYMBOL(CoTaskMemRealloc);
MH_API void WINAPI CoTaskMemFree(LPVOID pv) MH_WIN32_SYMBOL(CoTaskMemFree);

#ifdef __cplusplus
}
#endif
