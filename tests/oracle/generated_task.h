/* SPDX-License-Identifier: MIT */
/* The generated program's calls of the task allocator, with a spy and without. */
#pragma once

#include "generated.h"

/* By the interface or by the function. */
static void task_allocate(struct slot *slot)
{
    SIZE_T bytes = chance(60) ? too_large_size() : any_size();
    BOOL by_function = chance(2);
    char *block = by_function ? CoTaskMemAlloc(bytes) : IMalloc_Alloc(task, bytes);
    tell(by_function ? "CoTaskMemAlloc" : "IMalloc::Alloc",
         bytes >> 40 ? "too-large" : "ordinary",
         text("slot %d, %llx", (int)(slot - slots), (unsigned long long)bytes), "%s",
         block_or_null(block));
    if (!block)
        return;
    put(slot, 0, block, bytes);
    slot->is_task = TRUE;
    slot->is_spied = is_spied;
}

static void task_free(struct slot *slot)
{
    BOOL by_function = chance(2);
    const char *place = where(slot), *held = contents(slot->block, slot->bytes);
    if (by_function)
        CoTaskMemFree(slot->block);
    else
        IMalloc_Free(task, slot->block);
    tell(by_function ? "CoTaskMemFree" : "IMalloc::Free", "ordinary", place, "%s", held);
    drop(slot);
}

/* Under a spy not to 0, and not too large: Wine loses count of its blocks. */
static void task_reallocate(struct slot *slot)
{
    SIZE_T bytes = chance(60) ? too_large_size() : chance(60) ? 0 : any_size();
    if (is_spied && (bytes == 0 || bytes >> 40))
        bytes = 1 + pick(1000);
    BOOL by_function = chance(2);
    const char *place = where(slot);
    SIZE_T kept = slot->bytes < bytes ? slot->bytes : bytes;
    char *block = by_function ? CoTaskMemRealloc(slot->block, bytes)
                              : IMalloc_Realloc(task, slot->block, bytes);
    tell(by_function ? "CoTaskMemRealloc" : "IMalloc::Realloc",
         bytes >> 40 ? "too-large"
         : bytes     ? "ordinary"
                     : "to-0",
         text("%s to %llx", place, (unsigned long long)bytes), "%s %s",
         block_or_null(block), block ? contents(block, kept) : "");
    if (bytes == 0)
        drop(slot);
    if (!block)
        return;
    drop(slot);
    put(slot, 0, block, bytes);
    slot->is_task = TRUE;
    slot->is_spied = is_spied;
}

static void task_ask(struct slot *slot)
{
    const char *place = where(slot);
    tell("IMalloc::GetSize", "ordinary", place, "%s",
         size_or_failure(IMalloc_GetSize(task, slot->block)));
    tell("IMalloc::DidAlloc", "ordinary", place, "%d",
         IMalloc_DidAlloc(task, slot->block));
    if (!is_spied)
        tell("HeapSize", "task-block", place, "%s",
             size_or_failure(HeapSize(heaps[0].handle, 0, slot->block)));
}

static void task_ask_others(void)
{
    struct slot *slot = &slots[pick(SLOTS)];
    if (slot->block && slot->heap != 0)
        tell("IMalloc::DidAlloc", "other-heaps", where(slot), "%d",
             IMalloc_DidAlloc(task, slot->block));
    tell("IMalloc::DidAlloc", "foreign", "", "%d",
         IMalloc_DidAlloc(task, elsewhere + ELSEWHERE / 2 + pick(4096)));
    tell("IMalloc::DidAlloc", "null-block", "", "%d", IMalloc_DidAlloc(task, NULL));
    tell("IMalloc::GetSize", "null-block", "", "%s",
         size_or_failure(IMalloc_GetSize(task, NULL)));
    IMalloc_Free(task, NULL);
    CoTaskMemFree(NULL);
    IMalloc *got = NULL;
    DWORD context = pick(6) - 2;
    tell("CoGetMalloc", context == 1 ? "ordinary" : "other-context",
         text("%d", (int)context), "%s %s", hresult(CoGetMalloc(context, &got)),
         got == task ? "the same"
         : got       ? "another"
                     : "NULL");
}

static void meet_spy(void)
{
    enlist(NULL);
    if (enlist(&spy) != S_OK)
        return;
    is_spied = TRUE;
    first_spied = IMalloc_Alloc(task, 16);
    enlist(&spy);
}

/* Sometimes asked to go while it has blocks. It then goes with the last of them. */
static void part_with_spy(void)
{
    if (chance(2))
        dismiss();
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].is_spied)
            task_free(&slots[i]);
    IMalloc_Free(task, first_spied);
    dismiss();
    is_spied = FALSE;
}

static void task_step(struct slot *slot)
{
    if (chance(is_spied ? 500 : 300)) {
        if (is_spied)
            part_with_spy();
        else
            meet_spy();
    } else if (chance(30)) {
        task_ask_others();
    } else if (chance(300)) {
        IMalloc_HeapMinimize(task);
        tell("IMalloc::HeapMinimize", "ordinary", "", "%s", "done");
    } else if (!slot->block) {
        task_allocate(slot);
    } else if (slot->is_task) {
        unsigned what = pick(4);
        if (what == 0)
            task_ask(slot);
        else if (what == 1)
            task_reallocate(slot);
        else
            task_free(slot);
    }
}
