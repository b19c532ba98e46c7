# SPDX-License-Identifier: MIT
"""The mutants of what malloc does for single rows of the list, for mutants.py."""

# Arguments of mutants.Test.
TESTS = {}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("half_a_mark", "malloc's live mark is a free block's entry", [
        ("src/base/atom.h", "movw $-1, %0", "movw $0x7ffe, %0"),
    ], ["unit/malloc"]),
]
