/* SPDX-License-Identifier: MIT */
/*
 * How Win32 functions report failure (spec, general rules): the thread's last error and
 * errno. The documented contract is the default; compat:windows gives what 64-bit Windows
 * does.
 */
#pragma once

#include <molehill/heapapi.h>

#include "base/attr.h"

/* Whether compat:windows is in force. */
bool mole_last_error_is_compat(void);
void mole_last_error_set_compat(bool is_compat);

/* A failure that always sets the last error. */
void mole_last_error_fail(DWORD code);

/*
 * A failure of HeapAlloc, HeapReAlloc or HeapSize: the documents leave the last error
 * alone.
 */
void mole_last_error_fail_quietly(DWORD code);

/*
 * HeapReAlloc of no block: the last error becomes 0, as it does on Windows. errno is
 * EINVAL; under compat:windows it mirrors the 0.
 */
void mole_last_error_clear(void);
