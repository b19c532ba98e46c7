/* SPDX-License-Identifier: MIT */
/*
 * GUIDs, and DEFINE_GUID: it declares, or, where INITGUID is defined, defines. As on
 * Windows, what it does follows INITGUID each time this file is included: no #pragma
 * once.
 */
#include "../unknwn.h"
#include "winnt.h"

#undef DEFINE_GUID
#if defined(INITGUID) && defined(__cplusplus)
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
    extern "C" DECLSPEC_SELECTANY const GUID name = {                \
        l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
#elif defined(INITGUID)
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
    extern const GUID name;                                          \
    DECLSPEC_SELECTANY const GUID name = {l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
#else
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
    EXTERN_C const GUID name
#endif

#ifndef GUID_SECTION /* the rest, once */
#define GUID_SECTION
#define DEFINE_OLEGUID(name, l, w1, w2) \
    DEFINE_GUID(name, l, w1, w2, 0xC0, 0, 0, 0, 0, 0, 0, 0x46)

typedef GUID *LPGUID;
typedef const GUID *LPCGUID;
typedef IID *LPIID;
typedef CLSID *LPCLSID;

__attribute__((unused)) static const GUID GUID_NULL = {0, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}};
#define IID_NULL GUID_NULL
#define CLSID_NULL GUID_NULL
#define IsEqualIUnknown(riid) IsEqualIID(riid, MH_REF(IID_IUnknown))
#ifdef __cplusplus
#define MH_REF(guid) (guid)
#else
#define MH_REF(guid) (&(guid))
#endif
#define InlineIsEqualGUID(left, right) IsEqualGUID(left, right)
#endif
