# SPDX-License-Identifier: MIT
"""The mutants of what malloc does for single rows of the list, for mutants.py."""

BATCH = "src/tcache/batch.h"
SPAN = "src/arena/span.c"

# Arguments of mutants.Test.
TESTS = {
    "unit/batch_malloc": ("plain", "tests/unit/batch_malloc_test.c"),
    "unit/size_class": ("plain", "tests/unit/size_class_test.c"),
    "unit/wipe": ("plain", "tests/unit/wipe_test.c"),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("all_begin_alike", "the lists of all slabs begin with their first block", [
        (SPAN, "    if (span->heap->is_sized)\n", "    if (count)\n"),
    ], ["unit/head"]),
    ("large_begin_alike", "the lists of slabs of large blocks begin with their first block", [
        (SPAN, "    if (span->heap->is_sized)\n",
         "    if (span->heap->is_sized || count <= CARVE_LEAST)\n"),
    ], ["unit/head"]),
    ("begins_not_to_wipe", "slabs that are wiped do not begin with their first block", [
        (SPAN, "    if (span->heap->is_sized)\n", "    if (false)\n"),
    ], ["unit/wipe"]),
    ("ends_too_early", "a list that begins in the middle ends at the last block", [
        (SPAN, "store_rlx(&span->entry_a[last], (uint16_t)first);",
         "store_rlx(&span->entry_a[last], MOLE_END);"),
    ], ["unit/head"]),
    ("never_ends", "a list that begins in the middle has no end", [
        (SPAN, "begin == first ? last : begin - 1", "last"),
    ], ["unit/head"]),
    ("freed_twice_into_a_batch", "a batch takes a block that is free", [
        (BATCH, "!mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index]))", "false"),
    ], ["misuse/malloc"]),
    ("interior_into_a_batch", "a batch takes an address inside of a block for the block", [
        (BATCH, "!mole_span_index(span, block, &index)",
         "(mole_span_index(span, block, &index), false)"),
    ], ["misuse/malloc"]),
    ("mallocs_batch_uncounted", "malloc's batches take more than 128 blocks", [
        (BATCH, " || batch->room <= 1 ||", " ||"),
    ], ["unit/batch_malloc"]),
    ("mallocs_batch_untold", "frees into malloc's batches are not counted", [
        (BATCH, "    cache->frees++;\n", ""),
    ], ["unit/batch_malloc"]),
    ("anybodys_batch", "blocks of all slabs of a class are in one batch", [
        (BATCH, "batch->span != span ||", "!batch->span ||"),
    ], ["unit/batch_malloc"]),
    ("medium_only", "the class of a medium request is wrong below 128 bytes", [
        ("src/arena/size_class.h", "__builtin_clzl(last | 128)", "__builtin_clzl(last | 1)"),
    ], ["unit/size_class"]),
    ("half_a_mark", "malloc's live mark is a free block's entry", [
        ("src/base/atom.h", "movw $-1, %0", "movw $0x7ffe, %0"),
    ], ["unit/malloc"]),
]
