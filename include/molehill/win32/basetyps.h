/* SPDX-License-Identifier: MIT */
/*
 * The macros by which COM interfaces and their methods are declared, once for C and C++.
 * In C they make the structure whose first member is lpVtbl, in C++ (without CINTERFACE)
 * a class.
 */
#pragma once

#include "guiddef.h"

#define STDAPI EXTERN_C HRESULT STDAPICALLTYPE
#define STDAPI_(type) EXTERN_C type STDAPICALLTYPE
#define STDMETHODIMP HRESULT STDMETHODCALLTYPE
#define STDMETHODIMP_(type) type STDMETHODCALLTYPE
#define IFACEMETHODIMP STDMETHODIMP
#define IFACEMETHODIMP_(type) STDMETHODIMP_(type)
#define BEGIN_INTERFACE
#define END_INTERFACE
#define interface struct

#ifdef MH_COM_CXX
#define MIDL_INTERFACE(text) struct
#define STDMETHOD(method) virtual HRESULT STDMETHODCALLTYPE method
#define STDMETHOD_(type, method) virtual type STDMETHODCALLTYPE method
#define IFACEMETHOD(method) STDMETHOD(method)
#define IFACEMETHOD_(type, method) STDMETHOD_(type, method)
#define PURE = 0
#define THIS_
#define THIS void
#define DECLARE_INTERFACE(name) struct name
#define DECLARE_INTERFACE_(name, base) struct name : public base
#else
#define MIDL_INTERFACE(text) typedef struct
#define STDMETHOD(method) HRESULT(STDMETHODCALLTYPE *method)
#define STDMETHOD_(type, method) type(STDMETHODCALLTYPE *method)
#define IFACEMETHOD(method) STDMETHOD(method)
#define IFACEMETHOD_(type, method) STDMETHOD_(type, method)
#define PURE
#define THIS_ INTERFACE *This,
#define THIS INTERFACE *This
#define DECLARE_INTERFACE(name)           \
    typedef struct name##Vtbl name##Vtbl; \
    typedef struct name {                 \
        CONST_VTBL name##Vtbl *lpVtbl;    \
    } name;                               \
    struct name##Vtbl
#define DECLARE_INTERFACE_(name, base) DECLARE_INTERFACE(name)
#endif
#define DECLARE_INTERFACE_IID(name, text) DECLARE_INTERFACE(name)
#define DECLARE_INTERFACE_IID_(name, base, text) DECLARE_INTERFACE_(name, base)
