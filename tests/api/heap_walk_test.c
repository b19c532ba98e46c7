/* SPDX-License-Identifier: MIT */
/* HeapWalk. Spec 1.6, 2.10 and cases 54 to 59. */
#include "callers.h"
#include "walking.h"

#include <stddef.h>
#include <stdio.h>

static_assert(offsetof(PROCESS_HEAP_ENTRY, lpData) == 0 &&
                  offsetof(PROCESS_HEAP_ENTRY, cbData) == 8 &&
                  offsetof(PROCESS_HEAP_ENTRY, cbOverhead) == 12 &&
                  offsetof(PROCESS_HEAP_ENTRY, iRegionIndex) == 13 &&
                  offsetof(PROCESS_HEAP_ENTRY, wFlags) == 14 &&
                  offsetof(PROCESS_HEAP_ENTRY, Block.hMem) == 16 &&
                  offsetof(PROCESS_HEAP_ENTRY, Block.dwReserved) == 24 &&
                  offsetof(PROCESS_HEAP_ENTRY, Region.dwCommittedSize) == 16 &&
                  offsetof(PROCESS_HEAP_ENTRY, Region.dwUnCommittedSize) == 20 &&
                  offsetof(PROCESS_HEAP_ENTRY, Region.lpFirstBlock) == 24 &&
                  offsetof(PROCESS_HEAP_ENTRY, Region.lpLastBlock) == 32 &&
                  sizeof(PROCESS_HEAP_ENTRY) == 40,
              "the layout that Windows programs were compiled for");

/* What a step is expected to do when there is no next entry. */
static void expect_failure(HANDLE heap, PROCESS_HEAP_ENTRY *entry, DWORD code,
                           const char *what)
{
    PROCESS_HEAP_ENTRY before = {0};
    if (entry)
        before = *entry;
    arm_errors();
    BOOL found = HeapWalk(heap, entry);
    expect_error(what, code, EINVAL);
    require(!found, "%s gave an entry", what);
    require(!entry || memcmp(&before, entry, sizeof before) == 0,
            "%s changed the structure", what);
}

HEAP_CASE(heap_walk, case_054_a_walk_begins_with_the_heap_and_ends)
{
    PROCESS_HEAP_ENTRY entry;
    memset(&entry, 0xCD, sizeof entry);
    entry.lpData = NULL;
    arm_errors();
    BOOL found = HeapWalk(heap, &entry);
    expect_errors_kept("HeapWalk");
    require(found, "no first entry");
    require(entry.wFlags == PROCESS_HEAP_REGION, "its flags are %x", entry.wFlags);
    require(entry.lpData == heap, "it is at %p, not %p", entry.lpData, heap);
    require(entry.iRegionIndex == 0 && entry.cbOverhead == 0, "region %u, overhead %u",
            entry.iRegionIndex, entry.cbOverhead);
    require(entry.cbData <= 0x1000, "it has %u bytes", entry.cbData);
    size_t steps = 0;
    while (HeapWalk(heap, &entry))
        require(++steps < 1000, "the walk does not end");
    expect_failure(heap, &entry, ERROR_NO_MORE_ITEMS, "HeapWalk at the end");
}

Test(heap_walk, case_054_the_first_entry_says_how_much_there_is)
{
    HANDLE heap = create_heap(0);
    PROCESS_HEAP_ENTRY entry = {0};
    HEAP_SUMMARY summary = {.cb = sizeof summary};
    for (size_t i = 0; i < 3000; i++)
        take(heap, 0, i);
    require(HeapWalk(heap, &entry) && HeapSummary(heap, 0, &summary), "it failed");
    size_t reserved =
        (size_t)entry.Region.dwCommittedSize + entry.Region.dwUnCommittedSize;
    require(reserved == summary.cbReserved, "%zu bytes, the summary says %zu", reserved,
            summary.cbReserved);
    require(entry.Region.dwCommittedSize >= summary.cbCommitted &&
                entry.Region.dwCommittedSize <= summary.cbCommitted + 0x1000,
            "committed %u, the summary says %zu", entry.Region.dwCommittedSize,
            summary.cbCommitted);
    destroy_heap(heap);
}

Test(heap_walk, case_055_live_blocks_are_shown_with_their_sizes)
{
    HANDLE heap = create_heap(0);
    struct walked walked = {0};
    void *a = take(heap, 0, 123), *b = take(heap, 0, 456);
    walk(heap, &walked);
    require(busy_count(&walked) == 2, "%zu live blocks", busy_count(&walked));
    require(busy_at(&walked, a) && busy_at(&walked, a)->cbData == 123, "not the first");
    require(busy_at(&walked, b) && busy_at(&walked, b)->cbData == 456, "not the second");
    void *none = take(heap, 0, 0);
    walk(heap, &walked);
    require(busy_at(&walked, none) && busy_at(&walked, none)->cbData == 0,
            "not an empty");
    destroy_heap(heap);
}

HEAP_CASE(heap_walk, case_056_large_blocks_come_last)
{
    struct walked walked = {0};
    void *blocks[3];
    for (size_t i = 0; i < 3; i++) {
        blocks[i] = take(heap, 0, 5 * CASE_SIZE);
        take(heap, 0, i * 10000);
    }
    walk(heap, &walked);
    for (size_t i = 0; i < 3; i++) {
        const PROCESS_HEAP_ENTRY *entry = busy_at(&walked, blocks[i]);
        require(entry && entry->cbData == 0x140000, "large block %zu is not shown", i);
        require(entry->iRegionIndex == 64, "it is in region %u", entry->iRegionIndex);
        require((size_t)(entry - walked.entries) >= walked.count - 3,
                "entry %td of %zu is a large block", entry - walked.entries,
                walked.count);
    }
    for (size_t i = 0; i < walked.count - 3; i++)
        require(walked.entries[i].iRegionIndex == 0, "entry %zu is in region %u", i,
                walked.entries[i].iRegionIndex);
}

HEAP_CASE(heap_walk, case_057_freed_blocks_are_gone)
{
    struct walked before = {0}, walked = {0};
    walk(heap, &before);
    void *a = take(heap, 0, 123), *b = take(heap, 0, 456), *c = take(heap, 0, MIB);
    give_back(heap, a);
    give_back(heap, b);
    give_back(heap, c);
    walk(heap, &walked);
    require(busy_count(&walked) == busy_count(&before), "%zu live blocks, were %zu",
            busy_count(&walked), busy_count(&before));
    require(!busy_at(&walked, a) && !busy_at(&walked, b) && !busy_at(&walked, c),
            "a freed block is shown");
}

/* Some of all there is: live, freed, large, resized. */
static void use_heap(HANDLE heap)
{
    void *blocks[600];
    for (size_t i = 0; i < LENGTH(blocks); i++)
        blocks[i] = take(heap, 0, i % 100 ? i * 7 : i * 700);
    for (size_t i = 0; i < LENGTH(blocks); i += 3)
        give_back(heap, blocks[i]);
    for (size_t i = 1; i < LENGTH(blocks); i += 6)
        require(HeapReAlloc(heap, 0, blocks[i], i * 9), "HeapReAlloc failed");
}

HEAP_CASE(heap_walk, case_058_live_blocks_validate_and_nothing_else)
{
    struct walked walked = {0};
    size_t free_entries = 0;
    use_heap(heap);
    walk(heap, &walked);
    for (size_t i = 0; i < walked.count; i++) {
        const PROCESS_HEAP_ENTRY *entry = &walked.entries[i];
        require(HeapValidate(heap, 0, entry->lpData) == is_busy(entry),
                "entry %zu with flags %x", i, entry->wFlags);
        require(!is_busy(entry) || HeapSize(heap, 0, entry->lpData) == entry->cbData,
                "entry %zu has %u bytes", i, entry->cbData);
        free_entries += entry->wFlags == 0 && entry->cbData > 0;
    }
    require(free_entries > 0, "no free block is shown");
}

Test(heap_walk, case_059_no_structure_and_no_entry_are_refused)
{
    HANDLE heap = create_heap(0), other = create_heap(0);
    char *block = take(heap, 0, 100), *large = take(heap, 0, MIB);
    char *freed = take(heap, 0, MIB);
    static char ours[64];
    void *wrong[] = {(void *)1,
                     (void *)0xdeadbe00,
                     ours,
                     block + 16,
                     block + 1,
                     large + 1,
                     large + 4096,
                     take(other, 0, 9),
                     other,
                     (char *)heap + 1,
                     (void *)-4096,
                     take(other, 0, MIB),
                     (char *)heap + 64,
                     freed,
                     &heap,
                     (char *)other + 0x8000};
    give_back(heap, freed);
    expect_failure(heap, NULL, ERROR_INVALID_PARAMETER, "HeapWalk into NULL");
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        PROCESS_HEAP_ENTRY entry = {.lpData = wrong[i], .wFlags = 4};
        char what[40];
        snprintf(what, sizeof what, "HeapWalk from %zu, %p", i, wrong[i]);
        expect_failure(heap, &entry, ERROR_INVALID_PARAMETER, what);
    }
    destroy_heap(other);
    PROCESS_HEAP_ENTRY entry = {0};
    expect_failure(other, &entry, ERROR_INVALID_HANDLE, "HeapWalk of a dead heap");
    expect_failure(NULL, &entry, ERROR_INVALID_HANDLE, "HeapWalk of no heap");
    destroy_heap(heap);
}

Test(heap_walk, entries_lie_side_by_side)
{
    HANDLE heap = create_heap(0);
    struct walked walked = {0};
    use_heap(heap);
    walk(heap, &walked);
    PROCESS_HEAP_ENTRY first = walked.entries[0];
    for (size_t i = 1; i < walked.count; i++) {
        const char *at = walked.entries[i].lpData;
        require(walked.entries[i].iRegionIndex == 64 ||
                    (at >= (char *)first.Region.lpFirstBlock &&
                     at + walked.entries[i].cbData <= (char *)first.Region.lpLastBlock),
                "entry %zu lies outside of the region", i);
    }
    sort_entries(&walked);
    for (size_t i = 1; i < walked.count; i++) {
        const PROCESS_HEAP_ENTRY *lower = &walked.entries[i - 1];
        require((char *)lower->lpData + lower->cbData <=
                        (char *)walked.entries[i].lpData &&
                    lower->lpData != walked.entries[i].lpData,
                "entries %zu and the one before overlap", i);
    }
    destroy_heap(heap);
}

Test(heap_walk, only_the_address_is_read)
{
    HANDLE heap = create_heap(0);
    struct walked walked = {0};
    use_heap(heap);
    walk(heap, &walked);
    for (size_t i = 0; i + 1 < walked.count; i++) {
        PROCESS_HEAP_ENTRY entry;
        memset(&entry, 0xCD, sizeof entry);
        entry.lpData = walked.entries[i].lpData;
        require(HeapWalk(heap, &entry), "no entry after entry %zu", i);
        require(memcmp(&entry, &walked.entries[i + 1], sizeof entry) == 0,
                "entry %zu depends on more", i + 1);
    }
    destroy_heap(heap);
}

/* While the walk stands on a live block, its way on is there. */
Test(heap_walk, other_blocks_may_be_freed_on_the_way)
{
    HANDLE heap = create_heap(0);
    PROCESS_HEAP_ENTRY entry = {0};
    void *last = NULL;
    use_heap(heap);
    require(HeapLock(heap), "HeapLock failed");
    while (HeapWalk(heap, &entry)) {
        if (!is_busy(&entry))
            continue;
        HeapFree(heap, 0, last);
        last = entry.lpData;
    }
    require(GetLastError() == ERROR_NO_MORE_ITEMS, "the last error is %u",
            GetLastError());
    HeapFree(heap, 0, last);
    require(HeapUnlock(heap), "HeapUnlock failed");
    require(allocated_bytes(heap) == 0, "%zu bytes are left", allocated_bytes(heap));
    destroy_heap(heap);
}

static bool walk_a_step(struct caller *caller)
{
    PROCESS_HEAP_ENTRY entry = {0};
    return HeapWalk(caller->heap, &entry);
}

HEAP_CASE(heap_walk, case_075_a_locked_heap_blocks_a_walk)
{
    expect_to_wait(heap, walk_a_step, NULL);
}

HEAP_CASE(heap_walk, case_078_the_owner_walks)
{
    struct walked walked = {0};
    void *block = take(heap, 0, 77);
    lock(heap);
    lock(heap);
    walk(heap, &walked);
    require(busy_at(&walked, block), "the block is not shown");
    unlock(heap);
    walk(heap, &walked);
    require(busy_at(&walked, block), "the block is not shown once more");
    unlock(heap);
}
