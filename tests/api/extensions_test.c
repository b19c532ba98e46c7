/* SPDX-License-Identifier: MIT */
/* molehill's own functions: mh_configure, mh_usable_size, mh_stats_get. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "foreign.h"

Test(extensions, configure_refuses_what_it_does_not_know)
{
    const char *const unknown[] = {
        "nonsense",        "nonsense:1",    "compat",         "compat:",
        "compat:linux",    ":windows",      "compat=windows", "COMPAT:windows",
        "compat:windowsX", "compat:window",
    };

    for (size_t i = 0; i < LENGTH(unknown); i++) {
        errno = 0;
        int answer = mh_configure(unknown[i]);
        int errno_now = errno;
        require(answer == -1, "mh_configure accepted \"%s\"", unknown[i]);
        require(errno_now == EINVAL, "\"%s\": errno is %d", unknown[i], errno_now);
    }
}

Test(extensions, configure_refuses_null)
{
    errno = 0;
    int answer = mh_configure(NULL);
    int errno_now = errno;
    require(answer == -1, "mh_configure accepted NULL");
    require(errno_now == EINVAL, "errno is %d, not EINVAL", errno_now);
}

/* The good half of a bad line must not take effect. */
Test(extensions, configure_changes_nothing_when_it_refuses)
{
    require(mh_configure("compat:windows,nonsense:1") == -1, "a bad line was accepted");
    arm_errors();
    void *block = HeapAlloc(GetProcessHeap(), 0, SIZE_MAX);
    expect_compat_error("HeapAlloc of SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    require(block == NULL, "SIZE_MAX bytes were allocated");
}

Test(extensions, configure_compat_windows_acts_as_the_environment_does)
{
    require(mh_configure("compat:windows") == 0, "mh_configure refused compat:windows");
    arm_errors();
    void *block = HeapAlloc(GetProcessHeap(), 0, SIZE_MAX);
    expect_last_error_and_errno("HeapAlloc of SIZE_MAX", ERROR_NOT_ENOUGH_MEMORY,
                                (int)ERROR_NOT_ENOUGH_MEMORY);
    require(block == NULL, "SIZE_MAX bytes were allocated");
}

/* Whether the kernel notes `flag` for the mapping of `at` in /proc/self/smaps. */
static bool is_mapped_with(const void *at, const char *flag)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    require(maps != NULL, "/proc/self/smaps cannot be read");
    char line[512];
    bool is_inside = false, is_found = false;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t first, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &end) == 2)
            is_inside = first <= (uintptr_t)at && (uintptr_t)at < end;
        else if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
            is_found = strstr(line, flag) != NULL;
    }
    fclose(maps);
    return is_found;
}

Test(extensions, blocks_lie_in_huge_pages_only_when_that_is_wanted)
{
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0)
        cr_skip_test("this kernel has no huge pages");
    void *block = take(GetProcessHeap(), 0, 100);
    require(is_mapped_with(block, " nh"), "nobody told the kernel to have none");
    require(mh_configure("huge_pages:maybe") == -1, "huge_pages:maybe was accepted");
    require(mh_configure("huge_pages:on") == 0, "huge_pages:on is not known");
    require(is_mapped_with(block, " hg") && !is_mapped_with(block, " nh"),
            "they are not allowed");
    void *large = take(GetProcessHeap(), 0, 64 * MIB);
    require(is_mapped_with(large, " hg"), "not for what was committed later");
    require(mh_configure("huge_pages:off") == 0, "huge_pages:off is not known");
    require(is_mapped_with(block, " nh") && is_mapped_with(large, " nh"),
            "they are still allowed");
}

HEAP_CASE(extensions, usable_size_is_at_least_the_size_and_not_much_more)
{
    for (size_t bytes = 0; bytes < 5 * MIB; bytes += 1 + bytes / 5) {
        void *block = take(heap, 0, bytes);
        size_t usable = mh_usable_size(heap, block);
        require(usable >= bytes, "%zu bytes occupy %zu", bytes, usable);
        require(usable <= bytes + bytes / 7 + 16 || usable <= bytes + 65536,
                "%zu bytes occupy %zu", bytes, usable);
        require(bytes < 129 || bytes > 32768 || usable <= bytes + bytes / 7 + 16,
                "%zu bytes occupy %zu, an eighth is allowed", bytes, usable);
        give_back(heap, block);
    }
}

HEAP_CASE(extensions, usable_size_of_no_block_is_minus_one)
{
    struct foreign_set set;
    void *freed = take(heap, 0, 40);

    give_back(heap, freed);
    foreign_init(&set, heap);
    for (size_t i = 0; i < FOREIGN_COUNT; i++) {
        const struct foreign *foreign = &set.foreign[i];
        require(mh_usable_size(heap, foreign->pointer) == FAILED_SIZE, "%s has a size",
                foreign->what);
    }
    foreign_finish(&set, heap);
    require(mh_usable_size(heap, freed) == FAILED_SIZE, "a freed block has a size");
    require(mh_usable_size(heap, NULL) == FAILED_SIZE, "NULL has a size");
    require(mh_usable_size(NULL, freed) == FAILED_SIZE, "no heap has a size");
}

Test(extensions, stats_refuse_null_and_a_size_too_small)
{
    struct mh_stats stats = {.size = 0};

    errno = 0;
    int answer = mh_stats_get(NULL), errno_now = errno;
    require(answer == -1 && errno_now == EINVAL, "NULL: %d, errno %d", answer, errno_now);
    errno = 0;
    answer = mh_stats_get(&stats), errno_now = errno;
    require(answer == -1 && errno_now == EINVAL, "size 0: %d, errno %d", answer,
            errno_now);
}

/* A program compiled against an older, shorter structure. */
Test(extensions, stats_write_no_field_past_the_callers_size)
{
    struct mh_stats stats;

    memset(&stats, 0xCD, sizeof(stats));
    stats.size = offsetof(struct mh_stats, refills);
    require(mh_stats_get(&stats) == 0, "a shorter structure was refused");
    require(stats.heaps >= 1 && stats.heaps < 100, "%zu heaps", (size_t)stats.heaps);
    require(
        is_all(&stats.refills, sizeof(stats) - offsetof(struct mh_stats, refills), 0xCD),
        "a field past the caller's size was written");
}

Test(extensions, stats_count_heaps_and_frees)
{
    struct mh_stats before = {.size = sizeof(before)}, after = before;

    require(mh_stats_get(&before) == 0, "mh_stats_get failed");
    HANDLE heap = create_heap(0);
    for (size_t i = 0; i < 1000; i++)
        give_back(heap, take(heap, 0, i));
    require(mh_stats_get(&after) == 0, "mh_stats_get failed");
    require(after.heaps == before.heaps + 1, "the new heap is not counted");
    require(after.frees == before.frees + 1000, "%zu frees were counted, not 1000",
            (size_t)(after.frees - before.frees));
    require(after.reserved_bytes >= after.committed_bytes,
            "more committed than reserved");
    destroy_heap(heap);
}

/* One block of each 64, another of each, and so on: slabs are full for long. */
Test(extensions, stats_lack_a_sixteenth_of_the_frees_at_most)
{
    enum { STEP = 64, PASS = 250, COUNT = STEP * PASS };
    static void *blocks[COUNT];
    struct mh_stats before = {.size = sizeof(before)}, after = before;

    HANDLE heap = create_heap(0);
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take(heap, 0, 16 + i / (COUNT / 8) * 100);
    require(mh_stats_get(&before) == 0, "mh_stats_get failed");
    for (size_t freed = 0; freed < COUNT; freed++) {
        give_back(heap, blocks[freed % PASS * STEP + freed / PASS]);
        if (freed % PASS && freed < COUNT - 1)
            continue;
        require(mh_stats_get(&after) == 0, "mh_stats_get failed");
        size_t counted = (size_t)(after.frees - before.frees);
        require(counted <= freed + 1 && counted + COUNT / 16 >= freed + 1,
                "%zu of %zu frees were counted", counted, freed + 1);
    }
    require(after.frees == before.frees + COUNT, "%zu frees are missing",
            (size_t)(before.frees + COUNT - after.frees));
    destroy_heap(heap);
}
