/* SPDX-License-Identifier: MIT */
/*
 * Writing outside of blocks: it may reach other blocks, never the bookkeeping. All memory
 * that heaps take is filled with garbage here, used or not; descriptors, tables and map
 * stay as they were, and the heap works on.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/unit.h"
#include "arena/region.h"
#include "arena/warmth.h"

enum { COUNT = 400, GARBAGE = 0xE7 };

static HANDLE heap;
static void *blocks[COUNT];

static size_t bytes_of(size_t index)
{
    return index % 50 ? index * 61 % 4000 : index * 400 + 20;
}

static char *region(void)
{
    return (char *)mole_map.base; // NOLINT(performance-no-int-to-ptr)
}

/* A heap with blocks of many sizes; every third is free again. */
static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take(heap, 0, bytes_of(i));
    for (size_t i = 0; i < COUNT; i += 3)
        give_back(heap, blocks[i]);
}

/* What was written to the map and to records, in a mapping of its own. */
struct copy {
    const char *of;
    char *bytes;
    size_t size;
};

static struct copy copy_of(const void *start, size_t size)
{
    struct copy copy = {.of = start, .size = size};
    copy.bytes =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(copy.bytes != MAP_FAILED, "no memory for a copy");
    memcpy(copy.bytes, start, size);
    return copy;
}

static struct copy copy_of_part(enum mole_meta_part part)
{
    return copy_of(mole_meta_start(part), mole_meta_committed(part));
}

static void require_same(const struct copy *copy, const char *what)
{
    for (size_t at = 0; at < copy->size; at++)
        require(copy->of[at] == copy->bytes[at], "%s changed at %zu", what, at);
}

Test(overflow, garbage_in_all_pages_of_a_heap_reaches_no_bookkeeping)
{
    begin();
    size_t pages = mole_region_taken() / MOLE_PAGE;
    struct copy record_copy = copy_of_part(MOLE_META_RECORDS);
    struct copy span_copy = copy_of_part(MOLE_META_PAGES);
    struct copy map_copy = copy_of(mole_map.table, pages * sizeof *mole_map.table);
    memset(region(), GARBAGE, pages * MOLE_PAGE);
    require_same(&record_copy, "a record");
    require_same(&span_copy, "a span");
    require_same(&map_copy, "the span map");
    for (size_t i = 0; i < COUNT; i++) {
        SIZE_T bytes = HeapSize(heap, 0, blocks[i]);
        require(bytes == (i % 3 ? bytes_of(i) : FAILED_SIZE), "block %zu has %zu bytes",
                i, bytes);
    }
    require(inside(heap)->home->base == (char *)heap, "the handle names another heap");
}

Test(overflow, garbage_in_all_pages_of_a_heap_stays_where_it_is)
{
    begin();
    size_t taken = mole_region_taken();
    mole_warmth_missed(taken / MOLE_CHUNK); /* or what is given back may be purged */
    memset(region(), GARBAGE, taken);
    for (size_t i = 0; i < COUNT; i++)
        if (i % 3)
            give_back(heap, blocks[i]);
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take(heap, 0, bytes_of(i));
    require(all_distinct(blocks, COUNT), "a block was given twice");
    destroy_heap(heap);
    require(is_all(region(), taken, GARBAGE), "somebody wrote to a block");
}

Test(overflow, the_heap_works_on_after_it)
{
    begin();
    memset(region(), GARBAGE, mole_region_taken());
    for (size_t i = 0; i < COUNT; i += 3)
        require(!HeapFree(heap, 0, blocks[i]), "a free block was freed");
    for (size_t i = 0; i < COUNT; i += 3) {
        blocks[i] = take(heap, HEAP_ZERO_MEMORY, bytes_of(i));
        require(is_all(blocks[i], bytes_of(i), 0), "block %zu is not zero", i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (span_of(blocks[i])->kind == MOLE_SPAN_SLAB)
            mole_span_check(span_of(blocks[i]));
        give_back(heap, blocks[i]);
    }
    require(allocated_bytes(heap) == 0, "%zu bytes are left", allocated_bytes(heap));
    destroy_heap(heap);
}

/* Mapped, and nobody can read or write it. */
static bool is_guard(char *page)
{
    unsigned char resident;
    int ends[2];
    require(pipe(ends) == 0, "no pipe");
    bool is_read =
        write(ends[1], page, 1) == 1 || write(ends[1], page + MOLE_PAGE - 1, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return !is_read && mincore(page, MOLE_PAGE, &resident) == 0;
}

static void require_far(const void *bookkeeping, const char *what)
{
    uintptr_t from = mole_map.base - MOLE_PAGE;
    uintptr_t to = mole_map.base + mole_region_reserved() + MOLE_PAGE;
    uintptr_t at = (uintptr_t)bookkeeping;
    require(at < from || at >= to, "%s is within a page of where blocks are", what);
}

/*
 * Whatever block, and whichever its page: a guard comes before the first and after the
 * last.
 */
Test(overflow, no_bookkeeping_lies_within_a_page_of_any_block)
{
    begin();
    require(is_guard(region() - MOLE_PAGE), "there is no guard before the region");
    require(is_guard(region() + mole_region_reserved()), "there is none behind it");
    for (size_t i = 0; i < COUNT; i++) {
        struct mole_span *span = mole_span_map_find(blocks[i]);
        require_far(span, "a descriptor");
        require_far(&span->entry_a[span->capacity], "a table");
        require_far(span->owner, "a cache");
    }
    require_far(inside(heap), "a heap's record");
    require_far(inside(heap)->home, "a run's record");
    require_far(mole_thread_slots(), "a thread's record");
    require_far(mole_map.table, "the span map");
    require_far(mole_meta_start(MOLE_META_RECORDS), "the first record");
    require_far(mole_meta_start(MOLE_META_RECORDS) + mole_meta_reserved(),
                "the last record");
    require_far(&mole_map, "a variable");
}
