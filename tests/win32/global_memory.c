/* SPDX-License-Identifier: MIT */
/*
 * A program for Windows: GlobalAlloc and LocalAlloc of fixed memory, and _msize. It knows
 * nothing of molehill.
 */
#include <windows.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <tchar.h>

static int g_nFailed;

static void Check(BOOL fGood, LPCTSTR lpszWhat)
{
    if (!fGood)
        g_nFailed++;
    _tprintf(_T("%s %s\n"), fGood ? TEXT("ok  ") : TEXT("FAIL"), lpszWhat);
}

static BOOL IsZero(const BYTE *lpb, SIZE_T cb)
{
    while (cb > 0 && lpb[cb - 1] == 0)
        cb--;
    return cb == 0;
}

static void Global(void)
{
    HGLOBAL hMem = GlobalAlloc(GPTR, 27), hMoved;
    LPBYTE lpb = (LPBYTE)GlobalLock(hMem);

    Check(hMem != NULL && lpb == (LPBYTE)hMem, _T("fixed memory is its own handle"));
    if (lpb == NULL)
        return;
    Check(GlobalSize(hMem) == 27 && GlobalFlags(hMem) == 0, _T("its size is exact"));
    Check(IsZero(lpb, 27), _T("it is zero where GPTR asks for it"));
    Check(HeapSize(GetProcessHeap(), 0, hMem) == 27,
          _T("it is a block of the process heap"));
    Check(GlobalUnlock(hMem) && GlobalHandle(lpb) == hMem,
          _T("unlocking changes nothing"));
    FillMemory(lpb, 27, 0x5A);
    Check(GlobalReAlloc(hMem, 400000, 0) == NULL &&
              GetLastError() == ERROR_NOT_ENOUGH_MEMORY && GlobalSize(hMem) == 27,
          _T("it does not move unless that is allowed"));
    hMoved = GlobalReAlloc(hMem, 400000, GMEM_MOVEABLE | GMEM_ZEROINIT);
    Check(hMoved != NULL && GlobalSize(hMoved) == 400000, _T("then it does"));
    if (hMoved == NULL)
        return;
    lpb = (LPBYTE)hMoved;
    Check(lpb[0] == 0x5A && lpb[26] == 0x5A && IsZero(lpb + 27, 400000 - 27),
          _T("with its contents, and zeroes"));
    Check(GlobalFree(hMoved) == NULL, _T("it can be freed"));
}

static void Local(void)
{
    HLOCAL hMem = LocalAlloc(LPTR, 100);
    HLOCAL hEmpty = LocalAlloc(LMEM_FIXED, 0);

    Check(hMem != NULL && LocalSize(hMem) == 100, _T("a local block has its size"));
    Check(hEmpty != NULL && LocalSize(hEmpty) == 0 && LocalFree(hEmpty) == NULL,
          _T("also one of no bytes"));
    Check(LocalReAlloc(hMem, 40, 0) == hMem && LocalSize(hMem) == 40,
          _T("it can shrink"));
    SetLastError(NO_ERROR);
    Check(!LocalUnlock(hMem) && GetLastError() == ERROR_NOT_LOCKED,
          _T("it is not locked"));
    Check(LocalFree(hMem) == NULL && LocalFree(NULL) == NULL, _T("it can be freed"));
}

static void Errors(void)
{
    BYTE abStack[64];

    SetLastError(NO_ERROR);
    Check(GlobalSize(NULL) == 0 && GetLastError() == ERROR_INVALID_HANDLE,
          _T("no handle has no size"));
    SetLastError(NO_ERROR);
    Check(GlobalFlags(NULL) == GMEM_INVALID_HANDLE &&
              GetLastError() == ERROR_INVALID_HANDLE,
          _T("and no flags"));
    SetLastError(NO_ERROR);
    Check(GlobalFree(abStack) == (HGLOBAL)abStack &&
              GetLastError() == ERROR_INVALID_HANDLE,
          _T("memory of the stack cannot be freed"));
    SetLastError(NO_ERROR);
    Check(LocalAlloc(LPTR, ~(SIZE_T)0) == NULL &&
              GetLastError() == ERROR_NOT_ENOUGH_MEMORY,
          _T("all memory is not to be had"));
}

static void OfTheRuntime(void)
{
    SIZE_T cb;
    BOOL fGood = TRUE;

    for (cb = 1; cb < 5000; cb += 7) {
        void *pv = malloc(cb);
        if (pv == NULL)
            break;
        fGood = fGood && _msize(pv) >= cb;
        ZeroMemory(pv, cb);
        SecureZeroMemory(pv, cb);
        free(pv);
    }
    Check(fGood && cb >= 5000, _T("malloc's blocks hold what was asked for"));
}

int _tmain(void)
{
    Global();
    Local();
    Errors();
    OfTheRuntime();
    _tprintf(_T("%d failed\n"), g_nFailed);
    return g_nFailed != 0;
}
