/* SPDX-License-Identifier: MIT */
/*
 * Misuse of hardened heaps: where others refuse or see nothing, they end the process with
 * one line that names heap, block and what was found. What cannot be blamed on a block of
 * theirs is refused as anywhere.
 */
#include "dying.h"

static HANDLE heap;

static bool is_fixed;

static void harden(DWORD flags)
{
    heap = HeapCreate(HEAP_CREATE_HARDENED | flags, 0, is_fixed ? 64 * MIB : 0);
    require(heap != NULL, "HeapCreate failed");
}

/* A case of growable heaps, and of those of a fixed size. */
#define HARDENED_CASE(sentence)              \
    static void sentence(void);              \
    Test(heap_hardened, sentence)            \
    {                                        \
        sentence();                          \
    }                                        \
    Test(heap_hardened, of_fixed_##sentence) \
    {                                        \
        is_fixed = true;                     \
        sentence();                          \
    }                                        \
    static void sentence(void)

/* Of each size that there is in the heap. */
static bool is_too_large(size_t bytes)
{
    return is_fixed && bytes >= 0x7FFF8;
}

static void free_block(void *pointer)
{
    (void)HeapFree(heap, 0, pointer);
}

static void free_twice(void *pointer)
{
    (void)HeapFree(heap, 0, pointer);
    (void)HeapFree(heap, 0, pointer);
}

static void resize_block(void *pointer)
{
    (void)!HeapReAlloc(heap, 0, pointer, 10);
}

/* Of the line, what comes behind the block's name. */
static void require_named_death(void (*misuse)(void *), void *pointer, const char *what)
{
    struct death death = death_by(misuse, pointer);
    char line[200];

    snprintf(line, sizeof(line), "molehill: corruption of heap %p, block %p%s\n", heap,
             pointer, what);
    require(death.signal == SIGABRT, "%s: signal %d, %s", what, death.signal, death.line);
    require(strcmp(death.line, line) == 0, "%s: says %s", what, death.line);
}

HARDENED_CASE(double_free_dies)
{
    harden(0);
    for (size_t bytes = 0; bytes <= 30000; bytes = 2 * bytes + 1) {
        take(heap, 0, bytes); /* the slab stays */
        require_named_death(free_twice, take(heap, 0, bytes),
                            ", in HeapFree: double free");
    }
}

HARDENED_CASE(double_free_of_what_another_thread_freed_dies)
{
    harden(0);
    for (size_t bytes = 1; bytes <= 8000; bytes *= 8) {
        take(heap, 0, bytes);
        void *block = block_freed_by_another_thread(heap, bytes);
        require_named_death(free_block, block, ", in HeapFree: double free");
        require_named_death(resize_block, block, ", in HeapReAlloc: it is free");
    }
}

HARDENED_CASE(double_free_dies_without_a_lock_too)
{
    harden(HEAP_NO_SERIALIZE);
    take(heap, 0, 100);
    require_named_death(free_twice, take(heap, 0, 100), ", in HeapFree: double free");
}

HARDENED_CASE(resizing_a_freed_block_dies)
{
    harden(0);
    take(heap, 0, 100);
    require_named_death(resize_block, freed_block(heap, 100),
                        ", in HeapReAlloc: it is free");
}

/* One byte, right behind the end or seven further, whatever it is changed to. */
HARDENED_CASE(a_block_that_was_written_over_its_end_dies_when_it_is_used)
{
    harden(0);
    for (EACH_SIZE(bytes)) {
        for (size_t at = 0; at < 8 && !is_too_large(bytes); at += 7) {
            unsigned char *block = take(heap, 0, bytes);
            block[bytes + at] ^= 1;
            require(!HeapValidate(heap, 0, block), "%zu bytes are valid", bytes);
            require(!HeapValidate(heap, 0, NULL), "the heap is valid");
            require_named_death(free_block, block, ": written to behind its end");
            require_named_death(resize_block, block, ": written to behind its end");
            block[bytes + at] ^= 1;
            require(HeapValidate(heap, 0, NULL), "the heap is not valid again");
            give_back(heap, block);
        }
    }
}

/* Canaries tell blocks apart: that of another block will not do. */
HARDENED_CASE(a_canary_cannot_be_copied)
{
    harden(0);
    unsigned char *one = take(heap, 0, 24), *other = take(heap, 0, 24);
    require(memcmp(one + 24, other + 24, 8) != 0, "two blocks have the same canary");
    memcpy(one + 24, other + 24, 8);
    require_named_death(free_block, one, ": written to behind its end");
    HANDLE first = heap;
    harden(0);
    require(heap != first, "two heaps with one handle");
}

HARDENED_CASE(with_tails_both_are_looked_at)
{
    harden(HEAP_TAIL_CHECKING_ENABLED);
    for (EACH_SIZE(bytes)) {
        if (bytes >= MIB) /* Windows has no tails there */
            continue;
        for (size_t at = 0; at < 24; at += 5) {
            unsigned char *block = take(heap, 0, bytes);
            block[bytes + at] ^= 1;
            require_named_death(free_block, block, ": written to behind its end");
        }
    }
}

static void allocate_all(void *pointer)
{
    (void)pointer;
    for (size_t i = 0; i < 5000; i++)
        (void)!HeapAlloc(heap, 0, 100);
}

/* With free checking, too: the slot is looked at before it is handed out again. */
HARDENED_CASE(a_write_to_a_freed_block_dies_when_it_is_handed_out)
{
    harden(HEAP_FREE_CHECKING_ENABLED);
    take(heap, 0, 100);
    unsigned char *block = freed_block(heap, 100);
    for (size_t at = 0; at < 100; at += 11) {
        block[at] ^= 1;
        require(!HeapValidate(heap, 0, NULL), "the heap is valid");
        require_named_death(allocate_all, block, ": written to after it was freed");
        block[at] ^= 1;
    }
    require(death_by(allocate_all, block).signal == 0, "it dies without damage, too");
}

HARDENED_CASE(what_is_no_block_of_its_is_refused_as_anywhere)
{
    harden(0);
    HANDLE other = create_heap(0);
    unsigned char *block = take_stamped(heap, 1000);
    int local;

    require_refused(heap, &local, "an address on the stack");
    require_refused(heap, block + 16, "an interior pointer");
    require_refused(heap, (void *)1, "1");
    require_refused(heap, take(other, 0, 100), "another heap's block");
    require_refused(heap, freed_block(other, 100), "another heap's freed block");
    require_refused(heap, heap, "the handle");
    require(HeapSize(heap, 0, freed_block(heap, 100)) == FAILED_SIZE, "HeapSize");
    require_unharmed(heap, block, 1000);
    require_heap_works(heap, 100);
}

/* Under termination on corruption what tail checking finds ends the process as well. */
Test(heap_hardened, a_damaged_tail_is_corruption)
{
    heap = create_heap(HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED);
    unsigned char *block = take(heap, 0, 100);
    block[100] ^= 1;
    require(death_by(free_block, block).signal == 0, "it dies though not asked to");
    require(HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL, 0),
            "HeapSetInformation failed");
    require_named_death(free_block, block, ": written to behind its end");
    require_named_death(resize_block, block, ": written to behind its end");
    require(!HeapValidate(heap, 0, block), "HeapValidate only answers");
}

/* Other heaps have no canaries, and do not die. */
Test(heap_hardened, a_plain_heap_refuses_a_double_free)
{
    HANDLE plain = create_heap(0);
    void *block = freed_block(plain, 100);

    require(!HeapFree(plain, 0, block), "it took a double free");
    require_heap_works(plain, 100);
}
