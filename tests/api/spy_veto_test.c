/* SPDX-License-Identifier: MIT */
/*
 * Spies that are asked first (may_allocate), and what callbacks may do to errno and the
 * last error: nothing.
 */
#include "spies.h"

static struct notes notes, others;
static bool is_denied;

static int answer(void *context, void *heap, size_t bytes)
{
    note(context, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
    errno = 1234;
    SetLastError(4321);
    return !is_denied;
}

static void begin_asked(struct notes *spy, void *heap)
{
    notes_init(spy);
    spy->spy.may_allocate = answer;
    attach(&spy->spy, heap);
}

static void expect_asked(size_t index, void *heap, size_t bytes)
{
    expect_told(&notes, index, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
}

HEAP_CASE(spy_veto, each_allocation_and_resize_is_asked_for_first)
{
    begin_asked(&notes, heap);
    for (size_t turn = 0; turn < 40; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            forget_notes(&notes);
            size_t bytes = spied_sizes[i];
            void *block = take(heap, turn % 2 ? HEAP_ZERO_MEMORY : 0, bytes);
            block = HeapReAlloc(heap, 0, block, bytes + 1);
            require(block != NULL, "HeapReAlloc failed");
            give_back(heap, block);
            expect_count(&notes, 5, "three calls");
            expect_asked(0, heap, bytes);
            expect_asked(2, heap, bytes + 1);
            require(notes.told[1].what == ALLOCATED &&
                        notes.told[3].what == REALLOCATED && notes.told[4].what == FREED,
                    "other events");
        }
    end_notes(&notes);
}

static void expect_denied_alloc(HANDLE heap, DWORD flags, size_t bytes)
{
    arm_errors();
    require(!HeapAlloc(heap, flags, bytes), "%zu bytes were allocated", bytes);
    expect_compat_error("HeapAlloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
}

static void expect_denied_resize(HANDLE heap, DWORD flags, void *block, size_t bytes)
{
    arm_errors();
    require(!HeapReAlloc(heap, flags, block, bytes), "it was resized to %zu", bytes);
    expect_compat_error("HeapReAlloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
}

HEAP_CASE(spy_veto, a_denied_allocation_fails_as_if_memory_were_short)
{
    begin_asked(&notes, heap);
    is_denied = true;
    for (size_t turn = 0; turn < 40; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            forget_notes(&notes);
            expect_denied_alloc(heap, turn % 2 ? HEAP_ZERO_MEMORY : 0, spied_sizes[i]);
            expect_count(&notes, 1, "a denied allocation");
            expect_asked(0, heap, spied_sizes[i]);
        }
    is_denied = false;
    give_back(heap, take(heap, 0, 100));
    end_notes(&notes);
}

HEAP_CASE(spy_veto, a_denied_resize_leaves_the_block_as_it_was)
{
    static const DWORD flags[] = {0, HEAP_ZERO_MEMORY, HEAP_REALLOC_IN_PLACE_ONLY};
    begin_asked(&notes, heap);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 0; j < LENGTH(flags); j++) {
            size_t bytes = spied_sizes[i];
            void *block = take(heap, 0, bytes);
            mark(block, bytes, bytes);
            is_denied = true;
            forget_notes(&notes);
            expect_denied_resize(heap, flags[j], block, bytes * 3 + 1);
            expect_denied_resize(heap, flags[j], block, bytes);
            expect_denied_resize(heap, flags[j], block, bytes / 3);
            expect_count(&notes, 3, "denied resizes");
            expect_asked(1, heap, bytes);
            is_denied = false;
            require(HeapSize(heap, 0, block) == bytes && is_marked(block, bytes, bytes),
                    "a denied resize changed the block of %zu bytes", bytes);
            give_back(heap, block);
        }
    end_notes(&notes);
}

/* Nobody may stop a free. */
HEAP_CASE(spy_veto, frees_are_not_asked_for)
{
    void *block = take(heap, 0, 100);
    begin_asked(&notes, heap);
    is_denied = true;
    give_back(heap, block);
    expect_count(&notes, 1, "HeapFree");
    expect_told(&notes, 0, (struct told){FREED, heap, block, 100, NULL, 0});
    end_notes(&notes);
}

static int grant(void *context, void *heap, size_t bytes)
{
    note(context, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
    return -1; /* anything but 0 */
}

HEAP_CASE(spy_veto, one_of_several_spies_suffices)
{
    notes_init(&others);
    others.spy.may_allocate = grant;
    attach(&others.spy, MH_SPY_ALL);
    begin_asked(&notes, heap);
    is_denied = true;
    expect_denied_alloc(heap, 0, 100);
    is_denied = false;
    give_back(heap, take(heap, 0, 100));
    is_denied = true;
    end_notes(&notes);
    give_back(heap, take(heap, 0, 100));
    end_notes(&others);
}

Test(spy_veto, heaps_that_are_not_spied_are_not_asked_for)
{
    HANDLE mine = create_heap(0), other = create_heap(0);
    begin_asked(&notes, mine);
    is_denied = true;
    for (size_t i = 0; i < 100; i++)
        give_back(other, take(other, 0, i * 400));
    expect_count(&notes, 0, "another heap");
    expect_denied_alloc(mine, 0, 10);
    end_notes(&notes);
    destroy_heap(mine);
    destroy_heap(other);
}

/* The question is not sampled, and a sampler is not asked. */
HEAP_CASE(spy_veto, samplers_are_not_asked)
{
    notes_init(&notes);
    notes.spy.may_allocate = answer;
    notes.spy.sample_bytes = (size_t)1 << 60;
    attach(&notes.spy, heap);
    is_denied = true;
    for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
        void *block = HeapReAlloc(heap, 0, take(heap, 0, 100), spied_sizes[i]);
        require(block != NULL, "HeapReAlloc failed");
        give_back(heap, block);
    }
    expect_count(&notes, 0, "a sampler");
    end_notes(&notes);
}

/* Errors. */

static void disturb(HANDLE heap)
{
    errno = 1234;
    SetLastError(4321);
    (void)HeapFree(heap, 0, &errno); /* fails, and says so */
    (void)HeapAlloc(heap, 0, (SIZE_T)1 << 50);
}

static void disturb_allocated(void *context, void *heap, void *block, size_t bytes)
{
    note_allocated(context, heap, block, bytes);
    disturb(heap);
}

static void disturb_freed(void *context, void *heap, void *block, size_t bytes)
{
    note_freed(context, heap, block, bytes);
    disturb(heap);
}

static void disturb_reallocated(void *context, void *heap, void *old, size_t old_bytes,
                                void *block, size_t bytes)
{
    note_reallocated(context, heap, old, old_bytes, block, bytes);
    disturb(heap);
}

static void disturb_created(void *context, void *heap)
{
    note_created(context, heap);
    disturb(heap);
}

static void disturb_destroyed(void *context, void *heap)
{
    note_destroyed(context, heap);
    disturb(heap);
}

static void begin_disturbing(struct notes *spy, void *heap)
{
    notes_init(spy);
    spy->spy.allocated = disturb_allocated;
    spy->spy.freed = disturb_freed;
    spy->spy.reallocated = disturb_reallocated;
    spy->spy.heap_created = disturb_created;
    spy->spy.heap_destroyed = disturb_destroyed;
    spy->spy.may_allocate = answer;
    attach(&spy->spy, heap);
}

static void use_disturbed(HANDLE heap)
{
    for (size_t turn = 0; turn < 40; turn++)
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            size_t bytes = spied_sizes[i];
            arm_errors();
            void *block = HeapAlloc(heap, 0, bytes);
            expect_errors_kept("HeapAlloc");
            block = HeapReAlloc(heap, 0, block, bytes + 1);
            expect_errors_kept("HeapReAlloc");
            require(block && HeapFree(heap, 0, block), "a call failed");
            expect_errors_kept("HeapFree");
        }
}

HEAP_CASE(spy_veto, callbacks_change_neither_errno_nor_the_last_error)
{
    begin_disturbing(&notes, heap);
    use_disturbed(heap);
    notes.spy.may_allocate = NULL; /* of a spy that is attached anew */
    end_notes(&notes);
    attach(&notes.spy, heap);
    use_disturbed(heap);
    begin_disturbing(&others, heap);
    use_disturbed(heap);
    require(atomic_load(&others.count) > 1000, "the spies were not told");
    detach(&others.spy);
    detach(&notes.spy);
}

/* Fails, has another spy's callbacks come, and looks at its own last error again. */
static void fail_and_use(void *context, void *heap, void *block, size_t bytes)
{
    note_allocated(context, heap, block, bytes);
    SetLastError(77);
    HANDLE private = HeapCreate(0, 0, 0);
    give_back(private, take(private, 0, bytes));
    require(HeapDestroy(private), "HeapDestroy failed");
    require(GetLastError() == 77, "another spy's callback changed a callback's error");
}

HEAP_CASE(spy_veto, a_callback_has_a_last_error_of_its_own)
{
    notes_init(&notes);
    notes.spy.allocated = fail_and_use;
    attach(&notes.spy, heap);
    begin_disturbing(&others, MH_SPY_ALL);
    use_disturbed(heap);
    require(atomic_load(&others.count) > 1000, "the other spy was not told");
    detach(&others.spy);
    use_disturbed(heap);
    end_notes(&notes);
}

Test(spy_veto, callbacks_of_heaps_change_neither_errno_nor_the_last_error)
{
    begin_disturbing(&notes, MH_SPY_ALL);
    arm_errors();
    HANDLE heap = HeapCreate(0, 0, 0);
    expect_errors_kept("HeapCreate");
    require(HeapDestroy(heap), "HeapDestroy failed");
    expect_errors_kept("HeapDestroy");
    expect_count(&notes, 2, "two calls");
    end_notes(&notes);
}

/*
 * A client's error: the callback frees what it is told of, before the caller's call does.
 */

static void free_what_is_told(void *context, void *heap, void *block, size_t bytes)
{
    (void)bytes;
    require(HeapFree(heap, 0, block), "the callback's HeapFree failed");
    atomic_fetch_add((atomic_size_t *)context, 1);
}

static void expect_freed_once(HANDLE heap, size_t bytes)
{
    void *kept = take(heap, 0, bytes), *block = take(heap, 0, bytes);
    arm_errors();
    BOOL is_freed = HeapFree(heap, 0, block);
    expect_error("HeapFree", ERROR_INVALID_PARAMETER, EINVAL);
    require(!is_freed, "%zu bytes were freed twice", bytes);
    void *again[8];
    for (size_t i = 0; i < LENGTH(again); i++)
        again[i] = take(heap, 0, bytes);
    require(all_distinct(again, LENGTH(again)), "%zu bytes were given twice", bytes);
    require(HeapValidate(heap, 0, NULL), "%zu bytes: not valid", bytes);
    for (size_t i = 0; i < LENGTH(again); i++)
        (void)HeapFree(heap, 0, again[i]);
    (void)HeapFree(heap, 0, kept);
}

HEAP_CASE(spy_veto, a_block_that_its_callback_freed_is_not_freed_again)
{
    atomic_size_t freed = 0;
    struct mh_spy spy = {
        .size = sizeof(spy), .context = &freed, .freed = free_what_is_told};
    static const size_t bytes[] = {24, 200, 1000, 5000, 40000};

    for (size_t i = 0; i < LENGTH(bytes); i++) {
        give_back(heap, take(heap, 0, bytes[i])); /* the thread has a cache */
        attach(&spy, heap);
        expect_freed_once(heap, bytes[i]);
        detach(&spy);
        require(HeapValidate(heap, 0, NULL), "%zu bytes: not valid", bytes[i]);
    }
    require(atomic_load(&freed) == 10 * LENGTH(bytes), "told of %zu",
            atomic_load(&freed));
}
