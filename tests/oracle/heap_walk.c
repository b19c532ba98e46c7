/* SPDX-License-Identifier: MIT */
/*
 * HeapWalk and HeapSummary: the live blocks, exactly. What else a walk tells is layout,
 * of which only the order and the flags are the contract.
 */
#include "summary.h"

enum { BLOCKS = 4000 };

struct live {
    char *block;
    SIZE_T bytes;
};

static struct live lives[BLOCKS];
static int live_count;

struct seen {
    unsigned entries, live, known, exact, valid, large_before_others, invalid_others;
    SIZE_T bytes;
    BOOL first_is_region, first_is_heap, first_index_is_0;
};

static int by_address(const void *left, const void *right)
{
    const struct live *a = left, *b = right;
    return (a->block > b->block) - (a->block < b->block);
}

static void look(HANDLE heap, const PROCESS_HEAP_ENTRY *entry, struct seen *seen)
{
    if (seen->entries++ == 0) {
        seen->first_is_region = entry->wFlags == PROCESS_HEAP_REGION;
        seen->first_is_heap = entry->lpData == heap;
        seen->first_index_is_0 = entry->iRegionIndex == 0;
    }
    BOOL valid = HeapValidate(heap, 0, entry->lpData);
    if (!(entry->wFlags & PROCESS_HEAP_ENTRY_BUSY)) {
        seen->invalid_others += !valid;
        return;
    }
    struct live key = {entry->lpData, 0};
    struct live *found =
        bsearch(&key, lives, (size_t)live_count, sizeof lives[0], by_address);
    seen->live++;
    seen->valid += valid != 0;
    seen->known += found != NULL;
    seen->exact += found && found->bytes == entry->cbData;
    seen->bytes += entry->cbData;
}

static struct seen walk(const char *what, HANDLE heap)
{
    struct seen seen = {0};
    PROCESS_HEAP_ENTRY entry;
    memset(&entry, 0xCD, sizeof entry);
    entry.lpData = NULL;
    qsort(lives, (size_t)live_count, sizeof lives[0], by_address);
    SetLastError(SENTINEL);
    while (HeapWalk(heap, &entry))
        look(heap, &entry, &seen);
    error_now = GetLastError();
    answer("HeapWalk", "whole", what,
           "%u live, %u known, %u exact, %u valid, %llu bytes, %d others valid",
           seen.live, seen.known, seen.exact, seen.valid, (unsigned long long)seen.bytes,
           (int)(seen.entries - seen.live - seen.invalid_others));
    tell("HeapWalk", "first", what, "%s %s", truth(seen.first_is_region),
         truth(seen.first_index_is_0));
    return seen;
}

static struct seen both(const char *what, HANDLE heap)
{
    struct seen seen = walk(what, heap);
    say_summary(what, heap, seen.bytes);
    return seen;
}

static void keep(HANDLE heap, SIZE_T bytes)
{
    char *block = HeapAlloc(heap, 0, bytes);
    fill(block, bytes, bytes);
    lives[live_count++] = (struct live){block, bytes};
}

static uint64_t state;

static unsigned pick(unsigned below)
{
    state = state * 0x5851F42D4C957F2Du + 0x14057B7EF767814Fu;
    return (unsigned)(state >> 33) % below;
}

static SIZE_T any_size(void)
{
    static const unsigned below[] = {64, 600, 5000, 40000, 300000};
    unsigned kind = pick(100);
    return pick(below[kind < 50 ? 0 : kind < 80 ? 1 : kind < 95 ? 2 : kind < 99 ? 3 : 4]);
}

static void few(DWORD flags)
{
    HANDLE heap = HeapCreate(flags, 0, 0);
    live_count = 0;
    struct seen seen = both("nothing", heap);
    tell("HeapWalk", "first", "new heap", "%s", truth(seen.first_is_heap));
    keep(heap, 123);
    keep(heap, 456);
    both("two", heap);
    keep(heap, 0);
    keep(heap, 27);
    both("four", heap);
    keep(heap, 0x140000);
    both("a large one", heap);
    for (int i = 0; i < live_count; i++)
        HeapFree(heap, 0, lives[i].block);
    live_count = 0;
    both("nothing again", heap);
    HeapDestroy(heap);
}

/*
 * Blocks come, go and change their size between walks. The heap begins with room for all:
 * where it grows Wine may walk in a circle, for it takes the end of one region for the
 * start of another if they touch.
 */
static void many(DWORD flags)
{
    static struct live slots[BLOCKS];
    HANDLE heap = HeapCreate(flags, 64 << 20, 0);
    memset(slots, 0, sizeof slots);
    for (int step = 0; step < 12 * BLOCKS; step++) {
        struct live *slot = &slots[pick(BLOCKS)];
        SIZE_T bytes = any_size();
        if (!slot->block)
            *slot = (struct live){HeapAlloc(heap, 0, bytes), bytes};
        else if (pick(2))
            *slot = (struct live){HeapReAlloc(heap, 0, slot->block, bytes), bytes};
        else if (HeapFree(heap, 0, slot->block))
            slot->block = NULL;
        if (step % BLOCKS != BLOCKS - 1)
            continue;
        live_count = 0;
        for (int i = 0; i < BLOCKS; i++)
            if (slots[i].block)
                lives[live_count++] = slots[i];
        both(text("step %d", step), heap);
    }
    HeapDestroy(heap);
}

static void refuse(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    char *block = HeapAlloc(heap, 0, 100);
    PROCESS_HEAP_ENTRY entry = {0};
    BOOL more;
    CALL(more = HeapWalk(heap, NULL));
    answer("HeapWalk", "null-entry", "", "%s", truth(more));
    entry.lpData = (void *)1;
    CALL(more = HeapWalk(heap, &entry));
    answer("HeapWalk", "foreign", "1", "%s", truth(more));
    entry.lpData = &entry;
    CALL(more = HeapWalk(heap, &entry));
    answer("HeapWalk", "foreign", "of the stack", "%s", truth(more));
    entry.lpData = NULL;
    CALL(more = HeapWalk(NULL, &entry));
    answer("HeapWalk", "null-heap", "", "%s", truth(more));
    entry.lpData = NULL;
    HeapLock(heap);
    CALL(more = HeapWalk(heap, &entry));
    answer("HeapWalk", "locked", "", "%s", truth(more));
    HeapUnlock(heap);
    HeapFree(heap, 0, block);
    HeapDestroy(heap);
}

int main(void)
{
    begin_report();
    few(0);
    few(HEAP_NO_SERIALIZE);
    state = 1;
    many(0);
    many(HEAP_NO_SERIALIZE);
    refuse();
    return end_report();
}
