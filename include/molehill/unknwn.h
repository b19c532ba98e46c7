/* SPDX-License-Identifier: MIT */
/*
 * IUnknown, interface identifiers and how to compare them, as Windows' headers of COM
 * spell them. The identifiers are constants of libmolehill: a program needs no source
 * file of its own for them.
 *
 * C programs see structures whose first member is lpVtbl, and with COBJMACROS the macros
 * IUnknown_AddRef(p) and so on; so do C++ programs that define CINTERFACE. Other C++
 * programs see classes of pure virtual functions and nothing else, not even a virtual
 * destructor: under the Itanium ABI that is the same layout.
 */
#pragma once

#include <string.h>

#include "molehill.h"
#include "wintypes.h"

#if defined(__cplusplus) && !defined(CINTERFACE)
#define MH_COM_CXX 1
#endif

/* What COM's own headers use: the table is const where CONST_VTABLE is defined. */
#ifdef CONST_VTABLE
#define CONST_VTBL const
#else
#define CONST_VTBL
#endif

#ifdef __cplusplus
typedef const GUID &REFGUID;
typedef const CLSID &REFCLSID;

inline bool IsEqualGUID(REFGUID left, REFGUID right)
{
    return memcmp(&left, &right, sizeof(GUID)) == 0;
}

inline bool operator==(REFGUID left, REFGUID right)
{
    return IsEqualGUID(left, right);
}

inline bool operator!=(REFGUID left, REFGUID right)
{
    return !IsEqualGUID(left, right);
}
#else
typedef const GUID *REFGUID;
typedef const CLSID *REFCLSID;

#define IsEqualGUID(left, right) (memcmp((left), (right), sizeof(GUID)) == 0)
#endif
#define IsEqualIID(left, right) IsEqualGUID(left, right)
#define IsEqualCLSID(left, right) IsEqualGUID(left, right)

#ifdef __cplusplus
extern "C" {
#endif

/* {00000000-0000-0000-C000-000000000046} */
MH_API extern const IID IID_IUnknown MH_WIN32_SYMBOL(IID_IUnknown);

/*
 * {94EA2B94-E9CC-49E0-C0FF-EE64CA8F5B90}: what objects answer that may be called by any
 * thread at any time. No methods; see CoRegisterMallocSpy.
 */
MH_API extern const IID IID_IAgileObject MH_WIN32_SYMBOL(IID_IAgileObject);

#ifdef __cplusplus
}
#endif

#ifdef MH_COM_CXX

struct IUnknown {
    virtual HRESULT STDMETHODCALLTYPE QueryInterface(REFIID riid, void **ppvObject) = 0;
    virtual ULONG STDMETHODCALLTYPE AddRef() = 0;
    virtual ULONG STDMETHODCALLTYPE Release() = 0;
};

#else

typedef struct IUnknown IUnknown;

typedef struct IUnknownVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)
    (IUnknown *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IUnknown *This);
    ULONG(STDMETHODCALLTYPE *Release)(IUnknown *This);
} IUnknownVtbl;

struct IUnknown {
    CONST_VTBL IUnknownVtbl *lpVtbl;
};

#ifdef COBJMACROS
#define IUnknown_QueryInterface(This, riid, ppvObject) \
    ((This)->lpVtbl->QueryInterface(This, riid, ppvObject))
#define IUnknown_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IUnknown_Release(This) ((This)->lpVtbl->Release(This))
#endif

#endif

typedef IUnknown *LPUNKNOWN;
