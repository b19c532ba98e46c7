# SPDX-License-Identifier: MIT
"""The mutants of checked, hardened and executable heaps, and the tests that kill them:
mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "checked": ("plain", "tests/race/checked.c", 120, 3),
    "api/heap_checked": ("plain", "tests/api/heap_checked_test.c", 60),
    "api/heap_damage": ("plain", "tests/api/heap_damage_test.c", 60),
    "api/heap_flags": ("plain", "tests/api/heap_flags_test.c", 60),
    "api/heap_hardened": ("plain", "tests/api/heap_hardened_test.c", 60),
    "misuse/heap_hardened": ("plain", "tests/misuse/heap_hardened_test.c", 60),
    "unit/hardened": ("plain", "tests/unit/hardened_test.c"),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("tail_stays", "a block that is resized in place keeps its old tail", [
        ("src/arena/guard.c", "            fill(block, old, bytes, new_fill);\n    }\n"
         "    write_guards(heap, block, bytes);\n",
         "            fill(block, old, bytes, new_fill);\n    }\n"),
    ], ["api/heap_checked"]),
    ("free_unfilled", "freed memory is not filled", [
        ("src/arena/guard.c", "        mole_guard_freed(mole_span_heap(span), block, bytes);\n",
         "        ;\n"),
    ], ["api/heap_checked"]),
    ("free_unwatched", "validation of a heap does not look at free slots", [
        ("src/arena/guard.c",
         "        return mole_guard_is_dead(span, span->base + index * span->block_bytes);\n"
         "    return guards", "        return true;\n    return guards"),
    ], ["api/heap_checked"]),
    ("growth_unfilled", "what a block grows by is not filled", [
        ("src/arena/guard.c", "            fill(block, old, bytes, new_fill);\n",
         "            ;\n"),
    ], ["api/heap_checked"]),
    ("apart_dirty", "large memory in checked heaps is not made zero", [
        ("src/tcache/block.c", "bool is_clear = zero || mole_guard_is_clear(use->heap, bytes);",
         "bool is_clear = zero;"),
    ], ["api/heap_checked"]),
    ("unchecked_mode", "the fast paths apply to heaps with checks", [
        ("src/arena/heap.c", "uint64_t mode = heap->checks ? MOLE_MODE_CHECKED : 0;",
         "uint64_t mode = 0;"),
    ], ["api/heap_checked"]),
    ("unchecked_process_heap", "global_flag does not reach the process heap", [
        ("src/api/config.c", "            (void)mole_guard_take_up(mole_process_heap());\n",
         "            (void)0;\n"),
    ], ["api/heap_checked"]),
    ("in_use_checked", "global_flag reaches a process heap that is in use", [
        ("src/arena/guard.c", "    if (!is_unused(heap))\n        return false;\n", ""),
    ], ["api/heap_checked"]),
    ("realloc_blind", "HeapReAlloc takes a block with a damaged tail", [
        ("src/api/heap_check.c",
         "    return (heap->checks & MOLE_GUARD_OWN_TAIL) || !mole_last_error_is_compat();\n",
         "    return false;\n"),
    ], ["api/heap_damage"]),
    ("double_free_unseen", "a hardened heap only refuses a double free", [
        ("src/arena/corruption.c",
         "    if (!load_rlx(&ends_process_a) && !(heap->checks & MOLE_GUARD_HARD))\n"
         "        return;\n    const char", "    if (!load_rlx(&ends_process_a))\n"
         "        return;\n    const char"),
    ], ["misuse/heap_hardened"]),
    ("canary_unseen", "a free does not look at the canary", [
        ("src/tcache/guarding.c", "    mole_guarding_check(span, block);\n    tell(block);\n",
         "    tell(block);\n"),
    ], ["misuse/heap_hardened"]),
    ("fixed_unpadded", "blocks of fixed-size heaps have no room for their guards", [
        ("src/arena/fixed.h", "mole_fixed_granules(bytes + fixed->pad);",
         "mole_fixed_granules(bytes);"),
    ], ["api/heap_checked"]),
    ("fixed_unguarded", "a fixed-size heap's blocks get no guards", [
        ("src/tcache/block.c", "unlikely(use->heap->fixed) && likely(!use->heap->checks)",
         "unlikely(use->heap->fixed)"),
    ], ["api/heap_checked"]),
    ("fixed_free_unwatched", "what is free of a fixed-size heap is not looked at", [
        ("src/arena/guard.c", "           is_filled(at, (behind - granule) * MOLE_GRANULE, "
         "free_fill);\n", "           behind;\n"),
    ], ["api/heap_checked"]),
    ("fixed_guards_unwatched", "validation of a fixed-size heap skips live blocks", [
        ("src/arena/guard.c", "        return guards_are_whole(span->heap, at, bytes);\n",
         "        return true;\n"),
    ], ["api/heap_checked"]),
    ("fixed_shrunk_unfilled", "what a block of a fixed-size heap gives up is not filled", [
        ("src/arena/fixed.c", "        mole_guard_freed(fixed->span->heap, end, "
         "(old - now) * MOLE_GRANULE);\n", "        (void)end;\n"),
    ], ["api/heap_checked"]),
    ("fixed_risen_unfilled", "what is new of a fixed-size heap is not filled as free", [
        ("src/arena/fixed.c", "                     (high - fixed->high) * MOLE_GRANULE);\n"
         "    fixed->high", "                     0);\n    fixed->high"),
    ], ["misuse/heap_hardened"]),
    ("fixed_hoards_guarded", "caches keep blocks of a fixed-size heap with checks", [
        ("src/arena/fixed.c", "heap->checks ? 0 : (fixed->end - 1)", "(fixed->end - 1)"),
    ], ["api/heap_checked"]),
    ("fixed_blameless", "a fixed-size heap that is hardened only refuses a double free", [
        ("src/arena/corruption.c", "is_free_in_fixed(span, address) ? is_free",
         "is_free_in_fixed(span, address) && false ? is_free"),
    ], ["misuse/heap_hardened"]),
    ("fixed_unrepaired", "a fork's child leaves guards half done in a fixed-size heap", [
        ("src/arena/guard.c", "    if (bytes != MOLE_LARGE_FREE)\n"
         "        write_guards(span->heap, block, bytes);\n", "    (void)bytes;\n"),
    ], ["checked"]),
    ("one_canary", "all blocks of a hardened heap have one canary", [
        ("src/arena/guard.c", "heap->secret ^ (uintptr_t)block;", "heap->secret;"),
    ], ["misuse/heap_hardened"]),
    ("plain_links", "links in hardened heaps are not coded", [
        ("src/arena/span.c", "(uint16_t)(mole_random() % MOLE_END + 1) : 0", "0 : 0"),
    ], ["unit/hardened"]),
    ("links_unseen", "links in hardened heaps are followed unseen", [
        ("src/tcache/hardened.c",
         "    if (next == index || (next != MOLE_END && !is_free(span, next)))\n",
         "    if (next == index && next != index)\n"),
    ], ["unit/hardened"]),
    ("slots_in_a_row", "slots of hardened heaps are not shuffled", [
        ("src/arena/span.c", "    for (uint32_t index = count; --index > 0;) {\n",
         "    for (uint32_t index = 0; index + 1 < count; index++)\n"
         "        mole_link_set(span, index, index + 1);\n"
         "    mole_link_set(span, count - 1, 0);\n"
         "    for (uint32_t index = 1; --index > 0;) {\n"),
    ], ["api/heap_hardened"]),
    ("batched_links", "blocks of hardened heaps go into batches, which know no coded links", [
        ("src/tcache/block.c", "span->link_key ? NULL : use->cache", "use->cache"),
    ], ["checked", "api/heap_hardened"]),
    ("code_left", "memory of executable heaps goes to the pool as it is", [
        ("src/arena/arena.c", "    if (unlikely(arena->is_executable)) {\n",
         "    if (unlikely(arena->is_executable && !arena)) {\n"),
    ], ["api/heap_flags"]),
    ("code_stolen", "memory taken from executable heaps goes to the pool as it is", [
        ("src/tcache/steal.c", "        mole_arena_return(&heap->arena, slots, run);\n",
         "        mole_pool_give(slots, run);\n"),
    ], ["api/heap_flags"]),
    ("half_guarded", "a fork's child leaves guards half written", [
        ("src/tcache/process.c", "    mole_guarding_repair();\n", ""),
    ], ["checked"]),
]
