/* SPDX-License-Identifier: MIT */
/*
 * HeapSetInformation and HeapQueryInformation. Wine 8 accepts everything that is set and
 * keeps none of it. Where it is no oracle therefore, a line says what the specification
 * does, and differences.toml lets molehill differ from Wine by exactly that.
 */
#include "say.h"

static void query(const char *input, HANDLE heap, int class, PVOID buffer, SIZE_T bytes)
{
    SIZE_T needed = 77;
    BOOL done;
    CALL(done = HeapQueryInformation(heap, (HEAP_INFORMATION_CLASS) class, buffer, bytes,
                                     &needed));
    answer("HeapQueryInformation", input,
           text("class %d, %llu bytes", class, (unsigned long long)bytes),
           "%s, needs %llu", truth(done), (unsigned long long)needed);
}

static void query_mode(const char *input, const char *what, HANDLE heap)
{
    struct {
        ULONG mode, beyond;
    } answer = {77, 78};
    SIZE_T needed = 0;
    BOOL done =
        HeapQueryInformation(heap, HeapCompatibilityInformation, &answer, 4, &needed);
    tell("HeapQueryInformation", input, what, "%s, mode %lu, %s", truth(done),
         (unsigned long)answer.mode, answer.beyond == 78 ? "not beyond" : "and beyond");
}

static void set(const char *spec, HANDLE heap, int class, PVOID buffer, SIZE_T bytes)
{
    BOOL done, is_refused = strncmp(spec, "FALSE", 5) == 0;
    CALL(done = HeapSetInformation(heap, (HEAP_INFORMATION_CLASS) class, buffer, bytes));
    answer("HeapSetInformation", is_refused ? "refused" : "accepted",
           text("class %d, %llu bytes; spec: %s", class, (unsigned long long)bytes, spec),
           "%s", truth(done));
}

static void query_all(HANDLE heap, const char *what)
{
    ULONG mode[2] = {77, 77};
    query_mode("new-heap", what, heap);
    query("ordinary", heap, 0, mode, 4);
    query("ordinary", heap, 0, mode, 8);
    query("short", heap, 0, mode, 3);
    query("short", heap, 0, NULL, 0);
    BOOL done;
    CALL(done = HeapQueryInformation(heap, HeapCompatibilityInformation, NULL, 0, NULL));
    answer("HeapQueryInformation", "short", "nowhere to tell", "%s", truth(done));
    query("other-class", heap, 99, mode, 4);
    query("other-class", heap, 1, mode, 4);
}

static void set_mode(HANDLE heap)
{
    ULONG mode = 2;
    set("TRUE; error kept", heap, 0, &mode, 4);
    query_mode("low-fragmentation", "after 2", heap);
    for (mode = 0; mode < 2; mode++)
        set("FALSE; error 31", heap, 0, &mode, 4);
    query_mode("low-fragmentation", "after 0 and 1", heap);
    mode = 2;
    set("FALSE; error 122", heap, 0, &mode, 3);
    set("FALSE; error 6", NULL, 0, &mode, 4);
}

static void set_others(HANDLE heap)
{
    struct {
        DWORD Version, Flags;
    } optimize = {1, 0};
    set("TRUE; error kept", heap, 3, &optimize, sizeof optimize);
    set("TRUE; error kept", NULL, 3, &optimize, sizeof optimize);
    set("FALSE; error 87", heap, 3, &optimize, 4);
    optimize.Version = 2;
    set("FALSE; error 87", NULL, 3, &optimize, sizeof optimize);
    set("FALSE; error 87", heap, 99, &optimize, 4);
}

int main(void)
{
    begin_report();
    HANDLE heap = HeapCreate(0, 0, 0), alone = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
    ULONG mode = 2;
    SIZE_T needed = 77;
    query_all(heap, "serialized");
    query_all(alone, "not serialized");
    set("FALSE; error 87", alone, 0, &mode, 4);
    query_mode("new-heap", "not serialized, after that", alone);
    set_mode(heap);
    set_others(heap);
    BOOL done;
    CALL(done =
             HeapQueryInformation(NULL, HeapCompatibilityInformation, &mode, 4, &needed));
    answer("HeapQueryInformation", "null-heap", "", "%s, needs %llu", truth(done),
           (unsigned long long)needed);
    set("TRUE; error kept", NULL, 1, NULL, 0);
    set("TRUE; error kept", heap, 1, NULL, 0);
    void *block;
    CALL(block = HeapAlloc(heap, HEAP_ZERO_MEMORY, 100));
    answer("HeapAlloc", "ordinary", "after all that", "%s", block_or_null(block));
    return end_report();
}
