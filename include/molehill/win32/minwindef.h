/* SPDX-License-Identifier: MIT */
/*
 * Windows' scalar types under their older names, and the words that its compilers know
 * besides C's. Those that tell where code lies or how it is called mean nothing here.
 */
#pragma once

#include "basetsd.h"

#ifndef CONST
#define CONST const
#endif
#define VOID void
#define IN
#define OUT
#define OPTIONAL
#define FAR
#define NEAR
#define CALLBACK
#define APIENTRY
#define APIPRIVATE
#define WINAPIV
#define PASCAL
#define NTAPI
#ifndef __cdecl
#define __cdecl
#define __stdcall
#define __fastcall
#define _cdecl
#define _stdcall
#endif
#ifndef __declspec
#define __declspec(what)
#endif
#ifndef __int64
#define __int64 long long
#endif
#ifndef __forceinline
#define __forceinline __inline__ __attribute__((always_inline))
#endif

typedef char CHAR;
typedef unsigned char UCHAR;
typedef int16_t SHORT;
typedef uint16_t USHORT;
typedef float FLOAT;
typedef double DOUBLE;
typedef int64_t LONGLONG;
typedef uint64_t ULONGLONG;
typedef uint64_t DWORDLONG;

typedef CHAR *PCHAR;
typedef UCHAR *PUCHAR;
typedef BYTE *PBYTE;
typedef BYTE *LPBYTE;
typedef BOOLEAN *PBOOLEAN;
typedef BOOL *PBOOL;
typedef BOOL *LPBOOL;
typedef SHORT *PSHORT;
typedef USHORT *PUSHORT;
typedef WORD *PWORD;
typedef WORD *LPWORD;
typedef INT *PINT;
typedef INT *LPINT;
typedef UINT *PUINT;
typedef LONG *PLONG;
typedef LONG *LPLONG;
typedef ULONG *PULONG;
typedef DWORD *PDWORD;
typedef DWORD *LPDWORD;
typedef LONGLONG *PLONGLONG;
typedef ULONGLONG *PULONGLONG;
typedef HANDLE *LPHANDLE;
typedef HANDLE HINSTANCE;
typedef HINSTANCE HMODULE;
typedef UINT_PTR WPARAM;
typedef LONG_PTR LPARAM;
typedef LONG_PTR LRESULT;

#define MAX_PATH 260
#define MAKEWORD(low, high) \
    ((WORD)(((BYTE)((DWORD_PTR)(low)&0xFF)) | ((WORD)((DWORD_PTR)(high)&0xFF) << 8)))
#define MAKELONG(low, high)                      \
    ((LONG)(((DWORD)((DWORD_PTR)(low)&0xFFFF)) | \
            ((DWORD)((DWORD_PTR)(high)&0xFFFF) << 16)))
#define LOWORD(value) ((WORD)((DWORD_PTR)(value)&0xFFFF))
#define HIWORD(value) ((WORD)(((DWORD_PTR)(value) >> 16) & 0xFFFF))
#define LOBYTE(value) ((BYTE)((DWORD_PTR)(value)&0xFF))
#define HIBYTE(value) ((BYTE)(((DWORD_PTR)(value) >> 8) & 0xFF))

/* In C++ they would break the standard library's. */
#if !defined(NOMINMAX) && !defined(__cplusplus)
#ifndef max
#define max(left, right) ((left) > (right) ? (left) : (right))
#endif
#ifndef min
#define min(left, right) ((left) < (right) ? (left) : (right))
#endif
#endif
