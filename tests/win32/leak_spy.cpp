/* SPDX-License-Identifier: MIT */
/*
 * A program for Windows, in C++: a spy of IMalloc that puts a header before each block
 * and reports what was not freed. It knows nothing of molehill.
 */
#include <windows.h>

#include <objbase.h>
#include <stdio.h>
#include <string.h>

class CLeakSpy : public IMallocSpy {
  public:
    CLeakSpy() : m_cRef(1), m_cbRequest(0), m_cLive(0)
    {
        m_head.pNext = m_head.pPrev = &m_head;
    }

    STDMETHODIMP QueryInterface(REFIID riid, void **ppvObject)
    {
        if (ppvObject == NULL)
            return E_POINTER;
        *ppvObject = NULL;
        if (riid != __uuidof(IUnknown) && !IsEqualIID(riid, IID_IMallocSpy))
            return E_NOINTERFACE;
        *ppvObject = static_cast<IMallocSpy *>(this);
        AddRef();
        return S_OK;
    }

    STDMETHODIMP_(ULONG) AddRef()
    {
        return InterlockedIncrement(&m_cRef);
    }

    STDMETHODIMP_(ULONG) Release()
    {
        LONG cRef = InterlockedDecrement(&m_cRef);
        if (cRef == 0)
            delete this;
        return cRef;
    }

    STDMETHODIMP_(SIZE_T) PreAlloc(SIZE_T cbRequest)
    {
        m_cbRequest = cbRequest;
        return cbRequest + sizeof(Header);
    }

    STDMETHODIMP_(void *) PostAlloc(void *pActual)
    {
        return pActual == NULL ? NULL : Enter(static_cast<Header *>(pActual));
    }

    STDMETHODIMP_(void *) PreFree(void *pRequest, BOOL fSpyed)
    {
        return fSpyed ? Leave(pRequest) : pRequest;
    }

    STDMETHODIMP_(void) PostFree(BOOL)
    {
    }

    // A block from before the spy grows by a header, and PostRealloc moves its contents.
    STDMETHODIMP_(SIZE_T)
    PreRealloc(void *pRequest, SIZE_T cbRequest, void **ppNewRequest, BOOL fSpyed)
    {
        m_cbRequest = cbRequest;
        m_fFreed = pRequest != NULL && cbRequest == 0;
        *ppNewRequest = fSpyed ? Leave(pRequest) : pRequest;
        return m_fFreed ? 0 : cbRequest + sizeof(Header);
    }

    STDMETHODIMP_(void *) PostRealloc(void *pActual, BOOL fSpyed)
    {
        if (pActual == NULL)
            return NULL;
        Header *pHeader = static_cast<Header *>(pActual);
        if (!fSpyed)
            memmove(pHeader + 1, pActual, m_cbRequest);
        return Enter(pHeader);
    }

    STDMETHODIMP_(void *) PreGetSize(void *pRequest, BOOL fSpyed)
    {
        return fSpyed ? HeaderOf(pRequest) : pRequest;
    }

    STDMETHODIMP_(SIZE_T) PostGetSize(SIZE_T cbActual, BOOL fSpyed)
    {
        return fSpyed ? cbActual - sizeof(Header) : cbActual;
    }

    STDMETHODIMP_(void *) PreDidAlloc(void *pRequest, BOOL fSpyed)
    {
        return fSpyed ? HeaderOf(pRequest) : pRequest;
    }

    STDMETHODIMP_(int) PostDidAlloc(void *, BOOL, int fActual)
    {
        return fActual;
    }

    STDMETHODIMP_(void) PreHeapMinimize()
    {
    }

    STDMETHODIMP_(void) PostHeapMinimize()
    {
    }

    void Report() const
    {
        printf("%ld blocks not freed\n", static_cast<long>(m_cLive));
        for (const Header *p = m_head.pPrev; p != &m_head; p = p->pPrev)
            printf("  %lu bytes: %s\n", static_cast<unsigned long>(p->cb),
                   reinterpret_cast<const char *>(p + 1));
    }

  private:
    struct Header {
        Header *pNext, *pPrev;
        SIZE_T cb;
        SIZE_T reserved; // so that blocks keep their alignment
    };

    virtual ~CLeakSpy()
    {
        puts("the spy is gone");
    }

    static Header *HeaderOf(void *pRequest)
    {
        return static_cast<Header *>(pRequest) - 1;
    }

    void *Enter(Header *pHeader)
    {
        pHeader->cb = m_cbRequest;
        pHeader->pNext = m_head.pNext;
        pHeader->pPrev = &m_head;
        m_head.pNext->pPrev = pHeader;
        m_head.pNext = pHeader;
        m_cLive++;
        return pHeader + 1;
    }

    Header *Leave(void *pRequest)
    {
        Header *pHeader = HeaderOf(pRequest);
        pHeader->pNext->pPrev = pHeader->pPrev;
        pHeader->pPrev->pNext = pHeader->pNext;
        m_cLive--;
        return pHeader;
    }

    volatile LONG m_cRef;
    SIZE_T m_cbRequest;
    BOOL m_fFreed;
    LONG m_cLive;
    Header m_head;
};

static char *Duplicate(IMalloc *pMalloc, LPCSTR psz)
{
    SIZE_T cb = strlen(psz) + 1;
    char *pNew = static_cast<char *>(pMalloc->Alloc(cb));
    if (pNew != NULL)
        CopyMemory(pNew, psz, cb);
    return pNew;
}

static HRESULT Leak(IMalloc *pMalloc, char *pOld, char **ppLeaks)
{
    ppLeaks[0] = Duplicate(pMalloc, "a string somebody forgot");
    ppLeaks[1] = Duplicate(pMalloc, "another one");
    char *pFreed = Duplicate(pMalloc, "freed in time");
    ppLeaks[2] = static_cast<char *>(CoTaskMemRealloc(pOld, 100));
    if (ppLeaks[0] == NULL || ppLeaks[1] == NULL || pFreed == NULL || ppLeaks[2] == NULL)
        return E_OUTOFMEMORY;
    if (strcmp(ppLeaks[2], "from before") != 0)
        return E_UNEXPECTED;
    printf("sizes %lu and %lu\n", static_cast<unsigned long>(pMalloc->GetSize(pFreed)),
           static_cast<unsigned long>(pMalloc->GetSize(ppLeaks[2])));
    pMalloc->Free(pFreed);
    return S_OK;
}

int main()
{
    IMalloc *pMalloc = NULL, *pSame = NULL;
    HRESULT hr = CoInitializeEx(NULL, COINIT_MULTITHREADED);
    if (FAILED(hr) || FAILED(hr = CoGetMalloc(1, &pMalloc)))
        return 1;
    if (FAILED(hr = pMalloc->QueryInterface(IID_PPV_ARGS(&pSame))) || pSame != pMalloc)
        return 2;
    char *pOld = Duplicate(pMalloc, "from before");
    CLeakSpy *pSpy = new CLeakSpy;
    hr = CoRegisterMallocSpy(pSpy);
    printf("register: 0x%08lX\n", static_cast<unsigned long>(static_cast<ULONG>(hr)));
    char *apLeaks[3] = {NULL, NULL, NULL};
    hr = Leak(pMalloc, pOld, apLeaks);
    printf("the work: 0x%08lX\n", static_cast<unsigned long>(static_cast<ULONG>(hr)));
    pSpy->Report();
    hr = CoRevokeMallocSpy();
    printf("revoke: 0x%08lX\n", static_cast<unsigned long>(static_cast<ULONG>(hr)));
    pSpy->Release();
    for (size_t i = 0; i < ARRAYSIZE(apLeaks); i++)
        pMalloc->Free(apLeaks[i]); // the last one lets the spy go
    hr = CoRevokeMallocSpy();
    printf("revoke: 0x%08lX\n", static_cast<unsigned long>(static_cast<ULONG>(hr)));
    pSame->Release();
    pMalloc->Release();
    CoUninitialize();
    return 0;
}
