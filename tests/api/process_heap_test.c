/* SPDX-License-Identifier: MIT */
/* GetProcessHeap and GetProcessHeaps. Spec 2.14 and cases 2, 3, 7, 8. */
#include "support.h"
#include "workers.h"

enum { MANY = 64 };

static size_t live_heaps(void)
{
    return GetProcessHeaps(0, NULL);
}

Test(process_heap, case_002_new_heaps_are_listed_last_in_order)
{
    HANDLE handles[MANY];
    size_t before = live_heaps();
    require(before >= 1 && before + 2 <= MANY, "%zu heaps before any", before);
    HANDLE first = create_heap(0), second = create_heap(0);

    require(live_heaps() == before + 2, "two new heaps made %zu", live_heaps() - before);
    size_t count = GetProcessHeaps(MANY, handles);
    require(count == before + 2, "the list has %zu heaps, not %zu", count, before + 2);
    require(handles[0] == GetProcessHeap(), "the process heap is not the first");
    require(handles[before] == first, "the first new heap is not in its place");
    require(handles[before + 1] == second, "the second new heap is not in its place");
    destroy_heap(first);
    destroy_heap(second);
}

Test(process_heap, case_003_destroyed_heaps_leave_the_list)
{
    HANDLE handles[MANY];
    size_t before = live_heaps();
    HANDLE first = create_heap(0), second = create_heap(0);

    require(HeapDestroy(second) == TRUE, "HeapDestroy of the second heap");
    require(live_heaps() == before + 1, "one of two heaps is gone");
    require(GetProcessHeaps(MANY, handles) == before + 1, "the list's length");
    require(handles[before] == first, "the heap that stayed is not listed");
    require(HeapDestroy(first) == TRUE, "HeapDestroy of the first heap");
    require(live_heaps() == before, "the count did not come back");
}

Test(process_heap, case_007_short_buffer_gets_the_first_handles)
{
    HANDLE untouched = &untouched;
    HANDLE handles[2] = {untouched, untouched};
    HANDLE heap = create_heap(0);

    require(GetProcessHeaps(1, handles) == live_heaps(), "the count is not the real one");
    require(handles[0] == GetProcessHeap(), "the process heap was not stored");
    require(handles[1] == untouched, "a handle was stored past the buffer");
    destroy_heap(heap);
}

struct first_callers {
    pthread_barrier_t start;
    HANDLE answers[8];
};

static const char *ask_for_process_heap(struct worker *worker)
{
    struct first_callers *shared = worker->shared;

    pthread_barrier_wait(&shared->start);
    shared->answers[worker->index] = GetProcessHeap();
    return NULL;
}

/* Here a constructor called first, see below; tests/race/first_call.c is without. */
Test(process_heap, case_008_eight_first_callers_get_one_handle)
{
    struct first_callers shared = {.answers = {NULL}};

    pthread_barrier_init(&shared.start, NULL, 8);
    run_workers(8, ask_for_process_heap, &shared);
    pthread_barrier_destroy(&shared.start);
    for (size_t i = 0; i < 8; i++) {
        require(shared.answers[i] != NULL, "thread %zu got NULL", i);
        require(shared.answers[i] == GetProcessHeap(), "thread %zu got another heap", i);
    }
    give_back(shared.answers[0], take(shared.answers[0], 0, 64));
}

Test(process_heap, order_of_creation_survives_a_destroy_in_the_middle)
{
    HANDLE handles[MANY], heaps[10];
    size_t before = live_heaps();

    for (size_t i = 0; i < 10; i++)
        heaps[i] = create_heap(0);
    for (size_t i = 0; i < 5; i++)
        destroy_heap(heaps[i]);
    HANDLE last = create_heap(0);
    require(GetProcessHeaps(MANY, handles) == before + 6, "the count is wrong");
    for (size_t i = 5; i < 10; i++)
        require(handles[before + i - 5] == heaps[i], "heap %zu is out of order", i);
    require(handles[before + 5] == last, "the newest heap is not the last");
    for (size_t i = 5; i < 10; i++)
        destroy_heap(heaps[i]);
    destroy_heap(last);
}

Test(process_heap, success_keeps_last_error_and_errno)
{
    HANDLE handles[MANY];

    arm_errors();
    GetProcessHeap();
    expect_errors_kept("GetProcessHeap");
    arm_errors();
    GetProcessHeaps(MANY, handles);
    expect_errors_kept("GetProcessHeaps");
    arm_errors();
    GetProcessHeaps(0, NULL);
    expect_errors_kept("GetProcessHeaps(0, NULL)");
}

Test(process_heap, no_handle_is_stored_where_there_is_no_room)
{
    HANDLE untouched = &untouched;

    require(GetProcessHeaps(0, &untouched) == live_heaps(), "the count");
    require(untouched == &untouched, "a handle was stored");
}

Test(process_heap, null_with_room_claimed_is_refused)
{
    arm_errors();
    DWORD count = GetProcessHeaps(4, NULL);
    expect_error("GetProcessHeaps(4, NULL)", ERROR_INVALID_PARAMETER, EINVAL);
    require(count == 0, "GetProcessHeaps(4, NULL) answered %u", count);
}

/* Constructors run before main; the library's own must not be needed first. */
static HANDLE heap_before_main;
static void *block_before_main;

__attribute__((constructor)) static void allocate_before_main(void)
{
    heap_before_main = GetProcessHeap();
    block_before_main = HeapAlloc(heap_before_main, HEAP_ZERO_MEMORY, 100);
}

Test(process_heap, it_works_before_main)
{
    require(heap_before_main != NULL, "GetProcessHeap was NULL before main");
    require(heap_before_main == GetProcessHeap(), "the handle changed after main began");
    require(block_before_main != NULL, "HeapAlloc failed before main");
    require(HeapSize(heap_before_main, 0, block_before_main) == 100, "its size");
}
