/* SPDX-License-Identifier: MIT */
/*
 * Exceptions of the heap functions. HeapAlloc and HeapReAlloc raise one instead of
 * returning NULL when HEAP_GENERATE_EXCEPTIONS is among the flags of the heap or of the
 * call:
 *
 *   STATUS_NO_MEMORY         no memory, or no room where the block is under
 *                            HEAP_REALLOC_IN_PLACE_ONLY; the block is as it was
 *   STATUS_ACCESS_VIOLATION  a bad handle (by the call's flag), a pointer to no live
 *                            block, or NULL for HeapReAlloc
 *
 * The last error is set before, in either mode: ERROR_NOT_ENOUGH_MEMORY or
 * ERROR_NOACCESS. Nothing of molehill's is held then: no lock, no gate, no read side.
 *
 *     MH_TRY {
 *         block = HeapAlloc(heap, HEAP_GENERATE_EXCEPTIONS, bytes);
 *     } MH_EXCEPT {
 *         printf("%x\n", GetExceptionCode());
 *     }
 *     MH_END_TRY
 *
 * Who is asked, in this order: the innermost MH_TRY that the thread is in; the handler
 * of the process; then a line on stderr and abort(), or with `unhandled:return` in
 * MOLEHILL_CONF a plain NULL. In an observer's callback or a method of an IMallocSpy only
 * an MH_TRY in there counts, for what is around it has work under way: without one, that
 * last step is taken at once.
 *
 * The rules are those of setjmp. Variables of the function that the block changes, and
 * the handler reads, must be volatile; what was locked or taken stays so. return, break
 * and goto may leave both blocks. Compiled with -fexceptions, as C++ is, they may be left
 * by a C++ exception and by pthread_exit as well; never by longjmp, nor by switching the
 * stack. In C++ no object with a destructor may be alive between the block and the call
 * that raises; there molehill/exception.hpp is mostly better.
 */
#pragma once

#include <setjmp.h>

#include "molehill.h"
#include "wintypes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One MH_TRY, on the stack. All of it is the library's. */
struct mh_exception_frame {
    struct mh_exception_frame *outer;
    const void *callback;
    unsigned calls;
    unsigned is_open;
    jmp_buf place;
};

/* What MH_TRY is made of. Any thread, and only in this order. */
MH_API void mh_exception_enter(struct mh_exception_frame *frame);
MH_API void mh_exception_leave(struct mh_exception_frame *frame);

/*
 * MH_TRY { ... } MH_EXCEPT { ... } MH_END_TRY is one statement, but must stand in braces
 * of its own behind `if` and the like. The frame goes whichever way the block is left.
 */
#define MH_TRY MH_TRY_NAMED(mh_frame_, __COUNTER__)
#define MH_TRY_NAMED(name, number) MH_TRY_IN(name, number)
#define MH_TRY_IN(name, number) MH_TRY_FRAME(name##number)
#define MH_TRY_FRAME(frame)                                                         \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wpedantic\"") \
    {                                                                               \
        __label__ mh_left;                                                          \
        _Pragma("GCC diagnostic pop") struct mh_exception_frame frame               \
            __attribute__((cleanup(mh_exception_leave)));                           \
        mh_exception_enter(&frame);                                                 \
        if (_setjmp(frame.place) == 0)

#define MH_EXCEPT else

#define MH_END_TRY           \
    mh_left:                 \
    __attribute__((unused)); \
    }

/* In either block, however deep in loops: go on behind MH_END_TRY. */
#define MH_LEAVE goto mh_left

/*
 * The code of the exception that the calling thread raised last.
 *
 *   returns   STATUS_NO_MEMORY or STATUS_ACCESS_VIOLATION, as a DWORD; 0: none yet
 *   errors    none
 *   threads   any; each has its own
 *   progress  wait-free
 *   spec      7
 */
MH_API DWORD WINAPI GetExceptionCode(void) MH_WIN32_SYMBOL(GetExceptionCode);

/* What call it was. Later versions may add fields at the end. */
struct mh_exception_context {
    size_t size; /* of this structure */
    const char *function;
    const void *block; /* HeapReAlloc's; else NULL */
    DWORD flags;       /* of the heap and of the call */
};

/* What a handler returns, if it does. */
enum {
    MH_CONTINUE = 0, /* the call returns NULL */
    MH_UNHANDLED = 1 /* go on as if there were no handler */
};

/*
 * Called on the thread that raises, with the heap's handle (which may be the bad one) and
 * the bytes that were asked for. It may return, longjmp, or throw a C++ exception.
 */
typedef int (*mh_exception_handler_t)(DWORD code, void *heap, size_t size, void *context);

/*
 * Set the process's handler, for exceptions that no MH_TRY catches.
 *
 *   handler  or NULL, for none; `context` is a struct mh_exception_context *
 *   returns  the one before
 *   threads  any; calls under way may still go to the one before
 *   spec     7
 */
MH_API mh_exception_handler_t mh_set_exception_handler(mh_exception_handler_t handler);

#ifdef __cplusplus
}
#endif
