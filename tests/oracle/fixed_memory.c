/* SPDX-License-Identifier: MIT */
/* GlobalAlloc and LocalAlloc of fixed memory, and their kin; _msize. */
#include "say.h"

#include <malloc.h>

/* The same functions twice, under two names. */
struct kin {
    const char *name;
    HANDLE(WINAPI *alloc)(UINT flags, SIZE_T bytes);
    HANDLE(WINAPI *resize)(HANDLE block, SIZE_T bytes, UINT flags);
    HANDLE(WINAPI *free)(HANDLE block);
    SIZE_T(WINAPI *size)(HANDLE block);
    LPVOID(WINAPI *lock)(HANDLE block);
    BOOL(WINAPI *unlock)(HANDLE block);
    UINT(WINAPI *flags)(HANDLE block);
    HANDLE(WINAPI *handle)(LPCVOID block);
};

static const struct kin both[] = {
    {"Global", GlobalAlloc, GlobalReAlloc, GlobalFree, GlobalSize, GlobalLock,
     GlobalUnlock, GlobalFlags, GlobalHandle},
    {"Local", LocalAlloc, LocalReAlloc, LocalFree, LocalSize, LocalLock, LocalUnlock,
     LocalFlags, LocalHandle},
};

static const SIZE_T sizes[] = {1, 15, 16, 27, 1000, 4096, 30721, 500000, 1200000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static const char *call(const struct kin *kin, const char *what)
{
    return text("%s%s", kin->name, what);
}

static void release(const struct kin *kin, HANDLE block)
{
    HANDLE left;
    CALL(left = kin->free(block));
    answer(call(kin, "Free"), block ? "ordinary" : "null-block", "", "%s",
           block_or_null(left));
}

static void say_size(const struct kin *kin, const char *input, HANDLE block)
{
    SIZE_T bytes;
    CALL(bytes = kin->size(block));
    answer(call(kin, "Size"), input, "", "%llu", (unsigned long long)bytes);
}

static void look_at(const struct kin *kin, HANDLE block)
{
    LPVOID locked;
    BOOL unlocked;
    UINT flags;
    CALL(locked = kin->lock(block));
    answer(call(kin, "Lock"), "ordinary", "", "%s",
           locked == block ? "itself" : "another");
    CALL(unlocked = kin->unlock(block));
    answer(call(kin, "Unlock"), "ordinary", "", "%s", truth(unlocked));
    CALL(flags = kin->flags(block));
    answer(call(kin, "Flags"), "ordinary", "", "%x", flags);
    CALL(locked = kin->handle(block));
    answer(call(kin, "Handle"), "ordinary", "", "%s",
           locked == block ? "itself" : "another");
    tell("HeapValidate", "fixed-memory", "", "%s",
         truth(HeapValidate(GetProcessHeap(), 0, block)));
}

static void allocate(const struct kin *kin)
{
    static const UINT flags[] = {GMEM_FIXED, GMEM_ZEROINIT, GMEM_NOCOMPACT, 0x2000};
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < 4; j++) {
            HANDLE block;
            CALL(block = kin->alloc(flags[j], sizes[i]));
            answer(call(kin, "Alloc"), "ordinary",
                   text("flags %x, %d", flags[j], (int)sizes[i]), "%s %d %s",
                   block_or_null(block), (int)((uintptr_t)block % 16),
                   flags[j] == GMEM_ZEROINIT ? zeros_or_not(block, sizes[i]) : "");
            say_size(kin, "ordinary", block);
            look_at(kin, block);
            release(kin, block);
        }
    HANDLE block;
    CALL(block = kin->alloc(GMEM_FIXED, 0));
    answer(call(kin, "Alloc"), "empty", "", "%s", block_or_null(block));
    say_size(kin, "empty", block);
    release(kin, block);
    for (SIZE_T bytes = (SIZE_T)-1; bytes > (SIZE_T)-100; bytes -= 33) {
        CALL(block = kin->alloc(GMEM_FIXED, bytes));
        answer(call(kin, "Alloc"), "too-large", "", "%s", block_or_null(block));
    }
    release(kin, NULL);
}

static void reallocate(const struct kin *kin)
{
    static const UINT flags[] = {GMEM_MOVEABLE, GMEM_MOVEABLE | GMEM_ZEROINIT};
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < 2 * SIZES; j++) {
            SIZE_T from = sizes[i], to = sizes[j / 2], kept = from < to ? from : to;
            UINT how = flags[j % 2];
            char *block = kin->alloc(GMEM_FIXED, from);
            fill(block, from, (uint64_t)j);
            CALL(block = kin->resize(block, to, how));
            answer(call(kin, "ReAlloc"), "ordinary",
                   text("flags %x, %d to %d", how, (int)from, (int)to), "%s %s %s",
                   block_or_null(block), block ? contents(block, kept) : "",
                   how & GMEM_ZEROINIT ? zeros_or_not(block + kept, to - kept) : "");
            say_size(kin, "ordinary", block);
            release(kin, block);
        }
}

static void refuse(const struct kin *kin)
{
    char *block = kin->alloc(GMEM_FIXED, 100), *got;
    fill(block, 100, 3);
    CALL(got = kin->resize(block, (SIZE_T)-1, GMEM_MOVEABLE));
    answer(call(kin, "ReAlloc"), "too-large", "", "%s %s", block_or_null(got),
           contents(block, 100));
    CALL(got = kin->resize(block, 50, 0));
    answer(call(kin, "ReAlloc"), "shrink-in-place", "", "%s %s",
           got == block ? "itself" : "another", contents(block, 50));
    CALL(got = kin->resize(block, 60, GMEM_MODIFY));
    answer(call(kin, "ReAlloc"), "modify", "", "%s", got == block ? "itself" : "another");
    release(kin, block);
}

int main(void)
{
    begin_report();
    for (int i = 0; i < 2; i++) {
        allocate(&both[i]);
        reallocate(&both[i]);
        refuse(&both[i]);
    }
    for (int i = 0; i < SIZES; i++) {
        void *block = malloc(sizes[i]);
        tell("_msize", "ordinary", text("%d", (int)sizes[i]), "%s",
             _msize(block) >= sizes[i] ? "enough" : "too few");
        free(block);
    }
    return end_report();
}
