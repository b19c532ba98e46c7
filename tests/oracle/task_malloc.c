/* SPDX-License-Identifier: MIT */
/* CoGetMalloc, the methods of IMalloc, and CoTaskMem*; no spy. */
#define COBJMACROS
#include "say.h"

static const SIZE_T sizes[] = {0,    1,    2,     15,    16,    17,     27,     100,
                               4096, 5000, 30720, 30721, 65536, 500000, 1200000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static IMalloc *task;

static void get(void)
{
    static const DWORD contexts[] = {0, 2, 3, 4, (DWORD)-1, (DWORD)-2};
    IMalloc *got = (IMalloc *)&got;
    for (unsigned i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        got = (IMalloc *)&got;
        HRESULT result;
        CALL(result = CoGetMalloc(contexts[i], &got));
        answer("CoGetMalloc", "other-context", text("%ld", (long)(int32_t)contexts[i]),
               "%s %s", hresult(result), got ? "something" : "NULL");
    }
    HRESULT result;
    CALL(result = CoGetMalloc(MEMCTX_TASK, &task));
    answer("CoGetMalloc", "ordinary", "", "%s %s", hresult(result),
           task ? "something" : "NULL");
    result = CoGetMalloc(MEMCTX_TASK, &got);
    tell("CoGetMalloc", "ordinary", "again", "%s", got == task ? "the same" : "another");
    tell("IMalloc::AddRef", "ordinary", "", "%s", IMalloc_AddRef(task) ? "some" : "0");
    tell("IMalloc::Release", "ordinary", "", "%s", IMalloc_Release(task) ? "some" : "0");
}

static void query(const char *input, const char *what, const IID *iid)
{
    void *got = &got;
    HRESULT result = IMalloc_QueryInterface(task, iid, &got);
    tell("IMalloc::QueryInterface", input, what, "%s %s", hresult(result),
         got == task ? "itself"
         : got       ? "another"
                     : "NULL");
}

static void say_all_of(const char *input, void *block)
{
    SIZE_T bytes = IMalloc_GetSize(task, block);
    tell("IMalloc::GetSize", input, "", "%s", size_or_failure(bytes));
    tell("IMalloc::DidAlloc", input, "", "%d", IMalloc_DidAlloc(task, block));
}

static void allocate(void)
{
    for (int i = 0; i < SIZES; i++) {
        void *block;
        CALL(block = IMalloc_Alloc(task, sizes[i]));
        answer("IMalloc::Alloc", "ordinary", text("%d", (int)sizes[i]), "%s",
               block_or_null(block));
        say_all_of("ordinary", block);
        tell("HeapSize", "task-block", "", "%s",
             size_or_failure(HeapSize(GetProcessHeap(), 0, block)));
        tell("HeapValidate", "task-block", "", "%s",
             truth(HeapValidate(GetProcessHeap(), 0, block)));
        CALL(IMalloc_Free(task, block));
        answer("IMalloc::Free", "ordinary", "", "%s", "done");
        tell("IMalloc::DidAlloc", "freed", "", "%d", IMalloc_DidAlloc(task, block));
        CALL(block = CoTaskMemAlloc(sizes[i]));
        answer("CoTaskMemAlloc", "ordinary", text("%d", (int)sizes[i]), "%s",
               block_or_null(block));
        say_all_of("ordinary", block);
        CALL(CoTaskMemFree(block));
        answer("CoTaskMemFree", "ordinary", "", "%s", "done");
    }
}

static void reallocate(int by_interface)
{
    const char *call = by_interface ? "IMalloc::Realloc" : "CoTaskMemRealloc";
    for (int i = -1; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++) {
            SIZE_T from = i < 0 ? 0 : sizes[i], to = sizes[j];
            char *block = i < 0 ? NULL : IMalloc_Alloc(task, from), *old = block;
            SIZE_T kept = from < to ? from : to;
            fill(block, from, (uint64_t)j);
            CALL(block = by_interface ? IMalloc_Realloc(task, block, to)
                                      : CoTaskMemRealloc(block, to));
            answer(call, i < 0 ? "null-block" : "ordinary",
                   text("%d to %d", i < 0 ? -1 : (int)from, (int)to), "%s %s",
                   block_or_null(block), block ? contents(block, kept) : "");
            if (!block && old)
                tell("IMalloc::DidAlloc", "freed", "", "%d", IMalloc_DidAlloc(task, old));
            else
                say_all_of("reallocated", block);
            IMalloc_Free(task, block);
        }
}

static void refuse(void)
{
    static const SIZE_T too_large[] = {(SIZE_T)-1, (SIZE_T)-16, (SIZE_T)1 << 62};
    for (int i = 0; i < 3; i++) {
        void *block = IMalloc_Alloc(task, too_large[i]);
        tell("IMalloc::Alloc", "too-large", "", "%s", block_or_null(block));
        tell("CoTaskMemAlloc", "too-large", "", "%s",
             block_or_null(CoTaskMemAlloc(too_large[i])));
        block = IMalloc_Alloc(task, 27);
        fill(block, 27, 9);
        tell("IMalloc::Realloc", "too-large", "", "%s",
             block_or_null(IMalloc_Realloc(task, block, too_large[i])));
        tell("CoTaskMemRealloc", "too-large", "", "%s",
             block_or_null(CoTaskMemRealloc(block, too_large[i])));
        tell("IMalloc::Realloc", "too-large", "contents", "%s", contents(block, 27));
        say_all_of("ordinary", block);
        CoTaskMemFree(block);
    }
}

static void judge_pointers(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    char *block = IMalloc_Alloc(task, 1000), *others = HeapAlloc(heap, 0, 1000);
    char *processes = HeapAlloc(GetProcessHeap(), 0, 50);
    int here = 0;
    memset(block, 0, 1000);
    say_all_of("null-block", NULL);
    tell("IMalloc::DidAlloc", "foreign", "1", "%d", IMalloc_DidAlloc(task, (void *)1));
    tell("IMalloc::DidAlloc", "interior", "4", "%d", IMalloc_DidAlloc(task, block + 4));
    tell("IMalloc::DidAlloc", "interior", "16", "%d", IMalloc_DidAlloc(task, block + 16));
    tell("IMalloc::DidAlloc", "foreign", "stack", "%d", IMalloc_DidAlloc(task, &here));
    tell("IMalloc::DidAlloc", "other-heaps", "", "%d", IMalloc_DidAlloc(task, others));
    say_all_of("process-heaps", processes);
    CALL(IMalloc_Free(task, NULL));
    answer("IMalloc::Free", "null-block", "", "%s", "done");
    CALL(CoTaskMemFree(NULL));
    answer("CoTaskMemFree", "null-block", "", "%s", "done");
    CALL(IMalloc_HeapMinimize(task));
    answer("IMalloc::HeapMinimize", "ordinary", "", "%s", zeros_or_not(block, 1000));
    say_all_of("ordinary", block);
    IMalloc_Free(task, processes);
    tell("HeapValidate", "task-block", "freed", "%s",
         truth(HeapValidate(GetProcessHeap(), 0, processes)));
    HeapFree(GetProcessHeap(), 0, block);
    tell("IMalloc::DidAlloc", "freed", "", "%d", IMalloc_DidAlloc(task, block));
    HeapDestroy(heap);
}

int main(void)
{
    begin_report();
    get();
    query("ordinary", "IUnknown", &IID_IUnknown);
    query("ordinary", "IMalloc", &IID_IMalloc);
    query("other-interface", "IMallocSpy", &IID_IMallocSpy);
    allocate();
    reallocate(0);
    reallocate(1);
    refuse();
    judge_pointers();
    return end_report();
}
