/* SPDX-License-Identifier: MIT */
/*
 * The Win32 types and constants that the heap contract speaks in, for a Linux LP64 or
 * ILP32 build. Only declarations: nothing here needs the library. Widths are those of
 * Windows, whose `long` has 32 bits; hence every type below is built on <stdint.h>, never
 * on `long`. The headers define neither _WIN32 nor _WIN64.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* For C and C++ older than 2011: the same, less readable when it fails. */
#if defined(__cplusplus) && __cplusplus < 201103
#define static_assert(condition, text) \
    typedef char mh_is_right[(condition) ? 1 : -1] __attribute__((unused))
#elif !defined(__cplusplus) && !defined(static_assert)
#define static_assert(condition, text) \
    extern __attribute__((unused)) int mh_is_right[(condition) ? 1 : -1]
#endif

/* The calling convention is the platform's own. */
#define WINAPI
#define STDMETHODCALLTYPE

typedef uint8_t BYTE;
typedef uint8_t BOOLEAN;
typedef uint16_t WORD;
typedef int32_t BOOL; /* compare with 0, not with TRUE */
typedef int32_t INT;
typedef int32_t LONG;
typedef int32_t HRESULT;
typedef int32_t NTSTATUS;
typedef uint32_t UINT;
typedef uint32_t ULONG;
typedef uint32_t DWORD;
typedef size_t SIZE_T;
typedef SIZE_T *PSIZE_T;
typedef uintptr_t ULONG_PTR;
typedef uintptr_t UINT_PTR;
typedef void *HANDLE;
typedef HANDLE *PHANDLE;
typedef void *PVOID;
typedef void *LPVOID;
typedef const void *LPCVOID;

typedef struct _GUID {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} GUID, IID, CLSID;

#ifdef __cplusplus
typedef const IID &REFIID;
#else
typedef const IID *REFIID;
#endif

/* A program compiled against other widths would exchange garbage with the library. */
static_assert(sizeof(LONG) == 4 && sizeof(DWORD) == 4 && sizeof(BOOL) == 4,
              "the Win32 scalars have 32 bits, whatever `long` has");
static_assert(sizeof(HRESULT) == 4 && (HRESULT)0x80000000 < 0,
              "a failing HRESULT is negative");
static_assert(sizeof(SIZE_T) == sizeof(void *) && sizeof(ULONG_PTR) == sizeof(void *),
              "sizes and integers that hold pointers are as wide as a pointer");
static_assert(sizeof(GUID) == 16, "a GUID has no padding");

#ifndef FALSE
#define FALSE 0
#endif
#ifndef TRUE
#define TRUE 1
#endif

/* Every block's address is a multiple of this. Windows has the same two values. */
#if UINTPTR_MAX > 0xFFFFFFFF
#define MEMORY_ALLOCATION_ALIGNMENT 16
#else
#define MEMORY_ALLOCATION_ALIGNMENT 8
#endif

/*
 * Flags of the heap functions. A call's flags add to those the heap was created with, for
 * that call only. Bits that a function does not know are ignored.
 */
#define HEAP_NO_SERIALIZE 0x00000001
#define HEAP_GROWABLE 0x00000002
#define HEAP_GENERATE_EXCEPTIONS 0x00000004
#define HEAP_ZERO_MEMORY 0x00000008
#define HEAP_REALLOC_IN_PLACE_ONLY 0x00000010
#define HEAP_TAIL_CHECKING_ENABLED 0x00000020
#define HEAP_FREE_CHECKING_ENABLED 0x00000040
#define HEAP_DISABLE_COALESCE_ON_FREE 0x00000080
#define HEAP_CREATE_SEGMENT_HEAP 0x00000100
#define HEAP_CREATE_HARDENED 0x00000200
#define HEAP_CREATE_ALIGN_16 0x00010000
#define HEAP_CREATE_ENABLE_TRACING 0x00020000
#define HEAP_CREATE_ENABLE_EXECUTE 0x00040000

/* Not flags: numbers that some wrappers list beside them. */
#define HEAP_MAXIMUM_TAG 0x0FFF
#define HEAP_PSEUDO_TAG_FLAG 0x8000
#define HEAP_TAG_SHIFT 18

/* What GetLastError answers. The suffix makes them DWORDs; `L` would make them 64-bit. */
#define NO_ERROR 0u
#define ERROR_SUCCESS 0u
#define ERROR_ACCESS_DENIED 5u
#define ERROR_INVALID_HANDLE 6u
#define ERROR_NOT_ENOUGH_MEMORY 8u
#define ERROR_OUTOFMEMORY 14u
#define ERROR_GEN_FAILURE 31u
#define ERROR_NOT_SUPPORTED 50u
#define ERROR_INVALID_PARAMETER 87u
#define ERROR_INSUFFICIENT_BUFFER 122u
#define ERROR_NOT_LOCKED 158u
#define ERROR_NO_MORE_ITEMS 259u
#define ERROR_NOT_OWNER 288u
#define ERROR_NOACCESS 998u

/* Exception codes. The casts matter: with 64-bit `long`, 0xC0000017L is positive. */
#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#define STATUS_INVALID_HANDLE ((NTSTATUS)0xC0000008)
#define STATUS_NO_MEMORY ((NTSTATUS)0xC0000017)
#define STATUS_HEAP_CORRUPTION ((NTSTATUS)0xC0000374)

/* What COM functions return. Cast for the same reason. */
#define S_OK ((HRESULT)0)
#define S_FALSE ((HRESULT)1)
#define E_NOTIMPL ((HRESULT)0x80004001)
#define E_NOINTERFACE ((HRESULT)0x80004002)
#define E_POINTER ((HRESULT)0x80004003)
#define E_FAIL ((HRESULT)0x80004005)
#define CO_E_OBJNOTREG ((HRESULT)0x800401FB)
#define CO_E_OBJISREG ((HRESULT)0x800401FC)
#define E_ACCESSDENIED ((HRESULT)0x80070005)
#define E_OUTOFMEMORY ((HRESULT)0x8007000E)
#define E_INVALIDARG ((HRESULT)0x80070057)

/* Where CoGetMalloc is to allocate. */
typedef enum tagMEMCTX {
    MEMCTX_TASK = 1,
    MEMCTX_SHARED = 2,
    MEMCTX_MACSYSTEM = 3,
    MEMCTX_UNKNOWN = -1,
    MEMCTX_SAME = -2
} MEMCTX;

#define SUCCEEDED(hr) (((HRESULT)(hr)) >= 0)
#define FAILED(hr) (((HRESULT)(hr)) < 0)
