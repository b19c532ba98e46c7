# SPDX-License-Identifier: MIT
"""The mutants of what malloc does for single rows of the list, for mutants.py."""

SPAN = "src/arena/span.c"

# Arguments of mutants.Test.
TESTS = {
    "unit/wipe": ("plain", "tests/unit/wipe_test.c"),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("all_begin_alike", "the lists of all slabs begin with their first block", [
        (SPAN, "span->heap->is_sized || count <= CARVE_LEAST", "count"),
    ], ["unit/head"]),
    ("begins_not_to_wipe", "slabs that are wiped do not begin with their first block", [
        (SPAN, "span->heap->is_sized || count <= CARVE_LEAST", "count <= CARVE_LEAST"),
    ], ["unit/wipe"]),
    ("ends_too_early", "a list that begins in the middle ends at the last block", [
        (SPAN, "store_rlx(&span->entry_a[last], (uint16_t)first);",
         "store_rlx(&span->entry_a[last], MOLE_END);"),
    ], ["unit/head"]),
    ("never_ends", "a list that begins in the middle has no end", [
        (SPAN, "begin == first ? last : begin - 1", "last"),
    ], ["unit/head"]),
    ("half_a_mark", "malloc's live mark is a free block's entry", [
        ("src/base/atom.h", "movw $-1, %0", "movw $0x7ffe, %0"),
    ], ["unit/malloc"]),
]
