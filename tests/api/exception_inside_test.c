/* SPDX-License-Identifier: MIT */
/* What is raised inside a callback or a COM spy's method stays there. */
#include "spies.h"

#include <molehill/molehill.h>

#include "exception_use.h"
#include "malloc_spy.h"

static const DWORD raising = HEAP_GENERATE_EXCEPTIONS;

/* A callback that raises, with a block of its own around that or not. */
static struct inside {
    struct mh_spy spy;
    HANDLE heap; /* to raise on; not watched by the spy */
    bool has_block;
    int calls, caught, returned;
} inside;

static void raise_inside(void)
{
    struct call call = alloc_call(inside.heap, raising, SIZE_MAX);

    inside.calls++;
    if (inside.has_block)
        inside.caught += code_of(&call) == no_memory;
    else
        inside.returned += !make(&call);
}

static void raise_on_alloc(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    raise_inside();
}

static void raise_on_realloc(void *context, void *heap, void *old, size_t old_bytes,
                             void *block, size_t bytes)
{
    (void)context, (void)heap, (void)old, (void)old_bytes, (void)block, (void)bytes;
    raise_inside();
}

static int raise_when_asked(void *context, void *heap, size_t bytes)
{
    (void)context, (void)heap, (void)bytes;
    raise_inside();
    return 1;
}

static void raise_on_heap(void *context, void *heap)
{
    (void)context, (void)heap;
    raise_inside();
}

static void begin_inside(HANDLE heap, bool has_block)
{
    inside = (struct inside){.heap = create_heap(0), .has_block = has_block};
    inside.spy = (struct mh_spy){.size = sizeof inside.spy,
                                 .allocated = raise_on_alloc,
                                 .freed = raise_on_alloc,
                                 .reallocated = raise_on_realloc,
                                 .may_allocate = raise_when_asked,
                                 .heap_created = raise_on_heap,
                                 .heap_destroyed = raise_on_heap};
    attach(&inside.spy, heap);
}

static int handler_calls;

static int count_calls(DWORD code, void *heap, size_t bytes, void *context)
{
    (void)code, (void)heap, (void)bytes, (void)context;
    handler_calls++;
    return MH_CONTINUE;
}

/* Operations of every kind on a watched heap; how many events there were. */
static int operate(HANDLE heap)
{
    for (size_t i = 0; i < 40; i++) {
        void *small = take(heap, 0, 100), *large = take(heap, 0, 100000);
        small = HeapReAlloc(heap, 0, small, 200);
        large = HeapReAlloc(heap, 0, large, 10);
        give_back(heap, small);
        give_back(heap, large);
    }
    return 40 * 10;
}

/* The blocks around the operations catch none of it, the handler is not asked. */
static void operate_in_block(HANDLE heap)
{
    volatile int caught = 0;
    volatile int events = 0;

    MH_TRY
    {
        events = operate(heap);
    }
    MH_EXCEPT
    {
        caught++;
    }
    MH_END_TRY
    require(caught == 0, "an exception got out of the callback");
    require(inside.calls == events, "%d callbacks, not %d", inside.calls, events);
    require(inside.caught + inside.returned == events, "%d caught, %d returned",
            inside.caught, inside.returned);
    require(handler_calls == 0, "the handler was asked in a callback");
    expect_raise(alloc_call(heap, raising, SIZE_MAX), no_memory, "outside");
}

static void operate_with_callbacks(HANDLE heap, bool has_block)
{
    require(mh_configure("unhandled:return") == 0, "unhandled:return is not known");
    mh_set_exception_handler(count_calls);
    begin_inside(heap, has_block);
    operate_in_block(heap);
    require(mh_spy_detach(&inside.spy) == 0, "the thread is in the spy still");
    expect_all_free(heap);
    destroy_heap(inside.heap);
}

HEAP_CASE(exception_inside, a_callback_catches_its_own)
{
    operate_with_callbacks(heap, true);
    require(inside.returned == 0 && inside.caught > 0, "it caught %d", inside.caught);
}

HEAP_CASE(exception_inside, what_a_callback_does_not_catch_stays_in_it)
{
    operate_with_callbacks(heap, false);
    require(inside.caught == 0 && inside.returned > 0, "%d returned", inside.returned);
}

Test(exception_inside, heaps_come_and_go_while_their_callbacks_raise)
{
    volatile int caught = 0;

    require(mh_configure("unhandled:return") == 0, "unhandled:return is not known");
    begin_inside(MH_SPY_ALL, false);
    MH_TRY
    {
        destroy_heap(create_heap(raising));
    }
    MH_EXCEPT
    {
        caught++;
    }
    MH_END_TRY
    require(caught == 0 && inside.returned == inside.calls && inside.calls >= 2,
            "caught %d, %d of %d returned", caught, inside.returned, inside.calls);
    detach(&inside.spy);
}

/* A callback allocates under a block of its own; another spy's callback raises there. */
static struct {
    struct mh_spy spy;
    HANDLE heap; /* spied by `inside` */
    int calls, caught;
} outer;

static void allocate_in_block(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    struct call call = alloc_call(outer.heap, 0, 100);

    outer.calls++;
    outer.caught += code_of(&call) != 0;
    HeapFree(outer.heap, 0, call.result);
}

HEAP_CASE(exception_inside, a_callback_does_not_catch_what_another_raises)
{
    require(mh_configure("unhandled:return") == 0, "unhandled:return is not known");
    outer.heap = create_heap(0);
    outer.spy = (struct mh_spy){.size = sizeof outer.spy, .allocated = allocate_in_block};
    begin_inside(outer.heap, false);
    attach(&outer.spy, heap);
    for (size_t i = 0; i < 100; i++)
        give_back(heap, take(heap, 0, i * 100));
    detach(&outer.spy);
    detach(&inside.spy);
    require(outer.calls == 100 && outer.caught == 0, "%d of %d caught", outer.caught,
            outer.calls);
    require(inside.calls == 300 && inside.returned == 300, "%d of %d returned",
            inside.returned, inside.calls);
    destroy_heap(outer.heap);
}

static void raise_in_method(struct spy *self, const char *method, void *block)
{
    (void)self, (void)method, (void)block;
    raise_inside();
}

static void call_task_allocator(IMalloc *malloc)
{
    void *block = IMalloc_Alloc(malloc, 100);
    block = IMalloc_Realloc(malloc, block, 5000);
    require(block && IMalloc_GetSize(malloc, block) == 5000, "Realloc");
    IMalloc_Free(malloc, block);
}

static void raise_in_methods(IMalloc *malloc, bool has_block)
{
    volatile int caught = 0;

    require(mh_configure("unhandled:return") == 0, "unhandled:return is not known");
    mh_set_exception_handler(count_calls);
    inside = (struct inside){.heap = create_heap(0), .has_block = has_block};
    spy.inside = raise_in_method;
    spy_register(&spy);
    MH_TRY
    {
        call_task_allocator(malloc);
    }
    MH_EXCEPT
    {
        caught++;
    }
    MH_END_TRY
    require(caught == 0 && handler_calls == 0, "an exception got out of the method");
    require(inside.calls == 6 && inside.caught + inside.returned == 6,
            "%d calls, %d caught, %d returned", inside.calls, inside.caught,
            inside.returned);
    expect_raise(alloc_call(GetProcessHeap(), raising, SIZE_MAX), no_memory, "outside");
    expect_all_free(GetProcessHeap());
    spy.inside = NULL;
    spy_revoke(&spy);
    destroy_heap(inside.heap);
}

SPY_CASE(exception_inside, a_com_spys_method_catches_its_own, 0)
{
    raise_in_methods(malloc, true);
    require(inside.caught == 6, "it caught %d", inside.caught);
}

SPY_CASE(exception_inside, what_a_com_spys_method_does_not_catch_stays_in_it, 0)
{
    raise_in_methods(malloc, false);
    require(inside.returned == 6, "%d returned", inside.returned);
}

/* The task allocator fails by NULL, whoever is around. */
SPY_CASE(exception_inside, the_task_allocator_does_not_raise, 0)
{
    static char foreign;
    volatile int caught = 0;

    for (volatile int turn = 0; turn < 2; turn++) {
        MH_TRY
        {
            void *block = IMalloc_Alloc(malloc, 10);
            require(!IMalloc_Alloc(malloc, SIZE_MAX), "Alloc of SIZE_MAX");
            require(!IMalloc_Realloc(malloc, block, SIZE_MAX), "Realloc to SIZE_MAX");
            require(!IMalloc_Realloc(malloc, &foreign, 10),
                    "Realloc of a foreign pointer");
            IMalloc_Free(malloc, &foreign);
            IMalloc_Free(malloc, block);
        }
        MH_EXCEPT
        {
            caught++;
        }
        MH_END_TRY
        if (turn == 0)
            spy_register(&spy);
    }
    require(caught == 0, "it raised");
    spy_revoke(&spy);
}
