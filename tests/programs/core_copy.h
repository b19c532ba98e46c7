/* SPDX-License-Identifier: MIT */
/* What core_copy.c gives to second_core.c: the functions of its core. */
#pragma once

#include <molehill/wintypes.h>

struct core_copy {
    HANDLE (*process_heap)(void);
    HANDLE (*create)(DWORD flags, SIZE_T initial, SIZE_T most);
    BOOL (*destroy)(HANDLE heap);
    LPVOID (*alloc)(HANDLE heap, DWORD flags, SIZE_T bytes);
    LPVOID (*resize)(HANDLE heap, DWORD flags, LPVOID block, SIZE_T bytes);
    BOOL (*free)(HANDLE heap, DWORD flags, LPVOID block);
    SIZE_T (*size)(HANDLE heap, DWORD flags, LPCVOID block);
    BOOL (*validate)(HANDLE heap, DWORD flags, LPCVOID block);
};
