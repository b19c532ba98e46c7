/* SPDX-License-Identifier: MIT */
#include "api/exception.h"

#include <molehill/heapapi.h>

#include "api/last_error.h"
#include "arena/heap.h"
#include "base/check.h"
#include "spy/fast.h"
#include "tcache/thread.h"

/*
 * handler_a: the process's handler.
 *   writers  mh_set_exception_handler
 *   readers  whoever raises
 *   orders   swap acq_rel, load acquire: HB-EXCEPTION-1
 *   keeps    nothing else
 */
static _Atomic(mh_exception_handler_t) handler_a;

/*
 * is_returning_a: unhandled:return.
 *   writers  mh_configure
 *   readers  whoever raises
 *   orders   relaxed: meant to be set before the first call
 *   keeps    nothing else
 */
static _Atomic(bool) is_returning_a;

void mole_exception_set_returning(bool is_returning)
{
    store_rlx(&is_returning_a, is_returning);
}

mh_exception_handler_t mh_set_exception_handler(mh_exception_handler_t handler)
{
    return swap_acq_rel(&handler_a, handler); /* HB-EXCEPTION-1 */
}

/* The codes by number, for a thread has one byte for them. */
enum code { NONE, NO_MEMORY, ACCESS_VIOLATION };

static const struct {
    DWORD status;
    DWORD error;
    const char *name;
} codes[] = {
    [NONE] = {0, NO_ERROR, ""},
    [NO_MEMORY] = {(DWORD)STATUS_NO_MEMORY, ERROR_NOT_ENOUGH_MEMORY, "STATUS_NO_MEMORY"},
    [ACCESS_VIOLATION] = {(DWORD)STATUS_ACCESS_VIOLATION, ERROR_NOACCESS,
                          "STATUS_ACCESS_VIOLATION"},
};

DWORD WINAPI GetExceptionCode(void)
{
    return codes[mole_thread_bits.exception].status;
}

void mh_exception_enter(struct mh_exception_frame *frame)
{
    frame->callback = mole_grace_thread.frames;
    frame->calls = mole_thread_bits.com_calls;
    frame->is_open = true;
    frame->outer = mole_tls.frames;
    mole_tls.frames = frame;
}

/* Nothing is left to do for one that caught something. */
void mh_exception_leave(struct mh_exception_frame *frame)
{
    if (!frame->is_open)
        return;
    frame->is_open = false;
    mole_tls.frames = frame->outer;
}

/* Whether the thread is where it was when it entered the frame, or came, if NULL. */
static bool is_here(const struct mh_exception_frame *frame)
{
    const void *callback = frame ? frame->callback : NULL;
    unsigned calls = frame ? frame->calls : 0;
    return mole_grace_thread.frames == callback && mole_thread_bits.com_calls == calls;
}

static _Noreturn void jump(struct mh_exception_frame *frame)
{
    mh_exception_leave(frame);
    longjmp(frame->place, 1);
}

/* False: nobody caught it, and the handler, if there is one, wants none of it. */
static bool is_handled(const struct mole_failure *failure, DWORD status, DWORD flags)
{
    struct mh_exception_frame *frame = mole_tls.frames;
    if (frame && is_here(frame))
        jump(frame);
    mh_exception_handler_t handler = load_acq(&handler_a); /* HB-EXCEPTION-1 */
    if (!handler || !is_here(NULL))
        return false;
    struct mh_exception_context context = {.size = sizeof context,
                                           .function = failure->function,
                                           .block = failure->block,
                                           .flags = flags};
    return handler(status, failure->handle, failure->bytes, &context) == MH_CONTINUE;
}

static void raise_exception(const struct mole_failure *failure, enum code code,
                            DWORD flags)
{
    mole_last_error_fail(codes[code].error);
    mole_thread_bits.exception = (uint8_t)code;
    if (is_handled(failure, codes[code].status, flags) || load_rlx(&is_returning_a))
        return;
    unsigned long bytes = failure->bytes;
    if (failure->block)
        mole_die("unhandled %s: %s of %lu bytes, heap %p, block %p", codes[code].name,
                 failure->function, bytes, failure->handle, failure->block);
    mole_die("unhandled %s: %s of %lu bytes, heap %p", codes[code].name,
             failure->function, bytes, failure->handle);
}

void *mole_exception_fail(const struct mole_failure *failure, DWORD error)
{
    DWORD flags = failure->flags | (failure->heap ? failure->heap->flags : 0);
    if (flags & HEAP_GENERATE_EXCEPTIONS)
        raise_exception(failure,
                        error == ERROR_NOT_ENOUGH_MEMORY ? NO_MEMORY : ACCESS_VIOLATION,
                        flags);
    else if (error == ERROR_SUCCESS)
        mole_last_error_clear();
    else
        mole_last_error_fail_quietly(error);
    return NULL;
}
