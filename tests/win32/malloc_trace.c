/* SPDX-License-Identifier: MIT */
/*
 * A program for Windows, in C: a spy of IMalloc that writes down what it is called for.
 * The interface's table is filled by hand. It knows nothing of molehill.
 */
#define COBJMACROS
#define INITGUID
#include <windows.h>

#include <objbase.h>
#include <stdio.h>

/* An interface of the program's own, by which it gets from IUnknown to its counters. */
DEFINE_GUID(IID_ITraceCounts, 0x6f1d2c3a, 0x5b4e, 0x4d21, 0x9a, 0x0c, 0x3e, 0x71, 0x88,
            0x2b, 0x5d, 0x46);

#undef INTERFACE
#define INTERFACE ITraceCounts
DECLARE_INTERFACE_(ITraceCounts, IUnknown)
{
    BEGIN_INTERFACE
    STDMETHOD(QueryInterface)(THIS_ REFIID riid, void **ppvObject) PURE;
    STDMETHOD_(ULONG, AddRef)(THIS) PURE;
    STDMETHOD_(ULONG, Release)(THIS) PURE;
    STDMETHOD_(DWORD, GetBlocks)(THIS) PURE;
    STDMETHOD(GetBytes)(THIS_ SIZE_T * pcb) PURE;
    END_INTERFACE
};

typedef struct TraceSpy {
    IMallocSpy spy;
    ITraceCounts counts;
    LONG cRef;
    DWORD cBlocks;
    BOOL fNew; /* the block was not spied when Realloc began */
    SIZE_T cbLast, cbAll;
} TraceSpy;

static HRESULT STDMETHODCALLTYPE SpyQueryInterface(IMallocSpy *This, REFIID riid,
                                                   void **ppv)
{
    TraceSpy *pSpy = CONTAINING_RECORD(This, TraceSpy, spy);

    if (ppv == NULL)
        return E_POINTER;
    if (IsEqualIID(riid, &IID_IUnknown) || IsEqualIID(riid, &IID_IMallocSpy))
        *ppv = &pSpy->spy;
    else if (IsEqualIID(riid, &IID_ITraceCounts))
        *ppv = &pSpy->counts;
    else
        *ppv = NULL;
    if (*ppv == NULL)
        return E_NOINTERFACE;
    IMallocSpy_AddRef(This);
    return S_OK;
}

static ULONG STDMETHODCALLTYPE SpyAddRef(IMallocSpy *This)
{
    return InterlockedIncrement(&CONTAINING_RECORD(This, TraceSpy, spy)->cRef);
}

static ULONG STDMETHODCALLTYPE SpyRelease(IMallocSpy *This)
{
    LONG cRef = InterlockedDecrement(&CONTAINING_RECORD(This, TraceSpy, spy)->cRef);

    printf("Release: %ld left\n", (long)cRef);
    return cRef;
}

static SIZE_T STDMETHODCALLTYPE SpyPreAlloc(IMallocSpy *This, SIZE_T cbRequest)
{
    CONTAINING_RECORD(This, TraceSpy, spy)->cbLast = cbRequest;
    return cbRequest;
}

static void *STDMETHODCALLTYPE SpyPostAlloc(IMallocSpy *This, void *pActual)
{
    TraceSpy *pSpy = CONTAINING_RECORD(This, TraceSpy, spy);

    printf("Alloc of %lu: %s\n", (unsigned long)pSpy->cbLast,
           pActual ? "a block" : "none");
    if (pActual != NULL) {
        pSpy->cBlocks++;
        pSpy->cbAll += pSpy->cbLast;
    }
    return pActual;
}

static void *STDMETHODCALLTYPE SpyPreFree(IMallocSpy *This, void *pRequest, BOOL fSpyed)
{
    printf("Free, %s\n", fSpyed ? "spied" : "older");
    if (fSpyed)
        CONTAINING_RECORD(This, TraceSpy, spy)->cBlocks--;
    return pRequest;
}

static void STDMETHODCALLTYPE SpyPostFree(IMallocSpy *This, BOOL fSpyed)
{
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(fSpyed);
}

static SIZE_T STDMETHODCALLTYPE SpyPreRealloc(IMallocSpy *This, void *pRequest,
                                              SIZE_T cbRequest, void **ppNewRequest,
                                              BOOL fSpyed)
{
    CONTAINING_RECORD(This, TraceSpy, spy)->fNew = !fSpyed;
    printf("Realloc to %lu, %s\n", (unsigned long)cbRequest, fSpyed ? "spied" : "older");
    *ppNewRequest = pRequest;
    return cbRequest;
}

static void *STDMETHODCALLTYPE SpyPostRealloc(IMallocSpy *This, void *pActual,
                                              BOOL fSpyed)
{
    TraceSpy *pSpy = CONTAINING_RECORD(This, TraceSpy, spy);

    UNREFERENCED_PARAMETER(fSpyed);
    if (pActual != NULL && pSpy->fNew)
        pSpy->cBlocks++;
    return pActual;
}

static void *STDMETHODCALLTYPE SpyPreGetSize(IMallocSpy *This, void *pRequest,
                                             BOOL fSpyed)
{
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(fSpyed);
    return pRequest;
}

static SIZE_T STDMETHODCALLTYPE SpyPostGetSize(IMallocSpy *This, SIZE_T cbActual,
                                               BOOL fSpyed)
{
    UNREFERENCED_PARAMETER(This);
    printf("GetSize is %lu, %s\n", (unsigned long)cbActual, fSpyed ? "spied" : "older");
    return cbActual;
}

static void *STDMETHODCALLTYPE SpyPreDidAlloc(IMallocSpy *This, void *pRequest,
                                              BOOL fSpyed)
{
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(fSpyed);
    return pRequest;
}

static int STDMETHODCALLTYPE SpyPostDidAlloc(IMallocSpy *This, void *pRequest,
                                             BOOL fSpyed, int fActual)
{
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(pRequest);
    UNREFERENCED_PARAMETER(fSpyed);
    return fActual;
}

static void STDMETHODCALLTYPE SpyPreHeapMinimize(IMallocSpy *This)
{
    UNREFERENCED_PARAMETER(This);
    puts("HeapMinimize");
}

static void STDMETHODCALLTYPE SpyPostHeapMinimize(IMallocSpy *This)
{
    UNREFERENCED_PARAMETER(This);
}

static TraceSpy *SpyOf(ITraceCounts *This)
{
    return CONTAINING_RECORD(This, TraceSpy, counts);
}

static HRESULT STDMETHODCALLTYPE CountsQueryInterface(ITraceCounts *This, REFIID riid,
                                                      void **ppv)
{
    return IMallocSpy_QueryInterface(&SpyOf(This)->spy, riid, ppv);
}

static ULONG STDMETHODCALLTYPE CountsAddRef(ITraceCounts *This)
{
    return IMallocSpy_AddRef(&SpyOf(This)->spy);
}

static ULONG STDMETHODCALLTYPE CountsRelease(ITraceCounts *This)
{
    return IMallocSpy_Release(&SpyOf(This)->spy);
}

static DWORD STDMETHODCALLTYPE CountsGetBlocks(ITraceCounts *This)
{
    return SpyOf(This)->cBlocks;
}

static HRESULT STDMETHODCALLTYPE CountsGetBytes(ITraceCounts *This, SIZE_T *pcb)
{
    if (pcb == NULL)
        return HRESULT_FROM_WIN32(ERROR_INVALID_PARAMETER);
    *pcb = SpyOf(This)->cbAll;
    return S_OK;
}

static IMallocSpyVtbl g_SpyVtbl = {
    SpyQueryInterface, SpyAddRef,          SpyRelease,         SpyPreAlloc,
    SpyPostAlloc,      SpyPreFree,         SpyPostFree,        SpyPreRealloc,
    SpyPostRealloc,    SpyPreGetSize,      SpyPostGetSize,     SpyPreDidAlloc,
    SpyPostDidAlloc,   SpyPreHeapMinimize, SpyPostHeapMinimize};

static ITraceCountsVtbl g_CountsVtbl = {CountsQueryInterface, CountsAddRef, CountsRelease,
                                        CountsGetBlocks, CountsGetBytes};

static void PrintGuid(const GUID *pGuid)
{
    int i;

    printf("{%08lX-%04X-%04X-", (unsigned long)pGuid->Data1, pGuid->Data2, pGuid->Data3);
    for (i = 0; i < 8; i++)
        printf(i == 2 ? "-%02X" : "%02X", pGuid->Data4[i]);
    puts("}");
}

static int Use(IMalloc *pMalloc, void *pOld)
{
    void *pv = IMalloc_Alloc(pMalloc, 100);

    printf("size %lu\n", (unsigned long)IMalloc_GetSize(pMalloc, pv));
    pv = IMalloc_Realloc(pMalloc, pv, 3000);
    pOld = CoTaskMemRealloc(pOld, 60);
    printf("mine: %d, other: %d, none: %d\n", IMalloc_DidAlloc(pMalloc, pv),
           IMalloc_DidAlloc(pMalloc, &pv), IMalloc_DidAlloc(pMalloc, NULL));
    IMalloc_HeapMinimize(pMalloc);
    CoTaskMemFree(pOld);
    IMalloc_Free(pMalloc, pv);
    IMalloc_Free(pMalloc, NULL);
    return pv != NULL && pOld != NULL;
}

int main(void)
{
    TraceSpy spy = {{&g_SpyVtbl}, {&g_CountsVtbl}, 1, 0, FALSE, 0, 0};
    IMalloc *pMalloc = NULL;
    ITraceCounts *pCounts = NULL;
    SIZE_T cb = 0;
    void *pOld;

    if (FAILED(CoInitialize(NULL)) || FAILED(CoGetMalloc(MEMCTX_TASK, &pMalloc)))
        return 1;
    pOld = CoTaskMemAlloc(30);
    if (CoRegisterMallocSpy(&spy.spy) != S_OK)
        return 2;
    if (CoRegisterMallocSpy(&spy.spy) != CO_E_OBJISREG)
        return 3;
    if (!Use(pMalloc, pOld))
        return 4;
    if (CoRevokeMallocSpy() != S_OK || CoRevokeMallocSpy() != CO_E_OBJNOTREG)
        return 5;
    if (FAILED(IMallocSpy_QueryInterface(&spy.spy, &IID_ITraceCounts, (void **)&pCounts)))
        return 6;
    if (pCounts->lpVtbl->GetBytes(pCounts, &cb) != S_OK)
        return 7;
    PrintGuid(&IID_ITraceCounts);
    printf("blocks left: %ld, bytes: %lu\n",
           (long)(LONG)pCounts->lpVtbl->GetBlocks(pCounts), (unsigned long)cb);
    pCounts->lpVtbl->Release(pCounts);
    IMalloc_Release(pMalloc);
    CoUninitialize();
    return 0;
}
