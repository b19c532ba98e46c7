/* SPDX-License-Identifier: MIT */
/* GetProcessHeaps when its scratch block cannot be had. */
#include "os/pages.h"

#include "unit.h"

enum { HEAPS = 6 };

/* Until no block of the scratch block's size is left in the process heap. */
static void use_up(size_t bytes)
{
    mole_pages_inject(1, true);
    while (HeapAlloc(GetProcessHeap(), 0, bytes)) {
    }
}

static void expect_failure(const char *mode, int number)
{
    HANDLE handles[HEAPS + 1] = {NULL};

    SetLastError(LAST_ERROR_SENTINEL);
    errno = ERRNO_SENTINEL;
    DWORD count = GetProcessHeaps(HEAPS + 1, handles);
    expect_last_error_and_errno(mode, ERROR_NOT_ENOUGH_MEMORY, number);
    require(count == 0, "%s: %u heaps without memory for the list", mode, count);
    for (size_t i = 0; i < LENGTH(handles); i++)
        require(handles[i] == NULL, "%s: a handle was stored", mode);
}

Test(process_heap, a_list_without_memory_is_an_error_that_says_so)
{
    HANDLE handles[HEAPS + 1];

    stop_passes();
    for (size_t i = 0; i < HEAPS; i++)
        create_heap(0);
    /* An entry is a handle and its age. */
    use_up((HEAPS + 1) * 2 * sizeof(HANDLE));
    expect_failure("compat:documents", ENOMEM);
    require(GetProcessHeaps(0, NULL) == HEAPS + 1, "the mere count needs memory");
    require(mh_configure("compat:windows") == 0, "no compat:windows");
    expect_failure("compat:windows", ERROR_NOT_ENOUGH_MEMORY);
    mole_pages_inject(0, false);
    arm_errors();
    require(GetProcessHeaps(HEAPS + 1, handles) == HEAPS + 1, "it fails for good");
    expect_errors_kept("GetProcessHeaps with memory back");
}
