/* SPDX-License-Identifier: MIT */
/*
 * Error codes, and how HRESULTs are put together and taken apart. Codes of the heap and
 * of IMalloc come from wintypes.h; here are those that other sources set or compare with.
 */
#pragma once

#include "../wintypes.h"

#define ERROR_INVALID_FUNCTION 1u
#define ERROR_FILE_NOT_FOUND 2u
#define ERROR_PATH_NOT_FOUND 3u
#define ERROR_INVALID_DATA 13u
#define ERROR_HANDLE_EOF 38u
#define ERROR_ALREADY_EXISTS 183u
#define ERROR_CALL_NOT_IMPLEMENTED 120u
#define ERROR_MORE_DATA 234u
#define ERROR_INVALID_ADDRESS 487u
#define ERROR_ARITHMETIC_OVERFLOW 534u
#define ERROR_NOT_FOUND 1168u
#define ERROR_INTERNAL_ERROR 1359u

#define SEVERITY_SUCCESS 0
#define SEVERITY_ERROR 1
#define FACILITY_NULL 0
#define FACILITY_RPC 1
#define FACILITY_DISPATCH 2
#define FACILITY_STORAGE 3
#define FACILITY_ITF 4
#define FACILITY_WIN32 7
#define FACILITY_WINDOWS 8

#define _HRESULT_TYPEDEF_(code) ((HRESULT)(code))
#define IS_ERROR(status) ((uint32_t)(status) >> 31 == SEVERITY_ERROR)
#define HRESULT_CODE(hr) ((hr)&0xFFFF)
#define SCODE_CODE(hr) HRESULT_CODE(hr)
#define HRESULT_FACILITY(hr) (((hr) >> 16) & 0x1FFF)
#define SCODE_FACILITY(hr) HRESULT_FACILITY(hr)
#define HRESULT_SEVERITY(hr) (((hr) >> 31) & 1)
#define SCODE_SEVERITY(hr) HRESULT_SEVERITY(hr)
#define MAKE_HRESULT(severity, facility, code)                           \
    ((HRESULT)((uint32_t)(severity) << 31 | (uint32_t)(facility) << 16 | \
               (uint32_t)(code)))
#define MAKE_SCODE(severity, facility, code) MAKE_HRESULT(severity, facility, code)
#define __HRESULT_FROM_WIN32(error) \
    ((HRESULT)(error) <= 0          \
         ? (HRESULT)(error)         \
         : (HRESULT)(((uint32_t)(error)&0xFFFF) | FACILITY_WIN32 << 16 | 0x80000000u))

typedef LONG SCODE;

/* What a Win32 error is as an HRESULT; one that is an HRESULT already stays one. */
static inline HRESULT HRESULT_FROM_WIN32(DWORD error)
{
    return __HRESULT_FROM_WIN32(error);
}

#define NOERROR ((HRESULT)0)
#define E_PENDING _HRESULT_TYPEDEF_(0x8000000A)
#define E_ABORT _HRESULT_TYPEDEF_(0x80004004)
#define E_UNEXPECTED _HRESULT_TYPEDEF_(0x8000FFFF)
#define E_HANDLE _HRESULT_TYPEDEF_(0x80070006)
#define CLASS_E_NOAGGREGATION _HRESULT_TYPEDEF_(0x80040110)
#define CLASS_E_CLASSNOTAVAILABLE _HRESULT_TYPEDEF_(0x80040111)
#define REGDB_E_CLASSNOTREG _HRESULT_TYPEDEF_(0x80040154)
#define CO_E_NOTINITIALIZED _HRESULT_TYPEDEF_(0x800401F0)
#define CO_E_ALREADYINITIALIZED _HRESULT_TYPEDEF_(0x800401F1)
#define RPC_E_CHANGED_MODE _HRESULT_TYPEDEF_(0x80010106)
#define RPC_E_WRONG_THREAD _HRESULT_TYPEDEF_(0x8001010E)
