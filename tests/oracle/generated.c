/* SPDX-License-Identifier: MIT */
/*
 * Random calls: generated SEED OPERATIONS. All functions, all flags and sizes, and the
 * wrong inputs that Windows has an answer for.
 */
#include "generated_blocks.h"
#include "generated_task.h"
#include "summary.h"

static void create(int number)
{
    static const DWORD flags[] = {0, 0, 1, 1, 2, 0x10000, 0x40000, 0x100, 0x20080, 0x8};
    struct heap *heap = &heaps[number];
    *heap = (struct heap){.flags = flags[pick(10)]};
    if (chance(3))
        heap->maximum = (SIZE_T)0x80000 << pick(5);
    if (heap->maximum)
        heap->flags &= ~(DWORD)HEAP_GROWABLE; /* Wine's would grow */
    heap->is_walkable = heap->maximum || chance(2);
    SIZE_T initial = heap->maximum       ? pick((unsigned)heap->maximum + 1)
                     : heap->is_walkable ? WALKABLE
                                         : pick(2) * pick(0x80000);
    CALL(heap->handle = HeapCreate(heap->flags, initial, heap->maximum));
    answer("HeapCreate", heap->maximum ? "fixed" : "ordinary",
           text("heap %d, flags %lx, %llx, %llx", number, (unsigned long)heap->flags,
                (unsigned long long)initial, (unsigned long long)heap->maximum),
           "%s %d", heap_or_null(heap->handle), (int)((uintptr_t)heap->handle % 65536));
}

static void destroy(int number)
{
    BOOL gone;
    CALL(gone = HeapDestroy(heaps[number].handle));
    answer("HeapDestroy", number ? "ordinary" : "process-heap", text("heap %d", number),
           "%s", truth(gone));
    if (number == 0)
        return;
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].block && slots[i].heap == number)
            slots[i] = (struct slot){0};
    heaps[number] = (struct heap){0};
}

static void lock(struct heap *heap)
{
    BOOL done;
    const char *question = text("heap %d, depth %d", (int)(heap - heaps), heap->locks);
    if (heap->locks < 3 && chance(2)) {
        CALL(done = HeapLock(heap->handle));
        answer("HeapLock", "ordinary", question, "%s", truth(done));
        heap->locks++;
    } else if (heap->locks > 0) {
        CALL(done = HeapUnlock(heap->handle));
        answer("HeapUnlock", "ordinary", question, "%s", truth(done));
        heap->locks--;
    }
}

static int by_address(const void *left, const void *right)
{
    char *const *a = left, *const *b = right;
    return (*a > *b) - (*a < *b);
}

static void walk(int number)
{
    static char *known[SLOTS];
    size_t count = 0, found = 0, live = 0;
    SIZE_T bytes = 0;
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].block && slots[i].heap == number)
            known[count++] = slots[i].block;
    qsort(known, count, sizeof known[0], by_address);
    PROCESS_HEAP_ENTRY entry;
    memset(&entry, 0xCD, sizeof entry);
    entry.lpData = NULL;
    SetLastError(SENTINEL);
    while (HeapWalk(heaps[number].handle, &entry)) {
        if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY))
            continue;
        char *block = entry.lpData;
        BOOL is_known =
            bsearch(&block, known, count, sizeof known[0], by_address) != NULL;
        found += is_known;
        live++;
        bytes += entry.cbData;
    }
    error_now = GetLastError();
    answer("HeapWalk", "whole", text("heap %d", number),
           "%u blocks, %u of %u, %llu bytes", (unsigned)live, (unsigned)found,
           (unsigned)count, (unsigned long long)bytes);
    say_summary(text("heap %d", number), heaps[number].handle, bytes);
}

/*
 * Wine accepts everything and keeps nothing: what the specification says is in the line.
 */
static void inform(const struct heap *heap)
{
    BOOL done, may = !heap->maximum && !(heap->flags & HEAP_NO_SERIALIZE);
    const char *question = text("heap %d", (int)(heap - heaps));
    ULONG mode = 2;
    SIZE_T needed = 77;
    if (chance(2)) {
        CALL(done = HeapSetInformation(heap->handle, HeapCompatibilityInformation, &mode,
                                       sizeof mode));
        answer("HeapSetInformation", may ? "accepted" : "refused",
               text("%s%s", question, may ? "" : "; spec: FALSE; error 87"), "%s",
               truth(done));
    }
    mode = 77;
    CALL(done = HeapQueryInformation(heap->handle, HeapCompatibilityInformation, &mode,
                                     pick(6), &needed));
    answer("HeapQueryInformation", "length", question, "%s, needs %llu", truth(done),
           (unsigned long long)needed);
    done =
        HeapQueryInformation(heap->handle, HeapCompatibilityInformation, &mode, 4, NULL);
    tell("HeapQueryInformation", may ? "low-fragmentation" : "ordinary", question,
         "%s, mode %lu, not beyond", truth(done), (unsigned long)mode);
}

static void look_at(int number)
{
    HANDLE heap = heaps[number].handle;
    const char *question = text("heap %d", number);
    BOOL done;
    CALL(done = HeapValidate(heap, 0, NULL));
    answer("HeapValidate", "whole", question, "%s", truth(done));
    if (heaps[number].is_walkable)
        walk(number);
    SIZE_T largest;
    CALL(largest = HeapCompact(heap, 0));
    answer("HeapCompact", "heap", question, "%s", largest ? "some bytes" : "0");
    PROCESS_HEAP_ENTRY entry = {.lpData = elsewhere + ELSEWHERE / 2};
    CALL(done = HeapWalk(heap, &entry));
    answer("HeapWalk", "foreign", question, "%s", truth(done));
    CALL(done = HeapWalk(heap, NULL));
    answer("HeapWalk", "null-entry", question, "%s", truth(done));
    DWORD count = GetProcessHeaps(0, NULL), live = 0;
    for (int i = 0; i < HEAPS; i++)
        live += heaps[i].handle != NULL;
    static DWORD others = (DWORD)-1; /* heaps of the system's libraries */
    if (others == (DWORD)-1)
        others = count - live;
    tell("GetProcessHeaps", "count", "", "%d", (int)(count - others));
}

static void errors(void)
{
    static const DWORD values[] = {0, 1, 8, 87, 0xFFFFFFFF};
    DWORD value = values[pick(5)];
    CALL(SetLastError(value));
    answer("SetLastError", "ordinary", text("%lx", (unsigned long)value), "%s", "done");
}

static void heap_step(void)
{
    int number = (int)pick(HEAPS);
    struct heap *heap = &heaps[number];
    unsigned what = pick(100);
    if (!heap->handle)
        create(number);
    else if (what < 60)
        lock(heap);
    else if (what < 70)
        inform(heap);
    else if (what < 85)
        errors();
    else if (what < 95)
        look_at(number);
    else if (number == 0 || chance(2))
        destroy(number);
}

int main(int count, char **arguments)
{
    unsigned long seed = count > 1 ? strtoul(arguments[1], NULL, 0) : 1;
    unsigned long operations = count > 2 ? strtoul(arguments[2], NULL, 0) : 200000;
    random_state = seed * 2 + 1;
    begin_report();
    heaps[0].handle = GetProcessHeap();
    CoGetMalloc(MEMCTX_TASK, &task);
    for (unsigned long i = 0; i < operations; i++) {
        struct slot *slot = &slots[pick(SLOTS)];
        unsigned kind = pick(100);
        if (kind < 80)
            block_step(slot);
        else if (kind < 97)
            task_step(slot);
        else
            heap_step();
    }
    return end_report();
}
