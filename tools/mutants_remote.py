# SPDX-License-Identifier: MIT
"""The mutants of frees by other threads, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("claimed_by_both", "two threads that free a block at once both do", [
        ("src/tcache/batch.c", "    if (heap->is_sized)\n", "    if (false)\n"),
    ], ["unit/batch"]),
    ("batch_in_any_order", "who only frees hands blocks over in the order they were freed in", [
        ("src/tcache/batch.c", "count >= ORDER_LEAST &&", "count > UINT16_MAX &&"),
    ], ["unit/batch"]),
    ("batch_always_in_order", "who allocates the same blocks puts what it frees in order, too", [
        ("src/tcache/batch.c", " && cache->current[batch->span->class] == &mole_tcache_none)\n",
         " && cache)\n"),
    ], ["unit/batch"]),
    ("free_ones_forgotten", "blocks that come back take the place of those that were free", [
        ("src/tcache/slab.c", "    if (span->free != MOLE_END) {\n        uint32_t last;\n",
         "    if (!count) {\n        uint32_t last;\n"),
    ], ["unit/slab"]),
]
