/* SPDX-License-Identifier: MIT */
/*
 * A program for Windows: what the macros around the heap compute. It knows nothing of
 * molehill.
 */
#include <windows.h>

#include <initguid.h>
#include <stddef.h>
#include <stdio.h>

DEFINE_GUID(GUID_First, 0x01020304, 0x0506, 0x0708, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
            0x0f, 0x10);
DEFINE_GUID(GUID_Other, 0x01020304, 0x0506, 0x0708, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
            0x0f, 0x11);

typedef struct Pair {
    LONG lFirst;
    LONG lSecond;
} Pair;

static int g_nFailed;

#define CHECK(condition)                                        \
    do {                                                        \
        if (!(condition)) {                                     \
            g_nFailed++;                                        \
            printf("FAIL line %d: %s\n", __LINE__, #condition); \
        }                                                       \
    } while (0)

static void Integers(void)
{
    LARGE_INTEGER signedOne;
    ULARGE_INTEGER unsignedOne;

    signedOne.QuadPart = -2;
    CHECK(sizeof(signedOne) == 8 && sizeof(unsignedOne) == 8);
    CHECK(signedOne.LowPart == 0xFFFFFFFE && (LONGLONG)signedOne.HighPart == -1);
    unsignedOne.u.LowPart = 1;
    unsignedOne.HighPart = 0x80000000;
    CHECK(unsignedOne.QuadPart == 0x8000000000000001 && unsignedOne.u.HighPart >> 31);
}

static void Results(void)
{
    HRESULT hr = MAKE_HRESULT(SEVERITY_ERROR, FACILITY_WIN32, ERROR_NOT_ENOUGH_MEMORY);

    CHECK(hr == HRESULT_FROM_WIN32(ERROR_NOT_ENOUGH_MEMORY));
    CHECK(hr == (HRESULT)0x80070008 && FAILED(hr) && !SUCCEEDED(hr) && IS_ERROR(hr));
    CHECK(HRESULT_FROM_WIN32(ERROR_SUCCESS) == S_OK && SUCCEEDED(S_FALSE));
    CHECK(HRESULT_FROM_WIN32((DWORD)E_OUTOFMEMORY) == E_OUTOFMEMORY);
    CHECK(HRESULT_FROM_WIN32(ERROR_OUTOFMEMORY) == E_OUTOFMEMORY);
    CHECK(HRESULT_CODE(hr) == 8 && HRESULT_FACILITY(hr) == FACILITY_WIN32);
    CHECK(HRESULT_SEVERITY(hr) == SEVERITY_ERROR && HRESULT_SEVERITY(S_FALSE) == 0);
    CHECK(E_UNEXPECTED == (HRESULT)0x8000FFFF && E_POINTER < 0);
}

static void Guids(void)
{
    static const BYTE abFirst[16] = {4, 3,  2,  1,  6,  5,  8,  7,
                                     9, 10, 11, 12, 13, 14, 15, 16};
    GUID copy = GUID_First;

    CHECK(sizeof(GUID) == sizeof(abFirst) &&
          memcmp(&copy, abFirst, sizeof(abFirst)) == 0);
    CHECK(IsEqualGUID(&copy, &GUID_First) && !IsEqualGUID(&copy, &GUID_Other));
    CHECK(IsEqualIID(&copy, &GUID_First) && IsEqualCLSID(&copy, &GUID_First));
    CHECK(!IsEqualIID(&IID_IUnknown, &IID_NULL) && IID_IUnknown.Data4[7] == 0x46);
}

static void Words(void)
{
    CHECK(MAKELONG(0x5678, 0x1234) == 0x12345678 && MAKEWORD(0x34, 0x12) == 0x1234);
    CHECK(LOWORD(0x12345678) == 0x5678 && HIWORD(0x12345678) == 0x1234);
    CHECK(LOBYTE(0x1234) == 0x34 && HIBYTE(0x1234) == 0x12);
    CHECK(min(3, 4) == 3 && max(3, 4) == 4);
    CHECK((DWORD)-1 == MAXDWORD && sizeof(LONG) == 4 && sizeof(LONGLONG) == 8);
    CHECK((LONG)0xFFFFFFFF < 0 && (DWORD)0xFFFFFFFF > 0 && (BYTE)-1 == MAXBYTE);
    CHECK(sizeof(BOOL) == 4 && sizeof(BOOLEAN) == 1 && sizeof(HRESULT) == 4);
    CHECK(sizeof(LONG_PTR) == sizeof(void *) && sizeof(DWORD_PTR) == sizeof(void *));
}

static void Memory(void)
{
    Pair pair = {1, 2};
    BYTE ab[8];

    CHECK(FIELD_OFFSET(Pair, lSecond) == 4);
    CHECK(CONTAINING_RECORD(&pair.lSecond, Pair, lSecond) == &pair);
    FillMemory(ab, sizeof(ab), 7);
    CHECK(ab[0] == 7 && ab[7] == 7 && ARRAYSIZE(ab) == 8);
    ZeroMemory(ab, 4);
    CHECK(ab[3] == 0 && ab[4] == 7);
    MoveMemory(ab + 1, ab + 3, 4);
    CHECK(ab[1] == 0 && ab[2] == 7);
    SecureZeroMemory(ab, sizeof(ab));
    CHECK(ab[2] == 0 && ab[7] == 0);
}

static void Interlocked(void)
{
    LONG l = 5;
    LONG volatile lShared = -1;
    PVOID pv = &l, pvOld;

    CHECK(InterlockedIncrement(&l) == 6 && InterlockedDecrement(&l) == 5);
    CHECK(InterlockedIncrement(&lShared) == 0 && InterlockedDecrement(&lShared) == -1);
    CHECK(InterlockedExchange(&l, 9) == 5 && l == 9);
    CHECK(InterlockedExchangeAdd(&l, 3) == 9 && l == 12);
    CHECK(InterlockedCompareExchange(&l, 1, 11) == 12 && l == 12);
    CHECK(InterlockedCompareExchange(&l, 1, 12) == 12 && l == 1);
    pvOld = InterlockedExchangePointer(&pv, NULL);
    CHECK(pvOld == &l && pv == NULL);
    CHECK(InterlockedCompareExchangePointer(&pv, &l, &pv) == NULL && pv == NULL);
    CHECK(InterlockedCompareExchangePointer(&pv, &l, NULL) == NULL && pv == &l);
}

int main(void)
{
    Integers();
    Results();
    Guids();
    Words();
    Memory();
    Interlocked();
    printf("%d failed\n", g_nFailed);
    return g_nFailed != 0;
}
