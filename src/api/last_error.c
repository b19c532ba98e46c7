/* SPDX-License-Identifier: MIT */
#include "api/last_error.h"

#include <errno.h>

#include "base/atom.h"
#include "os/thread.h"
#include "spy/spy.h"

/*
 * is_compat_a: compat:windows.
 *   writers  mh_configure
 *   readers  every failing call
 *   orders   relaxed: meant to be set before the first call
 *   keeps    nothing else
 */
static _Atomic(bool) is_compat_a;

bool mole_last_error_is_compat(void)
{
    return load_rlx(&is_compat_a);
}

void mole_last_error_set_compat(bool is_compat)
{
    store_rlx(&is_compat_a, is_compat);
}

/* The POSIX way of saying it. */
static int errno_of(DWORD code)
{
    switch (code) {
    case ERROR_NOT_ENOUGH_MEMORY:
        return ENOMEM;
    case ERROR_ACCESS_DENIED:
        return EACCES;
    case ERROR_NOACCESS:
        return EFAULT;
    case ERROR_NOT_OWNER:
        return EPERM;
    default:
        return EINVAL;
    }
}

/* The calling thread's last error, or that of the callback it is in. */
static DWORD *last_error(void)
{
    return unlikely(mole_spy_is_in_callback()) ? &mole_thread_callback_error
                                               : &mole_thread_last_error;
}

void mole_last_error_fail(DWORD code)
{
    *last_error() = code;
    errno = mole_last_error_is_compat() ? (int)code : errno_of(code);
}

void mole_last_error_fail_quietly(DWORD code)
{
    if (mole_last_error_is_compat())
        mole_last_error_fail(code);
    else
        errno = errno_of(code);
}

void mole_last_error_clear(void)
{
    *last_error() = NO_ERROR;
    errno = mole_last_error_is_compat() ? 0 : EINVAL;
}

DWORD WINAPI GetLastError(void)
{
    return *last_error();
}

void WINAPI SetLastError(DWORD dwErrCode)
{
    *last_error() = dwErrCode;
    if (mole_last_error_is_compat())
        errno = (int)dwErrCode;
}
