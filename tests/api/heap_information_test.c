/* SPDX-License-Identifier: MIT */
/* HeapSetInformation and HeapQueryInformation. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "information.h"

static void expect_not_set(HANDLE heap, ULONG value, DWORD error)
{
    require(!set(heap, value), "%u was set", value);
    expect_error("HeapSetInformation", error, EINVAL);
}

Test(heap_information, case_064_a_fresh_heap_says_0)
{
    HANDLE heap = create_heap(0);

    expect_value(heap, 0, "a fresh heap");
    expect_value(heap, 0, "asked again");
    destroy_heap(heap);
}

Test(heap_information, case_065_no_heap_is_no_access)
{
    ULONG value = 99;
    SIZE_T length = 0;

    arm_errors();
    require(!HeapQueryInformation(NULL, compatibility, &value, sizeof value, &length),
            "NULL has information");
    expect_error("HeapQueryInformation", ERROR_NOACCESS, EFAULT);
    require(length == 0 && value == 99, "it wrote %zu, %u", length, value);
}

Test(heap_information, case_066_a_short_buffer_tells_the_length)
{
    HANDLE heap = create_heap(0);
    ULONG value = 99;

    for (SIZE_T given = 0; given < 4; given++) {
        SIZE_T length = 0;
        arm_errors();
        require(!HeapQueryInformation(heap, compatibility, given ? &value : NULL, given,
                                      &length),
                "%zu bytes were enough", given);
        expect_error("HeapQueryInformation", ERROR_INSUFFICIENT_BUFFER, EINVAL);
        require(length == 4 && value == 99, "it wrote %zu, %u", length, value);
        arm_errors();
        require(!HeapQueryInformation(heap, compatibility, NULL, given, NULL),
                "%zu bytes were enough", given);
        expect_error("HeapQueryInformation", ERROR_INSUFFICIENT_BUFFER, EINVAL);
    }
    destroy_heap(heap);
}

Test(heap_information, case_067_a_longer_buffer_will_do)
{
    HANDLE heap = create_heap(0);
    unsigned char bytes[9];
    SIZE_T length = 0;

    memset(bytes, 0xCC, sizeof bytes);
    require(HeapQueryInformation(heap, compatibility, bytes + 1, 5, NULL), "5 bytes");
    require(is_all(bytes + 1, 4, 0) && bytes[0] == 0xCC && is_all(bytes + 5, 4, 0xCC),
            "other bytes were written");
    require(HeapQueryInformation(heap, compatibility, bytes, 9, &length), "9 bytes");
    require(length == 4, "ReturnLength is %zu", length);
    destroy_heap(heap);
}

Test(heap_information, case_068_what_was_set_stays)
{
    HANDLE heap = create_heap(0), other = create_heap(0);

    require(set(heap, 0) && set(heap, 1), "what changes nothing was refused");
    expect_value(heap, 0, "after 0 and 1");
    require(set(heap, ACTIVE), "2 was refused: %u", GetLastError());
    expect_errors_kept("HeapSetInformation");
    expect_value(heap, ACTIVE, "after 2");
    expect_not_set(heap, 0, ERROR_GEN_FAILURE);
    expect_not_set(heap, 1, ERROR_GEN_FAILURE);
    expect_value(heap, ACTIVE, "after 0 and 1 were refused");
    require(set(heap, ACTIVE), "2 again was refused: %u", GetLastError());
    expect_value(other, 0, "another heap");
    destroy_heap(heap);
    destroy_heap(other);
    HANDLE later[20]; /* one of them has what the first had of molehill's memory */
    for (size_t i = 0; i < LENGTH(later); i++) {
        later[i] = create_heap(0);
        expect_value(later[i], 0, "a heap after one that said 2");
    }
    for (size_t i = 0; i < LENGTH(later); i++)
        destroy_heap(later[i]);
}

Test(heap_information, case_069_a_heap_without_lock_cannot_be_set)
{
    HANDLE heap = create_heap(HEAP_NO_SERIALIZE);

    expect_not_set(heap, ACTIVE, ERROR_INVALID_PARAMETER);
    expect_value(heap, 0, "after the refusal");
    for (size_t i = 0; i < 100; i++)
        take(heap, 0, 10);
    expect_value(heap, 0, "after 100 allocations");
    destroy_heap(heap);
}

Test(heap_information, a_heap_with_checks_cannot_be_set)
{
    static const DWORD checks[] = {HEAP_TAIL_CHECKING_ENABLED,
                                   HEAP_FREE_CHECKING_ENABLED};

    for (size_t i = 0; i < LENGTH(checks); i++) {
        HANDLE heap = create_heap(checks[i]);
        expect_not_set(heap, ACTIVE, ERROR_GEN_FAILURE);
        for (size_t j = 0; j < 100; j++)
            take(heap, 0, 10);
        expect_value(heap, 0, "after 100 allocations");
        destroy_heap(heap);
    }
}

Test(heap_information, a_heap_of_a_fixed_size_cannot_be_set)
{
    HANDLE heap = HeapCreate(0, 0, MIB);

    require(heap != NULL, "no heap");
    expect_not_set(heap, ACTIVE, ERROR_INVALID_PARAMETER);
    for (size_t i = 0; i < 100; i++)
        take(heap, 0, 10);
    expect_value(heap, 0, "after 100 allocations");
    destroy_heap(heap);
}

Test(heap_information, wrong_buffers_and_handles_are_refused)
{
    ULONG value = ACTIVE;
    HANDLE heap = create_heap(0), gone = create_heap(0);
    destroy_heap(gone);
    HANDLE bad[] = {NULL, gone, &gone, (HANDLE)1, (HANDLE)UINTPTR_MAX};

    for (SIZE_T length = 0; length < 4; length++) {
        arm_errors();
        require(!HeapSetInformation(heap, compatibility, &value, length), "set");
        expect_error("a short one", ERROR_INSUFFICIENT_BUFFER, EINVAL);
    }
    arm_errors();
    require(!HeapSetInformation(heap, compatibility, NULL, 4), "NULL was set");
    expect_error("NULL", ERROR_INVALID_PARAMETER, EINVAL);
    arm_errors();
    require(!HeapQueryInformation(heap, compatibility, NULL, 4, NULL), "NULL was filled");
    expect_error("NULL", ERROR_INVALID_PARAMETER, EINVAL);
    for (size_t i = 0; i < LENGTH(bad); i++) {
        expect_not_set(bad[i], ACTIVE, ERROR_INVALID_HANDLE);
        if (!bad[i])
            continue; /* case 65 */
        arm_errors();
        require(!HeapQueryInformation(bad[i], compatibility, &value, 4, NULL), "queried");
        expect_error("HeapQueryInformation", ERROR_INVALID_HANDLE, EINVAL);
    }
    expect_not_set(heap, 3, ERROR_INVALID_PARAMETER);
    expect_not_set(heap, UINT32_MAX, ERROR_INVALID_PARAMETER);
    expect_value(heap, 0, "after all that");
    destroy_heap(heap);
}

Test(heap_information, case_071_termination_can_be_enabled_twice)
{
    HANDLE heap = create_heap(0);
    ULONG value = 0;

    for (size_t i = 0; i < 3; i++) {
        arm_errors();
        require(HeapSetInformation(i == 2 ? heap : NULL,
                                   HeapEnableTerminationOnCorruption, NULL, 0),
                "call %zu was refused", i);
        expect_errors_kept("HeapSetInformation");
    }
    arm_errors();
    require(!HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, &value, 0),
            "a buffer was taken");
    expect_error("a buffer", ERROR_INVALID_PARAMETER, EINVAL);
    arm_errors();
    require(!HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL, 4),
            "a length was taken");
    expect_error("a length", ERROR_INVALID_PARAMETER, EINVAL);
    arm_errors();
    require(
        !HeapQueryInformation(heap, HeapEnableTerminationOnCorruption, &value, 4, NULL),
        "it can be asked for");
    expect_error("HeapQueryInformation", ERROR_INVALID_PARAMETER, EINVAL);
    destroy_heap(heap);
}

/* In a child process, whose line on stderr is not wanted. */
Test(heap_information, case_071_a_double_free_then_aborts)
{
    HANDLE heap = create_heap(0);
    void *block = take(heap, 0, 100);
    int status = 0;

    fflush(NULL);
    pid_t child = fork();
    require(child >= 0, "the test cannot fork");
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        bool is_good =
            HeapFree(heap, 0, block) && !HeapFree(heap, 0, block) &&
            HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL, 0);
        if (is_good)
            HeapFree(heap, 0, block);
        _exit(is_good ? 1 : 2);
    }
    require(waitpid(child, &status, 0) == child, "waitpid failed");
    require(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", status);
    give_back(heap, block);
    destroy_heap(heap);
}

static void expect_not_optimized(HANDLE heap, void *buffer, SIZE_T length, DWORD error)
{
    arm_errors();
    require(!HeapSetInformation(heap, optimize, buffer, length), "it was taken");
    expect_error("HeapSetInformation", error, EINVAL);
}

Test(heap_information, case_072_resources_are_optimized_by_version_1)
{
    HEAP_OPTIMIZE_RESOURCES_INFORMATION good = {1, 0}, other = {2, 0}, flags = {1, 1};
    HANDLE heap = create_heap(0), without_lock = create_heap(HEAP_NO_SERIALIZE);
    HANDLE handles[] = {NULL, heap, without_lock, GetProcessHeap()};

    for (size_t i = 0; i < LENGTH(handles); i++) {
        arm_errors();
        require(HeapSetInformation(handles[i], optimize, &good, sizeof good), "refused");
        expect_errors_kept("HeapSetInformation");
        expect_not_optimized(handles[i], &other, sizeof other, ERROR_INVALID_PARAMETER);
        expect_not_optimized(handles[i], &flags, sizeof flags, ERROR_INVALID_PARAMETER);
        expect_not_optimized(handles[i], &good, 4, ERROR_INVALID_PARAMETER);
        expect_not_optimized(handles[i], &good, 7, ERROR_INVALID_PARAMETER);
        expect_not_optimized(handles[i], NULL, 8, ERROR_INVALID_PARAMETER);
    }
    require(HeapDestroy(heap) && HeapDestroy(without_lock), "HeapDestroy failed");
    expect_not_optimized(heap, &good, sizeof good, ERROR_INVALID_HANDLE);
}

Test(heap_information, case_073_an_unknown_class_is_refused)
{
    static const int unknown[] = {99, 2, 4, 7, -1, 0x7fffffff};
    HANDLE heap = create_heap(0);
    ULONG value = ACTIVE;
    SIZE_T length = 77;

    for (size_t i = 0; i < LENGTH(unknown); i++) {
        HEAP_INFORMATION_CLASS what = (HEAP_INFORMATION_CLASS)unknown[i];
        arm_errors();
        require(!HeapSetInformation(heap, what, &value, sizeof value), "%d was set",
                unknown[i]);
        expect_error("HeapSetInformation", ERROR_INVALID_PARAMETER, EINVAL);
        arm_errors();
        require(!HeapQueryInformation(heap, what, &value, sizeof value, &length),
                "%d has an answer", unknown[i]);
        expect_error("HeapQueryInformation", ERROR_INVALID_PARAMETER, EINVAL);
        require(length == 77 && value == ACTIVE, "it wrote %zu, %u", length, value);
    }
    destroy_heap(heap);
}
