# SPDX-License-Identifier: MIT
"""The mutants of large spans that caches keep, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "unit/compact_need": ("plain", "tests/unit/compact_need_test.c"),
    "need_step": ("plain", "tests/race/need_step.c", 120),
    "unit/large_cache": ("plain", "tests/unit/large_cache_test.c", 60),
    "unit/large_buffers": ("plain", "tests/unit/large_buffers_test.c"),
    "large_step": ("plain", "tests/race/large_step.c", 240),
}

HEADER = "src/tcache/large_cache.h"
SOURCE = "src/tcache/large_cache.c"


def in_need(old, new=""):
    return ("src/tcache/compact.c", old, new)


# Arguments of mutants.Mutant.
MUTANTS = [
    ("kept_live", "a large block that is kept stays live", [
        (HEADER, "    store_rlx(&span->bytes_a, MOLE_LARGE_FREE);\n", ""),
    ], ["unit/large_cache"]),
    ("kept_twice", "a large block that is kept can be freed again", [
        (HEADER, "load_rlx_folded(&span->bytes_a) == MOLE_LARGE_FREE", "false"),
    ], ["unit/large_cache"]),
    ("kept_inside", "an address on a large block's first page frees it", [
        (HEADER, "span->base != block ||", ""),
    ], ["unit/large_cache"]),
    ("kept_elsewhere", "HeapFree keeps large blocks of other heaps", [
        ("src/api/heap.c", "mole_owner_is_key(handle) && span->heap == cache->owner.heap)",
         "mole_owner_is_key(handle))"),
    ], ["unit/large_cache"]),
    ("kept_dirty", "a zeroed block is what an earlier one left there", [
        (SOURCE, "zero && state_of(kept) != MOLE_LARGE_CLEAN", "false"),
    ], ["unit/large_cache"]),
    ("kept_young", "the first pass gives the pages of what is kept back", [
        (SOURCE, "state_of(kept) == MOLE_LARGE_READY && !pass->all", "false"),
    ], ["unit/large_cache"]),
    ("kept_for_good", "passes leave what caches keep", [
        ("src/tcache/process.c", " + mole_large_cache_pass(all)", ""),
    ], ["unit/large_cache"]),
    ("kept_without_end", "caches keep spans of all sizes", [
        (SOURCE, "    return sum <= MOLE_LARGE_KEPT;\n", "    return true;\n"),
    ], ["unit/large_cache"]),
    ("kept_alone", "of each size one span is kept, however many the program uses", [
        (SOURCE, "        if (chunks_in(i) == chunks)\n            return i;\n", ""),
    ], ["unit/large_buffers"]),
    ("kept_uncounted", "what further slots keep is not counted", [
        (SOURCE, "sum += load_rlx(&large->slot_a[i]) ? chunks_in(i) : 0;",
         "sum += load_rlx(&large->slot_a[i]) && i < MOLE_LARGE_ODD ? chunks_in(i) : 0;"),
    ], ["unit/large_buffers"]),
    ("kept_first", "sizes that are not used any more keep their room", [
        (SOURCE, "            age(cache, slots, &large->slot_a[i]);\n", ""),
    ], ["unit/large_cache"]),
    ("kept_code", "heaps whose memory executes keep spans", [
        (SOURCE, " || heap->arena.is_executable)", ")"),
    ], ["unit/large_cache"]),
    ("kept_odd", "spans whose block does not start their run are kept", [
        ("src/arena/large.c", "span->base == run->base && run->chunks <= MOLE_LARGE_MOST",
         "run->chunks <= MOLE_LARGE_MOST"),
    ], ["unit/large_cache"]),
    ("kept_over_compacting", "HeapCompact leaves what caches keep", [
        ("src/tcache/compact.c", "    (void)mole_large_cache_reclaim(heap, slots);\n", ""),
    ], ["unit/large_cache"]),
    ("kept_in_need", "a heap without a lock that finds no memory leaves what it keeps", [
        in_need("    (void)mole_large_cache_reclaim(heap, use->slots);\n"),
    ], ["unit/large_cache", "unit/compact_need"]),
    ("empty_in_need", "empty slabs stay with a cache while memory is short", [
        in_need("        mole_compact_cache(use->cache, use->slots);\n", "        {}\n"),
    ], ["unit/compact_need"]),
    ("batches_in_need", "so do other caches' blocks in its batches", [
        ("src/tcache/compact.c", "    mole_tcache_flush(cache);\n    mole", "    mole"),
    ], ["unit/compact_need"]),
    ("full_in_need", "and full slabs that came back whole", [
        in_need("    (void)mole_steal(heap, use->slots);\n"),
    ], ["unit/compact_need"]),
    ("left_in_need", "and what ended threads left", [
        in_need("    check(!mole_tcache_alloc_from_orphans(heap, use->slots, self, "
             "MOLE_CLASS_COUNT, 0));\n", "    (void)self;\n"),
    ], ["unit/compact_need"]),
    ("kept_when_grown", "and all of it if a large block is to grow", [
        ("src/tcache/block.c",
         "        if (unlikely(!rest->run) && mole_compact_in_need(use, bytes))\n",
         "        if (0)\n"),
    ], ["unit/compact_need"]),
    ("in_need_of_room_to_grow", "room for growth is worth what the cache keeps", [
        ("src/tcache/block.c", "try_alloc(use, class, roomy, MOLE_ALIGN, false) : NULL;",
         "alloc_inside(use, roomy, MOLE_ALIGN, how) : ((void)class, NULL);"),
    ], ["unit/compact_need"]),
    ("in_need_entered_late", "room is made of an orphan by who looked at the gate before "
     "the operation", [
        ("src/tcache/refill.c",
         "        mole_tcache_enter(cache);\n        if (mole_gate_is_shut(heap, true)) {\n",
         "        bool is_shut = mole_gate_is_shut(heap, true);\n"
         "        mole_tcache_enter(cache);\n        if (is_shut) {\n"),
    ], ["need_step"]),
    ("in_need_not_adopted", "and of one that others may adopt meanwhile", [
        ("src/tcache/refill.c", "        if (!mole_heap_adopt_one(owner, thread))\n",
         "        if (load_rlx(&owner->thread_a) != MOLE_ORPHAN)\n"),
    ], ["need_step"]),
    ("in_need_of_too_much", "a request beyond all there is empties the cache", [
        in_need("    if (bytes > mole_region_reserved())\n        return false;\n",
                "    (void)bytes;\n"),
    ], ["unit/compact_need"]),
    ("kept_over_fork", "a fork's child does not look for what other threads keep", [
        ("src/tcache/rebuild.c",
         "        else if (span->kind == MOLE_SPAN_LARGE && is_free(span))\n"
         "            mole_large_release(heap, slots, span, false);\n", ""),
    ], ["unit/large_cache"]),
    ("kept_counted", "HeapSummary counts what caches keep", [
        ("src/arena/census.c", "    if (is_kept(mole_span_map_find(run->base)))\n"
         "        return;\n", ""),
    ], ["unit/large_cache"]),
    ("dropped_in_use", "a heap ends with a span that a pass is busy with", [
        (SOURCE, "if (state_of(kept) == MOLE_LARGE_BUSY && !run)", "if (false)"),
    ], ["large_step"]),
    ("reclaimed_in_use", "a span is taken from the pass that is busy with it", [
        (SOURCE, "while (span_in(kept) && state_of(kept) != MOLE_LARGE_BUSY)",
         "while (span_in(kept))"),
    ], ["large_step"]),
]
