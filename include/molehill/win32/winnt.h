/* SPDX-License-Identifier: MIT */
/*
 * What Windows' headers share: texts, helpers of declarations, the Interlocked functions.
 * The flags, codes and sizes of the heap come from wintypes.h.
 */
#pragma once

#include <string.h>
#include <wchar.h>

#include "minwindef.h"
#include "sal.h"

/*
 * Windows' has 16 bits; here it is the compiler's. No function of molehill's takes one.
 */
typedef wchar_t WCHAR;
typedef CHAR *LPSTR;
typedef CHAR *PSTR;
typedef const CHAR *LPCSTR;
typedef const CHAR *PCSTR;
typedef WCHAR *PWCHAR;
typedef WCHAR *LPWSTR;
typedef WCHAR *PWSTR;
typedef const WCHAR *LPCWSTR;
typedef const WCHAR *PCWSTR;

/* A 64-bit number in halves, the lower one first, as in memory here. */
typedef union _LARGE_INTEGER {
    __extension__ struct {
        DWORD LowPart;
        LONG HighPart;
    };
    struct {
        DWORD LowPart;
        LONG HighPart;
    } u;
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
    __extension__ struct {
        DWORD LowPart;
        DWORD HighPart;
    };
    struct {
        DWORD LowPart;
        DWORD HighPart;
    } u;
    ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

#ifdef UNICODE
typedef WCHAR TCHAR;
#define MH_WIDE(text) L##text
#define TEXT(text) MH_WIDE(text)
#else
typedef CHAR TCHAR;
#define TEXT(text) text
#endif
typedef TCHAR *PTCHAR;
typedef TCHAR *LPTSTR;
typedef TCHAR *PTSTR;
typedef const TCHAR *LPCTSTR;
typedef const TCHAR *PCTSTR;

#ifdef __cplusplus
#define EXTERN_C extern "C"
#define EXTERN_C_START extern "C" {
#define EXTERN_C_END }
#else
#define EXTERN_C extern
#define EXTERN_C_START
#define EXTERN_C_END
#endif

#define FORCEINLINE __forceinline
#define DECLSPEC_ALIGN(bytes) __attribute__((aligned(bytes)))
#define DECLSPEC_SELECTANY __attribute__((weak))
#define DECLSPEC_NORETURN __attribute__((noreturn))
#define DECLSPEC_NOINLINE __attribute__((noinline))
#define DECLSPEC_IMPORT
#define DECLSPEC_NOVTABLE
#define DECLSPEC_UUID(text)
#define STDAPICALLTYPE
#define STDMETHODVCALLTYPE
#define STDAPIVCALLTYPE

/*
 * Here, as in Windows' header of this name, they are DWORDs, since GetExceptionCode gives
 * one; in wintypes.h they are NTSTATUS.
 */
#undef STATUS_ACCESS_VIOLATION
#undef STATUS_INVALID_HANDLE
#undef STATUS_NO_MEMORY
#undef STATUS_HEAP_CORRUPTION
#define STATUS_ACCESS_VIOLATION ((DWORD)0xC0000005)
#define STATUS_INVALID_HANDLE ((DWORD)0xC0000008)
#define STATUS_NO_MEMORY ((DWORD)0xC0000017)
#define STATUS_HEAP_CORRUPTION ((DWORD)0xC0000374)

#define C_ASSERT(condition) static_assert(condition, #condition)
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) \
    ((type *)((ULONG_PTR)(address)-offsetof(type, field)))
#define RTL_NUMBER_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ARRAYSIZE(array) RTL_NUMBER_OF(array)
#define ANYSIZE_ARRAY 1
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
#define UNREFERENCED_LOCAL_VARIABLE(variable) ((void)(variable))
#define DBG_UNREFERENCED_PARAMETER(parameter) ((void)(parameter))

#define MAXBYTE 0xFF
#define MAXWORD 0xFFFF
#define MAXDWORD 0xFFFFFFFFu
#define MAXLONG 0x7FFFFFFF

#define RtlCopyMemory(to, from, bytes) memcpy((to), (from), (bytes))
#define RtlMoveMemory(to, from, bytes) memmove((to), (from), (bytes))
#define RtlFillMemory(to, bytes, value) memset((to), (value), (bytes))
#define RtlZeroMemory(to, bytes) memset((to), 0, (bytes))
#define RtlEqualMemory(left, right, bytes) (memcmp((left), (right), (bytes)) == 0)

/* Clear memory, also where nobody reads it afterwards. Returns `to`. */
static inline PVOID RtlSecureZeroMemory(PVOID to, SIZE_T bytes)
{
    memset(to, 0, bytes);
    __asm__ __volatile__("" : : "r"(to) : "memory");
    return to;
}

/*
 * Atomic operations, each a full barrier. They take an integer of any width, so that a
 * counter declared `long` works too; those named ...64 are the same. Increment and
 * Decrement return the new value, the others the old one.
 */
#define InterlockedIncrement(to) __atomic_add_fetch((to), 1, __ATOMIC_SEQ_CST)
#define InterlockedDecrement(to) __atomic_sub_fetch((to), 1, __ATOMIC_SEQ_CST)
#define InterlockedExchangeAdd(to, value) \
    __atomic_fetch_add((to), (value), __ATOMIC_SEQ_CST)
#define InterlockedExchange(to, value) \
    __atomic_exchange_n((to), (value), __ATOMIC_SEQ_CST)
#define InterlockedCompareExchange(to, value, expected)                                \
    (__extension__({                                                                   \
        __typeof__(__atomic_load_n((to), __ATOMIC_RELAXED)) mh_expected_ = (expected); \
        (void)__atomic_compare_exchange_n((to), &mh_expected_, (value), 0,             \
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
        mh_expected_;                                                                  \
    }))
#define InterlockedOr(to, value) __atomic_fetch_or((to), (value), __ATOMIC_SEQ_CST)
#define InterlockedAnd(to, value) __atomic_fetch_and((to), (value), __ATOMIC_SEQ_CST)
#define InterlockedXor(to, value) __atomic_fetch_xor((to), (value), __ATOMIC_SEQ_CST)
#define InterlockedIncrement64(to) InterlockedIncrement(to)
#define InterlockedDecrement64(to) InterlockedDecrement(to)
#define InterlockedExchangeAdd64(to, value) InterlockedExchangeAdd(to, value)
#define InterlockedExchange64(to, value) InterlockedExchange(to, value)
#define InterlockedCompareExchange64(to, value, expected) \
    InterlockedCompareExchange(to, value, expected)
#define MemoryBarrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define YieldProcessor() __asm__ __volatile__("" : : : "memory")

/* The same of pointers; both return the old value. */
static inline PVOID InterlockedExchangePointer(PVOID volatile *to, PVOID value)
{
    return __atomic_exchange_n(to, value, __ATOMIC_SEQ_CST);
}

static inline PVOID InterlockedCompareExchangePointer(PVOID volatile *to, PVOID value,
                                                      PVOID expected)
{
    (void)__atomic_compare_exchange_n(to, &expected, value, 0, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST);
    return expected;
}
