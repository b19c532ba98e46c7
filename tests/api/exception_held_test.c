/* SPDX-License-Identifier: MIT */
/* Nothing is held when an exception is raised, and observers have heard all by then. */
#include "spies.h"

#include "exception_use.h"
#include "malloc_spy.h"

static const DWORD raising = HEAP_GENERATE_EXCEPTIONS;

/* Every way to raise on the heap: `with` is called after each. */
static void raise_all(HANDLE heap, void (*with)(HANDLE heap))
{
    void *small = take(heap, 0, 100), *large = take(heap, 0, 2 * MIB);
    const DWORD in_place = raising | HEAP_REALLOC_IN_PLACE_ONLY;
    struct call calls[] = {
        alloc_call(heap, raising, SIZE_MAX),
        alloc_call(heap, raising | HEAP_ZERO_MEMORY, PTRDIFF_MAX),
        alloc_call(heap, raising | HEAP_NO_SERIALIZE, SIZE_MAX - 4096),
        resize_call(heap, raising, small, SIZE_MAX),
        resize_call(heap, raising, large, SIZE_MAX),
        resize_call(heap, raising | HEAP_NO_SERIALIZE, large, (SIZE_T)1 << 50),
        resize_call(heap, in_place, small, 64 * MIB),
        resize_call(heap, in_place, large, 64 * MIB),
        resize_call(heap, raising, (char *)small + 16, 10),
        resize_call(heap, raising, &small, 10),
        resize_call(heap, raising, NULL, 10),
    };

    for (size_t i = 0; i < LENGTH(calls); i++) {
        require(code_of(&calls[i]) != 0, "call %zu raised nothing", i);
        if (with)
            with(heap);
    }
    give_back(heap, small);
    give_back(heap, large);
}

HEAP_CASE(exception_held, case_085_everything_is_free_after_a_raise)
{
    raise_all(heap, expect_all_free);
}

HEAP_CASE(exception_held, case_085_also_when_observers_are_attached)
{
    static struct notes everywhere, here;

    begin_notes(&everywhere, MH_SPY_ALL);
    begin_notes(&here, heap);
    raise_all(heap, expect_all_free);
    end_notes(&here);
    end_notes(&everywhere);
}

HEAP_CASE(exception_held, case_085_also_when_samples_are_taken)
{
    static struct notes notes;

    notes_init(&notes);
    notes.spy.sample_bytes = 1000;
    attach(&notes.spy, heap);
    raise_all(heap, expect_all_free);
    end_notes(&notes);
}

SPY_CASE(exception_held, case_085_also_when_a_com_spy_is_registered, HEADER)
{
    spy.is_silent = true;
    spy_register(&spy);
    void *block = IMalloc_Alloc(malloc, 100);
    raise_all(GetProcessHeap(), expect_all_free);
    /* A block with a record of the spy's: it keeps it. */
    struct call call =
        resize_call(GetProcessHeap(), raising, (char *)block - HEADER, SIZE_MAX);
    require(code_of(&call) == no_memory, "HeapReAlloc of a spyed block did not raise");
    expect_all_free(GetProcessHeap());
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "the record is gone");
    IMalloc_Free(malloc, block);
    require(spy.releases == 1, "it was released %d times", spy.releases);
}

/* The lock of a heap is the client's: it stays, and is there to be given back. */
HEAP_CASE(exception_held, a_locked_heap_stays_locked)
{
    struct call call = alloc_call(heap, raising, SIZE_MAX);

    require(HeapLock(heap) && HeapLock(heap), "HeapLock failed");
    require(code_of(&call) == no_memory, "it did not raise under the lock");
    require(mh_spy_wait() == MH_PENDING, "the lock is gone");
    require(HeapUnlock(heap) && HeapUnlock(heap), "HeapUnlock failed");
    require(!HeapUnlock(heap), "there was one lock more");
    expect_all_free(heap);
}

static bool is_denied;

static int answer(void *context, void *heap, size_t bytes)
{
    note(context, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
    return !is_denied;
}

HEAP_CASE(exception_held, a_veto_raises_after_all_were_asked)
{
    static struct notes spy_notes;
    void *block = take(heap, 0, 100);

    notes_init(&spy_notes);
    spy_notes.spy.may_allocate = answer;
    attach(&spy_notes.spy, heap);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
        is_denied = true;
        expect_raise(alloc_call(heap, raising, spied_sizes[i]), no_memory, "HeapAlloc");
        expect_raise(resize_call(heap, raising, block, spied_sizes[i]), no_memory,
                     "HeapReAlloc");
        expect_count(&spy_notes, 2, "two vetoes");
        expect_told(&spy_notes, 0,
                    (struct told){ASKED, heap, NULL, spied_sizes[i], NULL, 0});
        is_denied = false;
        forget_notes(&spy_notes);
        expect_all_free(heap);
        forget_notes(&spy_notes);
    }
    end_notes(&spy_notes);
    require(HeapSize(heap, 0, block) == 100, "the block changed");
    give_back(heap, block);
}
