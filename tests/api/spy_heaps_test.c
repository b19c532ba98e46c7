/* SPDX-License-Identifier: MIT */
/*
 * Observers and heaps: which heap's operations a spy hears of, heaps that come and go,
 * several spies at a time, and spies that allocate.
 */
#include "spies.h"

static struct notes notes, others, third;
static const char *wrong;

Test(spy_heaps, a_spy_hears_of_its_own_heap_only)
{
    HANDLE mine = create_heap(0), other = create_heap(0);
    begin_notes(&notes, mine);
    for (size_t i = 0; i < 100; i++) {
        give_back(other, take(other, 0, i * 500));
        give_back(GetProcessHeap(), take(GetProcessHeap(), 0, i * 500));
    }
    destroy_heap(create_heap(0));
    expect_count(&notes, 0, "other heaps");
    give_back(mine, take(mine, 0, 100));
    expect_count(&notes, 2, "its heap");
    destroy_heap(other);
    expect_count(&notes, 2, "another heap's end");
    end_notes(&notes);
    destroy_heap(mine);
}

Test(spy_heaps, a_spy_of_malloc_hears_of_no_heap)
{
    begin_notes(&notes, MH_SPY_MALLOC);
    HANDLE heap = create_heap(0);
    give_back(heap, take(heap, 0, 100));
    give_back(GetProcessHeap(), take(GetProcessHeap(), 0, 100));
    destroy_heap(heap);
    expect_count(&notes, 0, "heaps");
    end_notes(&notes);
}

/* The heap is known by its handle, and works, while it is told of. */
static void use_heap(void *context, void *heap)
{
    void *block = HeapAlloc(heap, 0, 100);
    if (!block || !HeapFree(heap, 0, block) || !HeapValidate(heap, 0, NULL))
        wrong = "a heap does not work in a callback";
    note(context, (struct told){CREATED, heap, NULL, 0, NULL, 0});
}

Test(spy_heaps, heaps_that_come_are_told_of)
{
    notes_init(&notes);
    notes.spy.heap_created = use_heap;
    attach(&notes.spy, MH_SPY_ALL);
    HANDLE heaps[40];
    for (size_t i = 0; i < LENGTH(heaps); i++) {
        heaps[i] = create_heap(i % 2 ? HEAP_NO_SERIALIZE : 0);
        expect_count(&notes, 2 * i + 1, "HeapCreate");
        expect_told(&notes, 2 * i, (struct told){CREATED, heaps[i], NULL, 0, NULL, 0});
        void *block = take(heaps[i], 0, 10);
        expect_told(&notes, 2 * i + 1,
                    (struct told){ALLOCATED, heaps[i], block, 10, NULL, 0});
    }
    require(!HeapCreate(0, 0, SIZE_MAX), "there is a heap as large as all memory");
    expect_count(&notes, 2 * LENGTH(heaps), "a heap that could not be made");
    end_notes(&notes);
    for (size_t i = 0; i < LENGTH(heaps); i++)
        destroy_heap(heaps[i]);
    require(!wrong, "%s", wrong);
}

static void *block_of_dying;

static void use_dying_heap(void *context, void *heap)
{
    if (HeapSize(heap, 0, block_of_dying) != 77 || !HeapValidate(heap, 0, NULL))
        wrong = "a heap was gone before it was told of";
    note(context, (struct told){DESTROYED, heap, NULL, 0, NULL, 0});
}

static void destroy_with_blocks(DWORD flags, bool is_everywhere)
{
    HANDLE heap = create_heap(flags);
    block_of_dying = take(heap, 0, 77);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        take(heap, 0, spied_sizes[i]);
    notes_init(&notes);
    notes.spy.heap_destroyed = use_dying_heap;
    attach(&notes.spy, is_everywhere ? MH_SPY_ALL : heap);
    destroy_heap(heap);
    expect_count(&notes, 1, "HeapDestroy");
    expect_told(&notes, 0, (struct told){DESTROYED, heap, NULL, 0, NULL, 0});
    require(!wrong, "%s", wrong);
    require(!HeapDestroy(heap), "it was destroyed twice");
    expect_count(&notes, 1, "a second HeapDestroy");
    end_notes(&notes);
}

Test(spy_heaps, a_heap_that_goes_is_told_of_once_and_its_blocks_are_not)
{
    for (size_t i = 0; i < 4; i++)
        destroy_with_blocks(i % 2 ? HEAP_NO_SERIALIZE : 0, i / 2);
}

/* Whether a heap of the same handle came. */
static bool use_same_handle(HANDLE dead)
{
    HANDLE heap = create_heap(0);
    bool is_same = heap == dead;
    void *block = HeapReAlloc(heap, 0, take(heap, 0, 100), 50000);
    require(block != NULL, "HeapReAlloc failed");
    give_back(heap, block);
    destroy_heap(heap);
    return is_same;
}

Test(spy_heaps, the_spy_of_a_dead_heap_stays_attached_to_nothing)
{
    HANDLE heap = create_heap(0);
    begin_notes(&notes, heap);
    destroy_heap(heap);
    expect_count(&notes, 1, "HeapDestroy");
    size_t same = 0;
    for (size_t i = 0; i < 50; i++)
        same += use_same_handle(heap);
    require(same > 0, "no later heap had the same handle");
    expect_count(&notes, 1, "a later heap with the same handle");
    require(mh_spy_attach(&notes.spy, GetProcessHeap()) == MH_ATTACHED, "it had left");
    require(mh_spy_attach(&others.spy, heap) == MH_INVALID, "a dead heap was taken");
    end_notes(&notes);
    require(mh_spy_detach(&notes.spy) == MH_DETACHED, "it was attached twice");
}

static void expect_all(size_t a, size_t b, size_t c, const char *what)
{
    expect_count(&notes, a, what);
    expect_count(&others, b, what);
    expect_count(&third, c, what);
}

HEAP_CASE(spy_heaps, several_spies_hear_and_leave_independently)
{
    begin_notes(&notes, heap);
    begin_notes(&others, MH_SPY_ALL);
    begin_notes(&third, heap);
    give_back(heap, take(heap, 0, 100));
    expect_all(2, 2, 2, "three spies");
    end_notes(&others);
    give_back(heap, take(heap, 0, 100));
    expect_all(4, 2, 4, "two spies");
    end_notes(&notes);
    give_back(heap, take(heap, 0, 50000));
    expect_all(4, 2, 6, "one spy");
    begin_notes(&notes, heap);
    give_back(heap, take(heap, 0, 100));
    expect_all(2, 2, 8, "one that came again");
    end_notes(&third);
    end_notes(&notes);
    give_back(heap, take(heap, 0, 100));
    expect_all(2, 2, 8, "none");
}

Test(spy_heaps, detaching_one_heaps_spy_leaves_the_others_heaps_spied)
{
    HANDLE a = create_heap(0), b = create_heap(0);
    begin_notes(&notes, a);
    begin_notes(&others, b);
    end_notes(&notes);
    give_back(a, take(a, 0, 100));
    give_back(b, take(b, 0, 100));
    expect_count(&notes, 0, "the one that left");
    expect_count(&others, 2, "the one that stayed");
    end_notes(&others);
    destroy_heap(a);
    destroy_heap(b);
}

enum { MANY = 100 };

HEAP_CASE(spy_heaps, a_hundred_spies_each_hear_of_each_event)
{
    struct notes *many = calloc(MANY, sizeof *many);
    require(many != NULL, "no memory for the spies");
    for (size_t i = 0; i < MANY; i++)
        begin_notes(&many[i], i % 2 ? heap : MH_SPY_ALL);
    for (size_t i = 0; i < MANY; i++) {
        give_back(heap, take(heap, 0, 100));
        size_t leaving = i * 37 % MANY;
        expect_count(&many[leaving], 2 * (i + 1), "one of a hundred");
        end_notes(&many[leaving]);
    }
    for (size_t i = 0; i < MANY; i++)
        expect_count(&many[i * 37 % MANY], 2 * (i + 1), "a spy that left");
    free(many);
}

/* Spies that allocate from the heap they spy on. */

static void use_the_heap(void *heap, size_t bytes)
{
    void *block = HeapAlloc(heap, 0, bytes);
    if (!block || !(block = HeapReAlloc(heap, 0, block, bytes * 40)) ||
        !HeapFree(heap, 0, block))
        wrong = "a callback could not allocate";
}

static void allocated_and_allocate(void *context, void *heap, void *block, size_t bytes)
{
    note_allocated(context, heap, block, bytes);
    use_the_heap(heap, 33);
}

static void freed_and_allocate(void *context, void *heap, void *block, size_t bytes)
{
    note_freed(context, heap, block, bytes);
    use_the_heap(heap, 34);
}

static void begin_allocating(struct notes *spy, void *heap)
{
    notes_init(spy);
    spy->spy.allocated = allocated_and_allocate;
    spy->spy.freed = freed_and_allocate;
    attach(&spy->spy, heap);
}

HEAP_CASE(spy_heaps, a_spy_does_not_hear_of_its_own_allocations)
{
    begin_allocating(&notes, heap);
    for (size_t i = 0; i < 100; i++) {
        forget_notes(&notes);
        give_back(heap, take(heap, 0, 100 + i * 500));
        expect_count(&notes, 2, "a spy that allocates");
    }
    end_notes(&notes);
    require(!wrong, "%s", wrong);
}

HEAP_CASE(spy_heaps, others_hear_of_a_spys_allocations)
{
    begin_allocating(&notes, heap);
    begin_notes(&others, MH_SPY_ALL);
    for (size_t i = 0; i < 100; i++) {
        forget_notes(&notes);
        forget_notes(&others);
        give_back(heap, take(heap, 0, 100 + i * 500));
        expect_count(&notes, 2, "a spy that allocates");
        expect_count(&others, 2 + 2 * 3, "the spy beside it");
        require(others.told[0].bytes == 33 && others.told[4].bytes == 34 &&
                    others.told[5].what == REALLOCATED && others.told[5].bytes == 34 * 40,
                "other events");
    }
    end_notes(&notes);
    end_notes(&others);
    require(!wrong, "%s", wrong);
}

/*
 * Each hears of what the other does in its callbacks, but for what was done inside its
 * own.
 */
HEAP_CASE(spy_heaps, two_spies_that_allocate_do_not_call_each_other_for_ever)
{
    begin_allocating(&notes, heap);
    begin_allocating(&others, heap);
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 2 + 2 * 3, "the first");
    expect_count(&others, 2 + 2 * 3, "the second");
    end_notes(&others);
    forget_notes(&notes);
    give_back(heap, take(heap, 0, 100));
    expect_count(&notes, 2, "the one that is left");
    end_notes(&notes);
    require(!wrong, "%s", wrong);
}

static HANDLE own_heap;

static void allocate_elsewhere(void *context, void *heap, void *block, size_t bytes)
{
    note_allocated(context, heap, block, bytes);
    use_the_heap(own_heap, 10);
    use_the_heap(GetProcessHeap(), 10);
    HANDLE made = HeapCreate(0, 0, 0);
    if (!made || !HeapDestroy(made))
        wrong = "a callback could not make a heap";
}

Test(spy_heaps, what_is_done_elsewhere_in_a_callback_is_not_heard_either)
{
    HANDLE heap = create_heap(0);
    own_heap = create_heap(0);
    notes_init(&notes);
    notes.spy.allocated = allocate_elsewhere;
    attach(&notes.spy, MH_SPY_ALL);
    for (size_t i = 0; i < 50; i++)
        take(heap, 0, 100);
    expect_count(&notes, 50, "a spy with other heaps");
    end_notes(&notes);
    require(!wrong, "%s", wrong);
    destroy_heap(heap);
    destroy_heap(own_heap);
}
