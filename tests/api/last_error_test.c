/* SPDX-License-Identifier: MIT */
/* GetLastError and SetLastError. Spec 2 (general rules), 4.3 and 7. */
#include "support.h"
#include "workers.h"

Test(last_error, what_is_set_is_got)
{
    const DWORD codes[] = {0, 1, 8, 87, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};

    for (size_t i = 0; i < LENGTH(codes); i++) {
        SetLastError(codes[i]);
        require(GetLastError() == codes[i], "set %u, got %u", codes[i], GetLastError());
    }
}

Test(last_error, getting_it_does_not_change_it)
{
    SetLastError(1234);
    errno = ERRNO_SENTINEL;
    DWORD first = GetLastError(), second = GetLastError();
    require(errno == ERRNO_SENTINEL, "GetLastError changed errno to %d", errno);
    require(first == 1234 && second == 1234, "got %u, then %u", first, second);
}

Test(last_error, libc_errors_do_not_disturb_it)
{
    SetLastError(1234);
    errno = ENOENT;
    require(GetLastError() == 1234, "errno showed through: %u", GetLastError());
}

Test(last_error, errno_is_written_under_compat_windows_only)
{
    errno = ERRNO_SENTINEL;
    SetLastError(77);
    int expected = compat_windows() ? 77 : ERRNO_SENTINEL;
    require(errno == expected, "SetLastError left errno %d, not %d", errno, expected);
}

static const char *use_own_last_error(struct worker *worker)
{
    if (GetLastError() != 0)
        return "a new thread's last error is not 0";
    for (DWORD i = 0; i < 1000; i++) {
        DWORD code = (DWORD)worker->index * 1000 + i;
        SetLastError(code);
        if (GetLastError() != code)
            return "another thread's last error came through";
    }
    return NULL;
}

Test(last_error, every_thread_has_its_own_starting_at_0)
{
    SetLastError(4321);
    run_workers(8, use_own_last_error, NULL);
    require(GetLastError() == 4321, "a thread changed this one's to %u", GetLastError());
}
