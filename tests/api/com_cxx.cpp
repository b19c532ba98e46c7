/* SPDX-License-Identifier: MIT */
/*
 * The C++ view of IMalloc and IMallocSpy: a client and a spy as C++ programs write them.
 */
#include <molehill/heapapi.h>
#include <molehill/objbase.h>

extern "C" const char *com_cxx_run(bool is_agile);

namespace {

/* A header in front of each block, as the documents have it. */
class HeaderSpy : public IMallocSpy {
  public:
    explicit HeaderSpy(bool agile) : is_agile(agile)
    {
    }

    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID riid, void **ppvObject) override
    {
        bool is_known = riid == IID_IUnknown || IsEqualIID(riid, IID_IMallocSpy) ||
                        (is_agile && riid == IID_IAgileObject);
        *ppvObject = is_known ? this : nullptr;
        if (!is_known)
            return E_NOINTERFACE;
        AddRef();
        return S_OK;
    }

    ULONG STDMETHODCALLTYPE AddRef() override
    {
        return ++references;
    }

    ULONG STDMETHODCALLTYPE Release() override
    {
        return --references;
    }

    SIZE_T STDMETHODCALLTYPE PreAlloc(SIZE_T cbRequest) override
    {
        requested = cbRequest;
        return cbRequest + sizeof(Header);
    }

    void *STDMETHODCALLTYPE PostAlloc(void *pActual) override
    {
        return client_of(pActual);
    }

    void *STDMETHODCALLTYPE PreFree(void *pRequest, BOOL fSpyed) override
    {
        frees++;
        return block_of(pRequest, fSpyed);
    }

    void STDMETHODCALLTYPE PostFree(BOOL fSpyed) override
    {
        frees += fSpyed ? 100 : 0;
    }

    SIZE_T STDMETHODCALLTYPE PreRealloc(void *pRequest, SIZE_T cbRequest,
                                        void **ppNewRequest, BOOL fSpyed) override
    {
        *ppNewRequest = block_of(pRequest, fSpyed);
        return PreAlloc(cbRequest);
    }

    void *STDMETHODCALLTYPE PostRealloc(void *pActual, BOOL fSpyed) override
    {
        if (pActual && !fSpyed)
            memmove(static_cast<Header *>(pActual) + 1, pActual, requested);
        return client_of(pActual);
    }

    void *STDMETHODCALLTYPE PreGetSize(void *pRequest, BOOL fSpyed) override
    {
        return block_of(pRequest, fSpyed);
    }

    SIZE_T STDMETHODCALLTYPE PostGetSize(SIZE_T cbActual, BOOL fSpyed) override
    {
        return fSpyed ? cbActual - sizeof(Header) : cbActual;
    }

    void *STDMETHODCALLTYPE PreDidAlloc(void *pRequest, BOOL fSpyed) override
    {
        return block_of(pRequest, fSpyed);
    }

    int STDMETHODCALLTYPE PostDidAlloc(void *, BOOL, int fActual) override
    {
        return fActual;
    }

    void STDMETHODCALLTYPE PreHeapMinimize() override
    {
        minimizes++;
    }

    void STDMETHODCALLTYPE PostHeapMinimize() override
    {
        minimizes += 100;
    }

    int frees = 0, minimizes = 0;
    ULONG references = 0;

  private:
    struct Header {
        HeaderSpy *spy;
        SIZE_T bytes;
    };

    void *client_of(void *block)
    {
        if (!block)
            return nullptr;
        Header *header = static_cast<Header *>(block);
        header->spy = this;
        header->bytes = requested;
        return header + 1;
    }

    void *block_of(void *client, BOOL spyed) const
    {
        return spyed ? static_cast<Header *>(client) - 1 : client;
    }

    bool is_agile;
    SIZE_T requested = 0;
};

/* NULL, or what is wrong. */
const char *use(IMalloc *malloc, HeaderSpy &spy, void *older)
{
    void *block = malloc->Alloc(100);
    if (!block || malloc->GetSize(block) != 100 || malloc->DidAlloc(block) != 1)
        return "Alloc, GetSize, DidAlloc";
    if (HeapSize(GetProcessHeap(), 0, static_cast<char *>(block) - 16) != 116)
        return "the block is not what PreAlloc asked for";
    memset(block, 0x5a, 100);
    block = malloc->Realloc(block, 5000);
    if (!block || malloc->GetSize(block) != 5000 ||
        static_cast<char *>(block)[99] != 0x5a)
        return "Realloc of a spyed block";
    older = malloc->Realloc(older, 50);
    if (!older || malloc->GetSize(older) != 50 || static_cast<char *>(older)[29] != 0x33)
        return "Realloc of an older block";
    malloc->Free(older);
    malloc->Free(block);
    malloc->HeapMinimize();
    if (spy.frees != 202 || spy.minimizes != 101)
        return "Free or HeapMinimize";
    return nullptr;
}

} // namespace

const char *com_cxx_run(bool is_agile)
{
    IMalloc *malloc = nullptr;
    IUnknown *unknown = nullptr;
    if (CoGetMalloc(MEMCTX_TASK, &malloc) != S_OK || !malloc)
        return "CoGetMalloc";
    void *asked = nullptr;
    if (FAILED(malloc->QueryInterface(IID_IUnknown, &asked)))
        return "QueryInterface";
    unknown = static_cast<IUnknown *>(asked);
    if (unknown != malloc || unknown->AddRef() == 0 || unknown->Release() == 0)
        return "IUnknown";
    void *older = CoTaskMemAlloc(30);
    memset(older, 0x33, 30);
    HeaderSpy spy(is_agile);
    if (CoRegisterMallocSpy(&spy) != S_OK || spy.references != 1)
        return "CoRegisterMallocSpy";
    if (const char *problem = use(malloc, spy, older))
        return problem;
    if (CoRevokeMallocSpy() != S_OK || spy.references != 0)
        return "CoRevokeMallocSpy";
    return IID_IMalloc != IID_IMallocSpy ? nullptr : "GUIDs compare equal";
}
