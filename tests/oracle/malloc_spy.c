/* SPDX-License-Identifier: MIT */
/*
 * CoRegisterMallocSpy, CoRevokeMallocSpy, and what a pass-through spy hears. Not asked,
 * for Wine 8 loses count of its blocks, or dies (spec C-15, C-22): Realloc of NULL, to 0
 * and too large under a spy, a forced failure of it, spies that change sizes or pointers,
 * and any question before the first block is spied.
 */
#include "spy.h"

static struct spy spy = {.base = {&spy_methods}}, other = {.base = {&spy_methods}};
static IMalloc *task;

static void say_references(void)
{
    tell("IMallocSpy::Release", "references", "", "%ld %ld", (long)spy.references,
         (long)other.references);
}

static void enlist_and_dismiss(void)
{
    enlist(NULL);
    dismiss();
    enlist(&spy);
    enlist(&spy);
    enlist(&other);
    enlist(NULL);
    say_references();
    dismiss();
    dismiss();
    say_references();
    enlist(&other);
    dismiss();
    say_references();
}

static char *allocate(SIZE_T bytes)
{
    char *block = IMalloc_Alloc(task, bytes);
    tell("IMalloc::Alloc", "spied", text("%d", (int)bytes), "%s", block_or_null(block));
    fill(block, bytes, bytes);
    return block;
}

static void ask_about(const char *input, void *block)
{
    tell("IMalloc::GetSize", input, "", "%s",
         size_or_failure(IMalloc_GetSize(task, block)));
    tell("IMalloc::DidAlloc", input, "", "%d", IMalloc_DidAlloc(task, block));
}

static char *resize(const char *input, char *block, SIZE_T from, SIZE_T to)
{
    block = IMalloc_Realloc(task, block, to);
    tell("IMalloc::Realloc", input, text("%d to %d", (int)from, (int)to), "%s %s",
         block_or_null(block), block ? contents(block, from < to ? from : to) : "");
    return block;
}

static void release(const char *input, void *block)
{
    IMalloc_Free(task, block);
    tell("IMalloc::Free", input, "", "%s", "done");
}

static void spied_blocks(void)
{
    static const SIZE_T sizes[] = {0, 1, 27, 100, 4096, 30721, 500000, 1200000};
    enlist(&spy);
    char *first = allocate(16);
    for (int i = 0; i < 8; i++)
        for (int j = 1; j < 8; j++) {
            char *block = allocate(sizes[i]);
            ask_about("spied", block);
            block = resize("spied", block, sizes[i], sizes[j]);
            ask_about("spied", block);
            release("spied", block);
        }
    void *block = CoTaskMemAlloc(50);
    tell("CoTaskMemAlloc", "spied", "", "%s", block_or_null(block));
    block = CoTaskMemRealloc(block, 70);
    tell("CoTaskMemRealloc", "spied", "", "%s", block_or_null(block));
    ask_about("spied", block);
    CoTaskMemFree(block);
    tell("CoTaskMemFree", "spied", "", "%s", "done");
    IMalloc_HeapMinimize(task);
    tell("IMalloc::HeapMinimize", "spied", "", "%s", "done");
    release("spied", first);
    dismiss();
}

static void blocks_from_before(void)
{
    char *before = IMalloc_Alloc(task, 100), *others = IMalloc_Alloc(task, 200);
    HANDLE heap = HeapCreate(0, 0, 0);
    fill(before, 100, 5);
    enlist(&spy);
    char *first = allocate(16);
    ask_about("unspied", before);
    ask_about("unspied", others);
    release("unspied", others);
    char *foreign = HeapAlloc(heap, HEAP_ZERO_MEMORY, 100);
    tell("IMalloc::DidAlloc", "other-heaps", "", "%d", IMalloc_DidAlloc(task, foreign));
    before = resize("unspied", before, 100, 300);
    ask_about("spied", before);
    fill(before, 300, 6);
    before = resize("spied", before, 300, 200);
    release("spied", before);
    unsigned long long calls = spy.calls;
    release("null-block", NULL);
    CoTaskMemFree(NULL);
    tell("IMalloc::GetSize", "null-block", "", "%s",
         size_or_failure(IMalloc_GetSize(task, NULL)));
    tell("IMalloc::DidAlloc", "null-block", "", "%d", IMalloc_DidAlloc(task, NULL));
    HeapFree(GetProcessHeap(), 0, HeapAlloc(GetProcessHeap(), 0, 10));
    tell("IMallocSpy", "silent", "", "%llu calls", spy.calls - calls);
    release("spied", first);
    dismiss();
    HeapDestroy(heap);
}

static void refused(void)
{
    enlist(&spy);
    char *first = allocate(16);
    spy.refuses = TRUE;
    void *block = IMalloc_Alloc(task, 100);
    tell("IMalloc::Alloc", "refused", "", "%s", block_or_null(block));
    block = CoTaskMemAlloc(100);
    tell("CoTaskMemAlloc", "refused", "", "%s", block_or_null(block));
    spy.refuses = FALSE;
    block = IMalloc_Alloc(task, (SIZE_T)-1);
    tell("IMalloc::Alloc", "too-large", "", "%s", block_or_null(block));
    release("spied", first);
    dismiss();
}

static void pending(void)
{
    enlist(&spy);
    char *one = allocate(16), *two = allocate(32);
    dismiss();
    enlist(&other);
    dismiss();
    char *three = allocate(64);
    release("spied", one);
    say_references();
    two = resize("spied", two, 32, 320);
    release("spied", two);
    say_references();
    release("spied", three);
    say_references();
    dismiss();
    enlist(&other);
    dismiss();
    say_references();
}

int main(void)
{
    begin_report();
    CoGetMalloc(MEMCTX_TASK, &task);
    enlist_and_dismiss();
    spied_blocks();
    blocks_from_before();
    refused();
    pending();
    return end_report();
}
