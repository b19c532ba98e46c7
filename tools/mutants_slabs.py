# SPDX-License-Identifier: MIT
"""The mutants of slabs and of what is free in them, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "unit/slab": ("plain", "tests/unit/slab_test.c"),
}

# What is in another thread's batch is not live, either.
ONLY_NONE_LIVE = [("src/tcache/slab.c", "    return count == span->fresh && ",
                   "    return !mole_span_live_count(span) && ")]

# Arguments of mutants.Mutant.
MUTANTS = [
    ("zeros_under_a_lock", "HeapAlloc of zeros goes on in a heap that another thread locked", [
        ("src/api/heap.c", "    mole_tcache_enter(cache);\n"
         "    if (likely(load_acq_folded(&cache->owner.alloc_key_a) == handle && /* HB-GATE-2 */",
         "    mole_tcache_enter(cache);\n    if (likely(cache->owner.heap &&"),
    ], ["api/heap_lock"]),
    ("blocks_in_any_order", "blocks come back in the order they were freed in", [
        ("src/tcache/order.c", "    if (unlikely(span->link_key))\n", "    if (true)\n"),
    ], ["unit/slab"]),
    ("forgotten_head", "blocks that come back to a slab do not become its head", [
        ("src/tcache/slab.c", "    mole_head_set(span, first);\n",
         "    span->free = first;\n"),
    ], ["unit/head"]),
    ("head_of_the_last", "the head stays where it was when its block goes out", [
        ("src/tcache/head.h", "    mole_head_set(span, next);\n", "    span->free = next;\n"),
    ], ["unit/head"]),
    ("fat_orphans", "what ended threads have free stays", [
        ("src/tcache/compact.c", "    mole_slab_retire_current(use->cache, use->slots);\n", ""),
    ], ["unit/compact"]),
    ("lean_for_good", "what ended threads have free goes once, and never again", [
        ("src/arena/heap.c", "        store_rlx(&owner->is_lean_a, false);\n", ""),
    ], ["unit/compact"]),
    ("slabs_handed_out_twice", "a current slab goes whose blocks are in another's batch",
     ONLY_NONE_LIVE, ["unit/slab"]),
    ("orphans_handed_out_twice", "the same of a cache that an ended thread left",
     ONLY_NONE_LIVE, ["unit/compact"]),
    ("mixed_handed_out_twice", "the same of the mixed slab", ONLY_NONE_LIVE, ["unit/mixed"]),
    ("rebuilt_in_order", "the order of a slab that was rebuilt after a fork is believed", [
        ("src/tcache/rebuild.c", "        mole_usage_note(cache, span, 1);", "       "),
    ], ["unit/wipe"]),
]
