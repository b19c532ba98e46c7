/* SPDX-License-Identifier: MIT */
/*
 * try_alloc, try_realloc: a call that may raise. `raised` is then the code, else 0, and
 * the last error is not asked for, since Windows promises none. In place of __try, which
 * mingw has not, Windows has a handler that makes the thread go on elsewhere; molehill
 * has MH_TRY.
 */
#pragma once

#include "say.h"

static volatile DWORD raised;

#ifdef _WIN32
static void *place[5];
static volatile BOOL is_trying;

static _Noreturn void go_back(void)
{
    __builtin_longjmp(place, 1);
}

/* The thread goes on in go_back, below all that it has on its stack, as if called. */
static LONG WINAPI on_exception(EXCEPTION_POINTERS *exception)
{
    if (!is_trying)
        return EXCEPTION_CONTINUE_SEARCH;
    is_trying = FALSE;
    raised = exception->ExceptionRecord->ExceptionCode;
    CONTEXT *context = exception->ContextRecord;
    context->Rsp = ((context->Rsp - 256) & ~(DWORD64)15) - 8;
    context->Rip = (DWORD64)(uintptr_t)go_back;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static void begin_raising(void)
{
    AddVectoredExceptionHandler(1, on_exception);
}

#define TRY(...)                            \
    do {                                    \
        raised = 0;                         \
        is_trying = TRUE;                   \
        error_now = SENTINEL;               \
        if (__builtin_setjmp(place) == 0) { \
            CALL(__VA_ARGS__);              \
        }                                   \
        is_trying = FALSE;                  \
    } while (0)
#else
#include <excpt.h>

static void begin_raising(void)
{
}

#define TRY(...)                         \
    do {                                 \
        raised = 0;                      \
        error_now = SENTINEL;            \
        MH_TRY                           \
        {                                \
            CALL(__VA_ARGS__);           \
        }                                \
        MH_EXCEPT                        \
        {                                \
            raised = GetExceptionCode(); \
        }                                \
        MH_END_TRY                       \
    } while (0)
#endif

static __attribute__((noinline)) void *try_alloc(HANDLE heap, DWORD flags, SIZE_T bytes)
{
    void *volatile block = NULL;
    TRY(block = HeapAlloc(heap, flags, bytes));
    return block;
}

static __attribute__((noinline)) void *try_realloc(HANDLE heap, DWORD flags, void *old,
                                                   SIZE_T bytes)
{
    void *volatile block = NULL;
    TRY(block = HeapReAlloc(heap, flags, old, bytes));
    return block;
}

/* Of the last call that could raise. */
static const char *block_or_raised(const void *block)
{
    return raised ? text("raised %08lx", (unsigned long)raised) : block_or_null(block);
}
