/* SPDX-License-Identifier: MIT */
/*
 * How HeapAlloc and HeapReAlloc fail: by NULL and an error, or by raising an exception
 * (molehill/exception.h).
 *
 * The caller holds nothing and is in no operation: what a frame jumps away from, or a
 * handler throws through, is never returned to. Calls of foreign code from the middle of
 * something (observers' callbacks, COM spies' methods) are known by the thread's
 * mole_grace_thread.frames and com_calls: a frame catches only if both are as they were
 * when it was entered.
 *
 *  label           release side             acquire side   makes visible
 *  HB-EXCEPTION-1  set: swap of handler_a   raise: load    what its maker wrote
 */
#pragma once

#include <molehill/exception.h>

#include "base/attr.h"

struct mole_heap;

/* A call that fails. */
struct mole_failure {
    const char *function;
    HANDLE handle;
    const struct mole_heap *heap; /* NULL: the handle is bad */
    DWORD flags;                  /* the call's */
    const void *block;
    SIZE_T bytes;
};

/*
 * Fail with this error: ERROR_NOT_ENOUGH_MEMORY, ERROR_INVALID_HANDLE or
 * ERROR_INVALID_PARAMETER, or ERROR_SUCCESS for HeapReAlloc of no block. If the flags ask
 * for an exception it is raised, STATUS_NO_MEMORY for the first and else
 * STATUS_ACCESS_VIOLATION. Returns NULL, if it does.
 */
mole_slow void *mole_exception_fail(const struct mole_failure *failure, DWORD error);

/* unhandled:return */
void mole_exception_set_returning(bool is_returning);
