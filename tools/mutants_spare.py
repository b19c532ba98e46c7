# SPDX-License-Identifier: MIT
"""The mutants of heaps that threads keep whole, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "unit/spare": ("plain", "tests/unit/spare_test.c", 60),
    "unit/wipe": ("plain", "tests/unit/wipe_test.c", 60),
    "spare_step": ("plain", "tests/race/spare_step.c", 120),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("resting_key", "the cache of a heap at rest keeps its keys", [
        ("src/arena/rest.c", "    mole_mode_deny(first);\n", ""),
    ], ["unit/spare"]),
    ("same_id", "a heap that lives again has the id it had", [
        ("src/arena/rest.c", "    uint64_t id = mole_heap_new_id();\n",
         "    uint64_t id = owner->id;\n"),
    ], ["unit/spare"]),
    ("unlooked_modes", "a heap that lives again does not get the modes of heaps to come", [
        ("src/arena/rest.c", "    mole_mode_begin(heap);\n", ""),
    ], ["unit/spare"]),
    ("spare_with_mode", "a heap with a mode set is kept", [
        ("src/arena/rest.c", " && !mole_mode_of(heap) &&\n"
         "           !load_rlx(&heap->gate.owner_a);", ";"),
    ], ["unit/spare"]),
    ("spare_of_others", "a thread keeps a heap whose first cache is another's", [
        ("src/tcache/spare.c", "!mole_thread_owns(mole_rest_owner(heap))", "false"),
    ], ["unit/spare"]),
    ("checked_spare", "a heap that is to have checks is one that was kept", [
        ("src/tcache/spare.c", " || mole_guard_is_wanted(flags)", ""),
    ], ["unit/spare"]),
    ("mixed_spares", "a heap without a lock may be one with it", [
        ("src/tcache/spare.c", "empty(&thread->spares.heap_a[is_locked][i])",
         "empty(&thread->spares.heap_a[1][i])"),
    ], ["unit/spare"]),
    ("ageless_spares", "passes leave what threads keep", [
        ("src/arena/pool.c", "    size_t kept = release_spares(false) + pass_over_slots();\n",
         "    size_t kept = pass_over_slots();\n"),
    ], ["unit/spare"]),
    ("hidden_spares", "who finds no memory does not know of heaps at rest", [
        ("src/tcache/spare.c", "    mole_pool_count_spare(slots);\n", ""),
    ], ["unit/spare"]),
    ("lost_spares", "a thread ends and keeps its heaps", [
        ("src/tcache/thread.c", "    mole_spare_drain(&thread->spares);\n", ""),
    ], ["unit/spare"]),
    ("unlinked_last", "the last block of a wiped slab keeps its old link", [
        ("src/tcache/wipe.c", "    if (unlikely(taken == span->fresh))\n"
         "        store_rlx(&span->entry_a[taken - 1], MOLE_END);\n", ""),
    ], ["unit/wipe"]),
    ("order_believed", "a wipe counts on the order of a list that frees have changed", [
        ("src/tcache/wipe.c", "    return span->armed == span->countdown && "
         "!cache->used[span->class] &&\n", "    return !cache->used[span->class] &&"),
    ], ["unit/wipe"]),
    ("order_despite_inbox", "a wipe does not look whether an inbox was emptied", [
        ("src/tcache/wipe.c", " && !cache->used[span->class]", ""),
    ], ["unit/wipe"]),
    ("clean_record", "what a dropped slab held looks live in the record's next one", [
        ("src/tcache/wipe.c", "    span->dirty = 1;\n", ""),
    ], ["unit/wipe", "api/heap_destroy"]),
    ("listed_nowhere", "lists of slabs outlive the heap", [
        ("src/tcache/wipe.c", "    memset(cache->partial, 0, sizeof cache->partial);\n", ""),
    ], ["unit/wipe"]),
    ("committed_before", "slabs of an earlier heap count as committed", [
        ("src/arena/span.c", "    return span->rested && !mole_span_live_count(span);\n",
         "    (void)span;\n    return false;\n"),
    ], ["unit/wipe"]),
    ("place_taken_twice", "a place is emptied by a look and a store", [
        ("src/tcache/spare.c", "    return load_rlx(place) ? swap_acq(place, NULL) : NULL;",
         "    struct mole_heap *heap = load_rlx(place);\n"
         "    store_rlx(place, NULL);\n    return heap;"),
    ], ["spare_step"]),
    ("keys_behind_the_word", "a heap that lives again gives its cache keys when all see it", [
        ("src/arena/rest.c", "    mole_mode_allow(owner);\n", ""),
        ("src/arena/rest.c", "    mole_mode_begin(heap);\n",
         "    mole_mode_begin(heap);\n    mole_mode_allow(owner);\n"),
    ], ["spare_step"]),
]
