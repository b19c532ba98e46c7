/* SPDX-License-Identifier: MIT */
/*
 * IMalloc, the task allocator's interface, and IMallocSpy, which a program implements to
 * be called around it. objbase.h has the functions that give the one and take the other.
 *
 * The views in C and in C++ are those of unknwn.h. Byte counts are SIZE_T, as in the
 * 64-bit ABI; headers older than that said ULONG.
 */
#pragma once

#include "unknwn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* {00000002-0000-0000-C000-000000000046} */
MH_API extern const IID IID_IMalloc MH_WIN32_SYMBOL(IID_IMalloc);

/* {0000001D-0000-0000-C000-000000000046} */
MH_API extern const IID IID_IMallocSpy MH_WIN32_SYMBOL(IID_IMallocSpy);

#ifdef __cplusplus
}
#endif

/*
 * IMalloc: blocks of the process heap, so HeapSize, HeapValidate and HeapFree know them.
 *
 *   Alloc         a block of cb bytes, 0 included; or NULL
 *   Realloc       pv NULL: as Alloc. cb 0: frees pv and returns NULL, unlike HeapReAlloc.
 *                 Else the resized block, or NULL and pv as it was.
 *   Free          NULL and foreign pointers are ignored
 *   GetSize       exactly what was last requested; (SIZE_T)-1 for NULL and what is no
 *                 block
 *   DidAlloc      1 for a block of the process heap, 0 for any other value, -1 for NULL
 *   HeapMinimize  gives unused memory back to the system
 *
 * Errors: a failing Alloc or Realloc leaves what HeapAlloc and HeapReAlloc leave; nothing
 * else touches the last error or errno. Threads: any, before and without CoInitialize,
 * also while a thread ends. Progress: without a spy, one load more than the heap
 * functions. Spec 3.2; with a spy, 3.3.
 *
 * IMallocSpy: called before and after each method of IMalloc, but for NULL given to Free,
 * GetSize and DidAlloc. U is the pointer the client sees, A that of the real block.
 * fSpyed (0 or 1) tells whether U came from this spy's PostAlloc or PostRealloc; it is 0
 * for blocks older than the spy and the same in both calls around an operation.
 *
 *   PreAlloc          returns the bytes to allocate; 0 for cbRequest not 0: Alloc returns
 *                     NULL and PostAlloc is not called
 *   PostAlloc         gets A, NULL when there is no memory; returns U
 *   PreFree           gets U, returns A
 *   PostFree          the block is gone
 *   PreRealloc        gets U, stores A in *ppNewRequest (it holds U before), returns the
 *                     new size of A; 0 for cbRequest not 0 as in PreAlloc. pRequest may
 *                     be NULL.
 *   PostRealloc       pActual is the block that the allocator returned, NULL when it
 *                     failed or freed (documents call it the pointer given to Realloc);
 *                     returns the client's. After success the block counts as spyed.
 *   PreGetSize        gets U, returns A
 *   PostGetSize       gets the size of A, returns what the client gets
 *   PreDidAlloc       gets U, returns A
 *   PostDidAlloc      gets U again, and in fActual what is known of A; returns what the
 *                     client gets
 *   PreHeapMinimize   before HeapMinimize
 *   PostHeapMinimize  after it
 *
 * A method may call IMalloc: the spy is called for that, too. Spec 3.3 to 3.5.
 */
#ifdef MH_COM_CXX

struct IMalloc : public IUnknown {
    virtual void *STDMETHODCALLTYPE Alloc(SIZE_T cb) = 0;
    virtual void *STDMETHODCALLTYPE Realloc(void *pv, SIZE_T cb) = 0;
    virtual void STDMETHODCALLTYPE Free(void *pv) = 0;
    virtual SIZE_T STDMETHODCALLTYPE GetSize(void *pv) = 0;
    virtual int STDMETHODCALLTYPE DidAlloc(void *pv) = 0;
    virtual void STDMETHODCALLTYPE HeapMinimize() = 0;
};

struct IMallocSpy : public IUnknown {
    virtual SIZE_T STDMETHODCALLTYPE PreAlloc(SIZE_T cbRequest) = 0;
    virtual void *STDMETHODCALLTYPE PostAlloc(void *pActual) = 0;
    virtual void *STDMETHODCALLTYPE PreFree(void *pRequest, BOOL fSpyed) = 0;
    virtual void STDMETHODCALLTYPE PostFree(BOOL fSpyed) = 0;
    virtual SIZE_T STDMETHODCALLTYPE PreRealloc(void *pRequest, SIZE_T cbRequest,
                                                void **ppNewRequest, BOOL fSpyed) = 0;
    virtual void *STDMETHODCALLTYPE PostRealloc(void *pActual, BOOL fSpyed) = 0;
    virtual void *STDMETHODCALLTYPE PreGetSize(void *pRequest, BOOL fSpyed) = 0;
    virtual SIZE_T STDMETHODCALLTYPE PostGetSize(SIZE_T cbActual, BOOL fSpyed) = 0;
    virtual void *STDMETHODCALLTYPE PreDidAlloc(void *pRequest, BOOL fSpyed) = 0;
    virtual int STDMETHODCALLTYPE PostDidAlloc(void *pRequest, BOOL fSpyed,
                                               int fActual) = 0;
    virtual void STDMETHODCALLTYPE PreHeapMinimize() = 0;
    virtual void STDMETHODCALLTYPE PostHeapMinimize() = 0;
};

#else

typedef struct IMalloc IMalloc;

typedef struct IMallocVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)
    (IMalloc *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IMalloc *This);
    ULONG(STDMETHODCALLTYPE *Release)(IMalloc *This);
    void *(STDMETHODCALLTYPE *Alloc)(IMalloc *This, SIZE_T cb);
    void *(STDMETHODCALLTYPE *Realloc)(IMalloc *This, void *pv, SIZE_T cb);
    void(STDMETHODCALLTYPE *Free)(IMalloc *This, void *pv);
    SIZE_T(STDMETHODCALLTYPE *GetSize)(IMalloc *This, void *pv);
    int(STDMETHODCALLTYPE *DidAlloc)(IMalloc *This, void *pv);
    void(STDMETHODCALLTYPE *HeapMinimize)(IMalloc *This);
} IMallocVtbl;

struct IMalloc {
    CONST_VTBL IMallocVtbl *lpVtbl;
};

typedef struct IMallocSpy IMallocSpy;

typedef struct IMallocSpyVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)
    (IMallocSpy *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IMallocSpy *This);
    ULONG(STDMETHODCALLTYPE *Release)(IMallocSpy *This);
    SIZE_T(STDMETHODCALLTYPE *PreAlloc)(IMallocSpy *This, SIZE_T cbRequest);
    void *(STDMETHODCALLTYPE *PostAlloc)(IMallocSpy *This, void *pActual);
    void *(STDMETHODCALLTYPE *PreFree)(IMallocSpy *This, void *pRequest, BOOL fSpyed);
    void(STDMETHODCALLTYPE *PostFree)(IMallocSpy *This, BOOL fSpyed);
    SIZE_T(STDMETHODCALLTYPE *PreRealloc)
    (IMallocSpy *This, void *pRequest, SIZE_T cbRequest, void **ppNewRequest,
     BOOL fSpyed);
    void *(STDMETHODCALLTYPE *PostRealloc)(IMallocSpy *This, void *pActual, BOOL fSpyed);
    void *(STDMETHODCALLTYPE *PreGetSize)(IMallocSpy *This, void *pRequest, BOOL fSpyed);
    SIZE_T(STDMETHODCALLTYPE *PostGetSize)
    (IMallocSpy *This, SIZE_T cbActual, BOOL fSpyed);
    void *(STDMETHODCALLTYPE *PreDidAlloc)(IMallocSpy *This, void *pRequest, BOOL fSpyed);
    int(STDMETHODCALLTYPE *PostDidAlloc)(IMallocSpy *This, void *pRequest, BOOL fSpyed,
                                         int fActual);
    void(STDMETHODCALLTYPE *PreHeapMinimize)(IMallocSpy *This);
    void(STDMETHODCALLTYPE *PostHeapMinimize)(IMallocSpy *This);
} IMallocSpyVtbl;

struct IMallocSpy {
    CONST_VTBL IMallocSpyVtbl *lpVtbl;
};

#ifdef COBJMACROS
#define IMalloc_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IMalloc_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IMalloc_Release(This) ((This)->lpVtbl->Release(This))
#define IMalloc_Alloc(This, cb) ((This)->lpVtbl->Alloc(This, cb))
#define IMalloc_Realloc(This, pv, cb) ((This)->lpVtbl->Realloc(This, pv, cb))
#define IMalloc_Free(This, pv) ((This)->lpVtbl->Free(This, pv))
#define IMalloc_GetSize(This, pv) ((This)->lpVtbl->GetSize(This, pv))
#define IMalloc_DidAlloc(This, pv) ((This)->lpVtbl->DidAlloc(This, pv))
#define IMalloc_HeapMinimize(This) ((This)->lpVtbl->HeapMinimize(This))
#define IMallocSpy_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IMallocSpy_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IMallocSpy_Release(This) ((This)->lpVtbl->Release(This))
#define IMallocSpy_PreAlloc(This, cbRequest) ((This)->lpVtbl->PreAlloc(This, cbRequest))
#define IMallocSpy_PostAlloc(This, pActual) ((This)->lpVtbl->PostAlloc(This, pActual))
#define IMallocSpy_PreFree(This, pRequest, fSpyed) \
    ((This)->lpVtbl->PreFree(This, pRequest, fSpyed))
#define IMallocSpy_PostFree(This, fSpyed) ((This)->lpVtbl->PostFree(This, fSpyed))
#define IMallocSpy_PreRealloc(This, pRequest, cbRequest, ppNewRequest, fSpyed) \
    ((This)->lpVtbl->PreRealloc(This, pRequest, cbRequest, ppNewRequest, fSpyed))
#define IMallocSpy_PostRealloc(This, pActual, fSpyed) \
    ((This)->lpVtbl->PostRealloc(This, pActual, fSpyed))
#define IMallocSpy_PreGetSize(This, pRequest, fSpyed) \
    ((This)->lpVtbl->PreGetSize(This, pRequest, fSpyed))
#define IMallocSpy_PostGetSize(This, cbActual, fSpyed) \
    ((This)->lpVtbl->PostGetSize(This, cbActual, fSpyed))
#define IMallocSpy_PreDidAlloc(This, pRequest, fSpyed) \
    ((This)->lpVtbl->PreDidAlloc(This, pRequest, fSpyed))
#define IMallocSpy_PostDidAlloc(This, pRequest, fSpyed, fActual) \
    ((This)->lpVtbl->PostDidAlloc(This, pRequest, fSpyed, fActual))
#define IMallocSpy_PreHeapMinimize(This) ((This)->lpVtbl->PreHeapMinimize(This))
#define IMallocSpy_PostHeapMinimize(This) ((This)->lpVtbl->PostHeapMinimize(This))
#endif

#endif

typedef IMalloc *LPMALLOC;
typedef IMallocSpy *LPMALLOCSPY;
