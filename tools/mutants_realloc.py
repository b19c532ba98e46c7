# SPDX-License-Identifier: MIT
"""Bugs of the short ways through realloc, HeapReAlloc and malloc_usable_size, for
mutants.py."""

HEAP = "src/api/heap_realloc.c"
LARGE = "src/arena/large.h"
MALLOC = "src/malloc/malloc.c"
USABLE = "src/malloc/usable.c"

# Arguments of mutants.Test.
TESTS = {
    "api/heap_realloc": ("plain", "tests/api/heap_realloc_test.c"),
    "misuse/heap_realloc": ("plain", "tests/misuse/heap_realloc_test.c"),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("resized_beyond_room", "a large block grows where it has no room", [
        (LARGE, " || bytes > span->room ||", " ||"),
    ], ["unit/malloc"]),
    ("resized_when_free", "realloc revives a large block that was freed", [
        (LARGE, "old == MOLE_LARGE_FREE || ", ""),
    ], ["unit/malloc"]),
    ("resized_and_kept", "a large block that shrinks by much keeps its pages", [
        (LARGE, " ||\n        bytes + MOLE_LARGE_TRIM < old + MOLE_CHUNK", ""),
    ], ["unit/malloc"]),
    ("resized_inside", "realloc takes an address inside of a large block for the block", [
        (LARGE, " || span->base != block ||", " ||"),
    ], ["unit/malloc"]),
    ("moved_and_cut", "realloc moves no more than a block is to have less one", [
        (MALLOC, "old < bytes ? old : bytes);", "old < bytes ? old - 1 : bytes - 1);"),
    ], ["unit/malloc"]),
    ("interior_realloc", "realloc stays at an address inside a block", [
        (MALLOC, "!mole_span_index(span, block, &index) ||\n"
         "                 !mole_span_entry_is_live(load_rlx(span->entry_a + index))))",
         "(mole_span_index(span, block, &index), false) ||\n"
         "                 !mole_span_entry_is_live(load_rlx(span->entry_a + index))))"),
    ], ["unit/malloc"]),
    ("resized_past_the_lock", "HeapReAlloc resizes a block while another has the heap", [
        (HEAP, "load_acq(&cache->owner.alloc_key_a) == handle && ", ""),
    ], ["api/heap_lock"]),
    ("resized_dead", "HeapReAlloc resizes a block that is free", [
        (HEAP, " &&\n"
               "                      mole_span_entry_is_live(load_rlx(&span->entry_a[index]));",
         ";"),
    ], ["misuse/heap_realloc"]),
    ("resized_interior", "HeapReAlloc resizes what is no block's address", [
        (HEAP, "mole_span_index(span, block, &index) &&",
         "(mole_span_index(span, block, &index), true) &&"),
    ], ["misuse/heap_realloc"]),
    ("resized_nothing", "HeapReAlloc leaves the size as it was", [
        (HEAP, "                mole_exact_set(span, index, bytes);\n", "                ;\n"),
    ], ["api/heap_realloc"]),
    ("cleared_nothing", "HeapReAlloc leaves what HEAP_ZERO_MEMORY is to clear", [
        (HEAP, "likely(!(dwFlags & HEAP_ZERO_MEMORY)) && ", ""),
    ], ["api/heap_realloc"]),
    ("usable_inside", "malloc_usable_size answers for an address inside a block", [
        (USABLE, "!mole_span_index(span, block, &index) || !is_live(span, index)",
         "(mole_span_index(span, block, &index), !is_live(span, index))"),
    ], ["unit/malloc"]),
    ("usable_dead", "malloc_usable_size answers for a block that is free", [
        (USABLE, "&index) || !is_live(span, index)", "&index)"),
    ], ["unit/malloc"]),
    ("usable_dead_of_others", "malloc_usable_size answers for another thread's free block", [
        (USABLE, "index < span->capacity && is_live(span, index))",
         "index < span->capacity)"),
    ], ["unit/malloc"]),
    ("usable_inside_large", "malloc_usable_size answers for an address inside a large block", [
        (USABLE, " && span->base == block)", ")"),
    ], ["unit/malloc"]),
    ("usable_dead_large", "malloc_usable_size answers for a large block that is free", [
        (USABLE, "likely(bytes != MOLE_LARGE_FREE)", "likely(bytes)"),
    ], ["unit/malloc"]),
    ("usable_of_heaps", "malloc_usable_size answers for the block of a heap", [
        (USABLE, "span->heap != heap", "!span->heap"),
    ], ["unit/malloc"]),
]
