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

/*
 * IMalloc's Alloc on the task allocator.
 *
 *   cb        bytes; 0 gives a block of its own like any other
 *   returns   the block, which the caller ends with CoTaskMemFree; or NULL
 *   errors    as HeapAlloc
 *   threads   any
 *   progress  as HeapAlloc; with a spy, as the spy is called: CoRegisterMallocSpy
 *   spec      3.1, 3.2
 */
MH_API LPVOID WINAPI CoTaskMemAlloc(SIZE_T cb) MH_WIN32_SYMBOL(CoTaskMemAlloc);

/*
 * IMalloc's Realloc on the task allocator.
 *
 *   pv        a block of the task allocator; NULL: as CoTaskMemAlloc
 *   cb        the new size in bytes; 0 frees the block, unlike HeapReAlloc
 *   returns   the block, moved or not; NULL where it was freed, and on failure, which
 *             leaves the old block as it was
 *   errors    as HeapReAlloc
 *   threads   any
 *   progress  as HeapReAlloc; with a spy, as CoTaskMemAlloc
 *   spec      3.1, 3.2
 */
MH_API LPVOID WINAPI CoTaskMemRealloc(LPVOID pv, SIZE_T cb)
    MH_WIN32_SYMBOL(CoTaskMemRealloc);

/*
 * IMalloc's Free on the task allocator.
 *
 *   pv        a block of the task allocator; NULL and what is no block are ignored
 *   errors    none: last error and errno are kept
 *   threads   any
 *   progress  as HeapFree; with a spy, as CoTaskMemAlloc
 *   spec      3.1, 3.2
 */
MH_API void WINAPI CoTaskMemFree(LPVOID pv) MH_WIN32_SYMBOL(CoTaskMemFree);

/*
 * Have a spy called around every call of the task allocator, of all threads. One at a
 * time. Blocks that are there already stay what they are, with fSpyed 0.
 *
 *   pMallocSpy  asked once for IID_IMallocSpy; what it answers is the spy, and that
 *               reference is the one Release gives back. Then asked for
 *               IID_IAgileObject. If it has it, the spy is called without a lock, by
 *               several threads at once; else from each Pre call to its Post call under
 *               one recursive lock.
 *   returns     S_OK; E_INVALIDARG for NULL or an object that is no IMallocSpy;
 *               CO_E_OBJISREG while a spy is registered, also one whose revoke is
 *               pending; E_OUTOFMEMORY when molehill cannot start
 *   errors      last error and errno are kept
 *   threads     any; others allocate meanwhile
 *   progress    takes the spy's lock: waits for calls of a spy, and for HeapUnlock of the
 *               process heap
 *   spec        3.6
 */
MH_API HRESULT WINAPI CoRegisterMallocSpy(IMallocSpy *pMallocSpy)
    MH_WIN32_SYMBOL(CoRegisterMallocSpy);

/*
 * Part with the spy. After its Release no thread is inside and none calls it again.
 *
 *   returns   S_OK: it was released, once; CO_E_OBJNOTREG: there is none;
 *             E_ACCESSDENIED: not yet, because blocks allocated under it are not freed,
 *             or calls of it are under way, this thread's own included. It is pending
 *             then: still called for everything, blocks to come included, and released
 *             by whoever ends the last of these, also by HeapFree.
 *   errors    last error and errno are kept
 *   threads   any, also from inside the spy
 *   progress  waits as CoRegisterMallocSpy does; with a spy that is called without a
 *             lock, for calls of it that began before, unless the thread is inside one
 *             or owns a HeapLock: then the next call in any thread does
 *   spec      3.6
 */
MH_API HRESULT WINAPI CoRevokeMallocSpy(void) MH_WIN32_SYMBOL(CoRevokeMallocSpy);

#ifdef __cplusplus
}
#endif
