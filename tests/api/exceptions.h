/* SPDX-License-Identifier: MIT */
/*
 * What the tests of exceptions share: a call that may raise one, and what it raised.
 */
#pragma once

#include <molehill/exception.h>

#include "support.h"

static const DWORD no_memory = (DWORD)STATUS_NO_MEMORY;
static const DWORD access_violation = (DWORD)STATUS_ACCESS_VIOLATION;

/* HeapReAlloc of `block`, or HeapAlloc. */
struct call {
    HANDLE heap;
    DWORD flags;
    SIZE_T bytes;
    bool resizes;
    void *block;
    void *result; /* if it returned: what */
};

static inline void *make(const struct call *call)
{
    return call->resizes ? HeapReAlloc(call->heap, call->flags, call->block, call->bytes)
                         : HeapAlloc(call->heap, call->flags, call->bytes);
}

/* The code of the exception that the call raises; 0: it returned. */
static inline DWORD code_of(struct call *call)
{
    volatile DWORD code = 0;

    MH_TRY
    {
        call->result = make(call);
    }
    MH_EXCEPT
    {
        code = GetExceptionCode();
    }
    MH_END_TRY
    return code;
}

/* It raises this, after it has set the last error and errno, in both modes. */
static inline void expect_raise(struct call call, DWORD code, const char *what)
{
    DWORD error = code == no_memory ? ERROR_NOT_ENOUGH_MEMORY : ERROR_NOACCESS;

    arm_errors();
    DWORD raised = code_of(&call);
    int number = errno;
    require(raised == code, "%s: raised %#x, not %#x", what, raised, code);
    errno = number;
    expect_error(what, error, code == no_memory ? ENOMEM : EFAULT);
}

/* It returns NULL and raises nothing. */
static inline void expect_null(struct call call, const char *what)
{
    DWORD raised = code_of(&call);
    require(raised == 0, "%s: raised %#x", what, raised);
    require(!call.result, "%s: succeeded", what);
}

static inline struct call alloc_call(HANDLE heap, DWORD flags, SIZE_T bytes)
{
    return (struct call){.heap = heap, .flags = flags, .bytes = bytes};
}

static inline struct call resize_call(HANDLE heap, DWORD flags, void *block, SIZE_T bytes)
{
    return (struct call){
        .heap = heap, .flags = flags, .bytes = bytes, .resizes = true, .block = block};
}
