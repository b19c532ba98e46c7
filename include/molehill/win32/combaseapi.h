/* SPDX-License-Identifier: MIT */
/*
 * The task allocator's functions, and entering COM, which means nothing here: there are
 * no apartments, and the task allocator works without.
 */
#pragma once

#include "../objbase.h"
#include "objidl.h"
#include "winbase.h"

typedef enum tagCOINIT {
    COINIT_MULTITHREADED = 0x0,
    COINIT_APARTMENTTHREADED = 0x2,
    COINIT_DISABLE_OLE1DDE = 0x4,
    COINIT_SPEED_OVER_MEMORY = 0x8
} COINIT;

/* Always S_OK; Windows says S_FALSE when the thread had called it already. */
static inline HRESULT CoInitializeEx(LPVOID reserved, DWORD how)
{
    (void)reserved;
    (void)how;
    return S_OK;
}

static inline HRESULT CoInitialize(LPVOID reserved)
{
    return CoInitializeEx(reserved, COINIT_APARTMENTTHREADED);
}

static inline void CoUninitialize(void)
{
}
