/* SPDX-License-Identifier: MIT */
/*
 * A program for Windows: a private heap of words, walked and validated, and what a heap
 * refuses. It knows nothing of molehill.
 */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

#define WORDS 500

typedef struct _WORD_ENTRY {
    struct _WORD_ENTRY *pNext;
    DWORD cchText;
    CHAR szText[ANYSIZE_ARRAY];
} WORD_ENTRY, *PWORD_ENTRY;

static DWORD g_cFailed;

static VOID Check(BOOL fGood, LPCSTR lpszWhat)
{
    if (!fGood)
        g_cFailed++;
    printf("%s %s\n", fGood ? "ok  " : "FAIL", lpszWhat);
}

static PWORD_ENTRY AddWord(HANDLE hHeap, PWORD_ENTRY pHead, DWORD dwNumber)
{
    CHAR szText[32];
    DWORD cch = (DWORD)sprintf(szText, "word %lu", (unsigned long)dwNumber);
    SIZE_T cb = FIELD_OFFSET(WORD_ENTRY, szText) + (cch + 1) * sizeof(CHAR);
    PWORD_ENTRY pNew = (PWORD_ENTRY)HeapAlloc(hHeap, HEAP_ZERO_MEMORY, cb);

    if (pNew == NULL) {
        puts("FAIL HeapAlloc");
        exit(1);
    }
    pNew->pNext = pHead;
    pNew->cchText = cch;
    CopyMemory(pNew->szText, szText, cch + 1);
    return pNew;
}

/* Busy blocks and their bytes, as a walk under lock shows them. */
static BOOL CountBlocks(HANDLE hHeap, LPDWORD lpcBlocks, PULONGLONG pcbBlocks)
{
    PROCESS_HEAP_ENTRY entry;
    BOOL fDone;

    *lpcBlocks = 0;
    *pcbBlocks = 0;
    if (!HeapLock(hHeap))
        return FALSE;
    entry.lpData = NULL;
    while (HeapWalk(hHeap, &entry)) {
        if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) {
            ++*lpcBlocks;
            *pcbBlocks += entry.cbData;
        }
    }
    fDone = GetLastError() == ERROR_NO_MORE_ITEMS;
    return HeapUnlock(hHeap) && fDone;
}

static VOID Words(HANDLE hHeap)
{
    PWORD_ENTRY pHead = NULL, pEntry;
    DWORD dwNumber, cBlocks;
    ULONGLONG cbWalked, cbAsked = 0;
    BOOL fSizes = TRUE;

    for (dwNumber = 0; dwNumber < WORDS; dwNumber++)
        pHead = AddWord(hHeap, pHead, dwNumber);
    for (pEntry = pHead; pEntry != NULL; pEntry = pEntry->pNext) {
        SIZE_T cb = FIELD_OFFSET(WORD_ENTRY, szText) + pEntry->cchText + 1;
        cbAsked += cb;
        fSizes = fSizes && HeapSize(hHeap, 0, pEntry) == cb;
    }
    Check(fSizes, "every block has the size that was asked for");
    Check(CountBlocks(hHeap, &cBlocks, &cbWalked), "the heap can be walked to its end");
    Check(cBlocks == WORDS && cbWalked == cbAsked, "the walk shows every block");
    Check(HeapValidate(hHeap, 0, NULL), "the heap is valid");
    while (pHead != NULL) {
        pEntry = pHead->pNext;
        if (!HeapFree(hHeap, 0, pHead))
            break;
        pHead = pEntry;
    }
    Check(pHead == NULL, "every block can be freed");
    Check(CountBlocks(hHeap, &cBlocks, &cbWalked) && cBlocks == 0, "none is left");
}

static VOID Resizing(HANDLE hHeap)
{
    LPBYTE lpb = (LPBYTE)HeapAlloc(hHeap, 0, 32), lpbNew;
    SIZE_T i;
    BOOL fKept = TRUE, fZero = TRUE;

    if (lpb == NULL)
        return;
    FillMemory(lpb, 32, 0x7A);
    lpbNew = (LPBYTE)HeapReAlloc(hHeap, HEAP_ZERO_MEMORY, lpb, 5000);
    Check(lpbNew != NULL, "a block can grow");
    if (lpbNew == NULL)
        return;
    for (i = 0; i < 5000; i++) {
        fKept = fKept && (i >= 32 || lpbNew[i] == 0x7A);
        fZero = fZero && (i < 32 || lpbNew[i] == 0);
    }
    Check(fKept, "its contents come along");
    Check(fZero, "what is new is zero");
    Check(HeapReAlloc(hHeap, HEAP_REALLOC_IN_PLACE_ONLY, lpbNew, 17) == lpbNew,
          "it can shrink where it is");
    Check(HeapReAlloc(hHeap, 0, lpbNew, (SIZE_T)-1) == NULL &&
              HeapSize(hHeap, 0, lpbNew) == 17,
          "a resize that fails leaves it as it was");
    HeapFree(hHeap, 0, lpbNew);
}

static VOID Refusals(HANDLE hHeap)
{
    HANDLE ahHeaps[64];
    DWORD cHeaps;
    PROCESS_HEAP_ENTRY entry;

    SetLastError(NO_ERROR);
    Check(HeapAlloc(hHeap, 0, ~(SIZE_T)0) == NULL, "a block of all memory is refused");
    printf("     last error %lu\n", (unsigned long)GetLastError());
    Check(HeapFree(hHeap, 0, NULL), "no block can be freed");
    ZeroMemory(&entry, sizeof(entry));
    cHeaps = GetProcessHeaps(ARRAYSIZE(ahHeaps), ahHeaps);
    Check(cHeaps >= 2 && cHeaps <= ARRAYSIZE(ahHeaps),
          "the process has two heaps or more");
    Check(HeapWalk(hHeap, &entry) && (entry.wFlags & PROCESS_HEAP_REGION),
          "a walk begins with a region");
    SetLastError(ERROR_GEN_FAILURE);
    Check(!HeapValidate(hHeap, 0, ahHeaps) && GetLastError() == ERROR_GEN_FAILURE,
          "memory of the stack is no block, and that is no error");
}

int main(void)
{
    HANDLE hHeap = HeapCreate(0, 0x1000, 0);

    C_ASSERT(sizeof(DWORD) == 4 && sizeof(SIZE_T) == sizeof(PVOID));
    if (hHeap == NULL)
        return 1;
    Words(hHeap);
    Resizing(hHeap);
    Refusals(hHeap);
    Check(HeapDestroy(hHeap), "the heap can be destroyed");
    printf("%lu failed\n", (unsigned long)g_cFailed);
    return g_cFailed != 0;
}
