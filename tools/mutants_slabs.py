# SPDX-License-Identifier: MIT
"""The mutants of slabs and of what is free in them, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "unit/refill": ("plain", "tests/unit/refill_test.c"),
    "unit/steal": ("plain", "tests/unit/steal_test.c"),
    "unit/order": ("plain", "tests/unit/order_test.c"),
    "unit/slab": ("plain", "tests/unit/slab_test.c"),
    "unit/holes": ("plain", "tests/unit/holes_test.c"),
    "unit/sweep": ("plain", "tests/unit/sweep_test.c"),
    "holes": ("plain", "tests/race/holes.c", 120),
    "map_step": ("plain", "tests/race/map_step.c", 120),
}

# What is in another thread's batch is not live, either.
ONLY_NONE_LIVE = [("src/tcache/slab.c", "    return index == MOLE_END && count == span->fresh && ",
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
    ], ["unit/order"]),
    ("parts_of_pages", "what shares a page of the system's with a hole goes with it", [
        ("src/os/pages.c", "    if (((uintptr_t)start | bytes) & (getauxval(AT_PAGESZ) - 1))\n",
         "    if (false)\n"),
    ], ["unit/pages"]),
    ("order_unasked", "what comes back is put in order though it nearly is", [
        ("src/tcache/order.c", "leaps * FEW <= count", "leaps * FEW == UINT32_MAX"),
    ], ["unit/order"]),
    ("order_presumed", "what comes back is taken for ordered", [
        ("src/tcache/order.c", "leaps * FEW <= count", "leaps < UINT32_MAX"),
    ], ["unit/order"]),
    ("refill_of_its_own", "a refill passes over what other threads gave back", [
        ("src/tcache/refill.c", " ||\n                 load_rlx(&cache->owner.woken_a)))", "))"),
    ], ["unit/refill"]),
    ("stolen_and_counted", "a cache is said to have the slabs that were stolen", [
        ("src/tcache/steal.c", "mole_growth_note_gone(", "(void)("),
    ], ["unit/steal"]),
    ("collected_by_refills", "who only frees leaves what other threads gave back", [
        ("src/tcache/slab.c", "    mole_slab_collect(cache, slots); /* who", "    /* who"),
    ], ["unit/refill"]),
    ("lean_but_woken", "what comes back to a lean cache without a thread stays", [
        ("src/tcache/compact.c", " || load_rlx(&owner->woken_a);", ";"),
    ], ["unit/compact"]),
    ("soon_large", "slabs of large blocks double though a class has few", [
        ("src/tcache/slab.c", "made < MANY_SLABS ? MOST_BLOCKS", "made < 2 ? MOST_BLOCKS"),
    ], ["unit/refill"]),
    ("never_large", "slabs of large blocks stay small", [
        ("src/tcache/slab.c", "made < MANY_SLABS ? MOST_BLOCKS", "made < 1000 ? MOST_BLOCKS"),
    ], ["unit/refill"]),
    ("slowly_larger", "the second and third slab of a class are small", [
        ("src/tcache/slab.c", "pages < least ? least : pages", "(void)least, pages"),
    ], ["unit/refill"]),
    ("newest_of_few", "the newest slab of few blocks follows, which has two free ones", [
        ("src/tcache/slab.h", "    return newest->prev;\n", "    return newest;\n"),
    ], ["unit/refill"]),
    ("oldest_of_many", "the oldest slab follows, of many blocks too", [
        ("src/tcache/slab.h", "newest->capacity >= MOLE_SLAB_FEW || ", ""),
    ], ["unit/refill"]),
    ("purged_in_turn", "a slab that lost pages is used before others", [
        ("src/tcache/slab.h", " || newest->prev->purged)", ")"),
    ], ["unit/refill"]),
    ("carved_last", "a slab with blocks never used is set aside", [
        ("src/tcache/slab.h", " && span->fresh == span->capacity &&", " &&"),
    ], ["unit/refill"]),
    ("no_slab_set_aside", "a class that has no slab sets it aside", [
        ("src/tcache/slab.h", " &&\n           span != &mole_tcache_none;", ";"),
    ], ["unit/refill"]),
    ("replaced_unswept", "a slab that replaces another does not count for sweeps", [
        ("src/tcache/slab.c", "    mole_sweep_go_on(cache);\n    return true;",
         "    return true;"),
    ], ["unit/sweep"]),
    ("swept_in_a_pause", "sweeps go on in a pause of the heap", [
        ("src/tcache/sweep.c", "    if (cache->keeps_all) {", "    if (false) {"),
    ], ["unit/sweep"]),
    ("worked_with_for_good", "a heap that is kept counts as worked with in its next life", [
        ("src/tcache/wipe.c", "    store_rlx(&cache->owner.is_worked_a, false);", "    "),
    ], ["unit/wipe"]),
    ("always_listed", "a full slab is listed though the current one has no block", [
        ("src/tcache/slab.c", "        if (!replace_current(cache, span))\n", ""),
    ], ["unit/refill"]),
    ("kept_for_others", "the room is for what others freed, too", [
        ("src/tcache/empties.c", "        !(is_own && may_have_room", "        !(may_have_room"),
    ], ["unit/empties"]),
    ("kept_unneeded", "the room is for who never needed a slab, too", [
        ("src/tcache/empties.c", "    if (pages > cache->dear_made)\n", "    if (false)\n"),
    ], ["unit/empties"]),
    ("room_of_the_vanished", "a fork's child misses the room of a heap that was being destroyed", [
        ("src/tcache/process.c", "    mole_empties_recount(); /*", "    /*"),
    ], ["fork_step"]),
    ("room_of_the_dead", "and counts that of heaps at rest and dead ones", [
        ("src/tcache/empties.c", "load_rlx(&heap->word_a) ? mole_heap_owners(heap) : NULL;",
         "mole_heap_owners(heap);"),
    ], ["unit/empties"]),
    ("kept_by_an_heir", "a thread has as much room as the one before it needed", [
        ("src/tcache/empties.h", "    cache->dear_made = 0;\n", "    (void)cache;\n"),
    ], ["unit/empties"]),
    ("kept_of_small_blocks", "the room is for slabs of small blocks, too", [
        ("src/tcache/empties.c", "FIRST_DEAR = 8 + 8 * 3,", "FIRST_DEAR = 8 + 8 * 2,"),
    ], ["unit/empties"]),
    ("kept_unlocked", "a heap without a lock has room, which nobody takes from it", [
        ("src/tcache/empties.c", "is_dear(class) && arena->is_locked &&", "is_dear(class) &&"),
    ], ["unit/empties"]),
    ("kept_executable", "an executable heap has room, which nobody takes from it", [
        ("src/tcache/empties.c", " && !arena->is_executable &&", " &&"),
    ], ["unit/empties"]),
    ("kept_when_shrinking", "the room is used while the program shrinks", [
        ("src/tcache/empties.c", " &&\n           !mole_warmth_is_full();", ";"),
    ], ["unit/empties"]),
    ("left_when_shrinking", "slabs in the room stay when the program shrinks", [
        ("src/tcache/slab.c", "    mole_empties_shrink(cache, slots);\n", ""),
    ], ["unit/empties"]),
    ("empties_unswept", "slabs in the room stay though nobody takes them", [
        ("src/tcache/sweep.c", "        mole_empties_sweep(cache);\n", ""),
    ], ["unit/empties"]),
    ("empties_all_swept", "slabs in the room go with each sweep though they are in use", [
        ("src/tcache/empties.c", "    uint32_t least = cache->dear_least;\n",
         "    uint32_t least = cache->dear_pages;\n"),
    ], ["unit/empties"]),
    ("empties_swept_at_once", "one sweep gives back all that the room holds", [
        ("src/tcache/empties.c", "least < MUCH_ROOM ? least : MUCH_ROOM", "least"),
    ], ["unit/empties"]),
    ("few_swept", "the few empty slabs that may always stay are swept", [
        ("src/tcache/empties.c", "    if (cache->dear_room)\n        drop_dear",
         "    if (cache->dear_pages)\n        drop_dear"),
    ], ["unit/empties"]),
    ("crowded_empties", "what is in the room counts for the few that each cache may have", [
        ("src/tcache/empties.c",
         "    return cache->empty_pages - (cache->dear_pages < room ? cache->dear_pages : room);\n",
         "    return cache->empty_pages - 0 * room;\n"),
    ], ["unit/empties"]),
    ("endless_room", "each cache has as much room as it wants", [
        ("src/tcache/empties.c", "        if ((int32_t)(room + more) > MOLE_ROOM_PAGES)\n",
         "        if (cache->dear_room + more > MOLE_ROOM_PAGES)\n"),
    ], ["unit/empties"]),
    ("room_of_dead_heaps", "room of caches whose heap ends is lost", [
        ("src/tcache/tcache.c", "        if (unlikely(cache->dear_room))\n",
         "        if (false)\n"),
    ], ["unit/empties"]),
    ("room_of_heaps_at_rest", "room of a heap that is kept whole is lost", [
        ("src/tcache/wipe.c", "        mole_empties_forget(cache);\n",
         "        memset(cache->empties, 0, sizeof cache->empties);\n"
         "    cache->empty_pages = cache->dear_pages = cache->dear_room = 0;\n"),
    ], ["unit/empties"]),
    ("room_never_back", "room that is not needed any more stays a cache's", [
        ("src/tcache/empties.c", "        give_room(cache, cache->dear_pages);\n",
         "        fence_compiler();\n"),
    ], ["unit/empties"]),
    ("room_of_vanished_threads", "a fork's child lacks the room of threads it does not have", [
        ("src/tcache/rebuild.c", "    mole_empties_forget(cache);\n",
         "    cache->empty_pages = 0;\n"),
    ], ["unit/empties"]),
    ("listed_for_one", "a full slab of 16 blocks is listed for one free one", [
        ("src/tcache/slab.c", "span->capacity < MOLE_SLAB_FEW ? 2 :", "span->capacity < 32 ? 1 :"),
    ], ["unit/refill"]),
    ("listed_never", "a full slab of few carved blocks waits for more frees than there are", [
        ("src/tcache/slab.c", "    return span->fresh < frees ? span->fresh : frees;\n",
         "    return frees;\n"),
    ], ["unit/refill"]),
    ("eight_blocks_for_good", "slabs of large blocks do not grow", [
        ("src/tcache/slab.c", "MOST_BLOCKS = 16", "MOST_BLOCKS = 8"),
    ], ["unit/refill"]),
    ("large_or_none", "no small slab is made when there is no memory for a large one", [
        ("src/tcache/slab.c", "    forget_made(cache);", ""),
    ], ["unit/refill"]),
    ("holes_of_small_slabs", "a bit stands for two pages of all larger slabs", [
        ("src/arena/holes.h", "    return pages > 1 ? pages * MOLE_PAGE : MOLE_PAGE;",
         "    return pages > 1 ? (size_t)2 * MOLE_PAGE : MOLE_PAGE;"),
    ], ["unit/holes"]),
    ("forgotten_head", "blocks that come back to a slab do not become its head", [
        ("src/tcache/slab.c", "    mole_head_set(span, first);\n",
         "    span->free = first;\n"),
    ], ["unit/head"]),
    ("head_of_the_last", "the head stays where it was when its block goes out", [
        ("src/tcache/head.h", "    mole_head_set(span, next);\n", "    span->free = next;\n"),
    ], ["unit/head"]),
    ("fat_orphans", "what ended threads have free stays", [
        ("src/tcache/compact.c", "    mole_compact_cache(use->cache, use->slots);\n    return",
         "    return"),
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
    ("holes_under_ends", "a page that only the end of a live block lies in is a hole", [
        ("src/arena/holes.c", "units |= units_between(index * bytes / unit, last);",
         "units |= units_between(index * bytes / unit, index * bytes / unit);"),
    ], ["unit/holes", "holes"]),
    ("holes_behind_edges", "a block on the edge of two pages is passed over", [
        ("src/arena/holes.c", "            index = next - 1;\n", "            index = next;\n"),
    ], ["unit/holes"]),
    ("holes_anew", "holes are given back again and again", [
        ("src/arena/holes.c", " & ~span->purged;", ";"),
    ], ["unit/holes"]),
    ("refused_holes", "a hole that the system refused counts as given back", [
        ("src/arena/holes.c", "            continue; /* refused: resident still */\n",
         "            ;\n"),
    ], ["unit/holes"]),
    ("checked_holes", "what checked heaps write into free blocks is given back", [
        ("src/arena/holes.c", "    if (span->heap->checks)\n        return 0;\n", ""),
    ], ["unit/holes"]),
    ("young_holes", "slabs lose their holes at once", [
        ("src/tcache/sweep.c", " >= MOLE_SWEEP_AGE;", " >= 0;"),
    ], ["unit/sweep"]),
    ("looked_at_always", "slabs with many live blocks are looked at in each sweep", [
        ("src/tcache/sweep.c", "    if (span->countdown > span->look_at)\n        return 0;\n", ""),
    ], ["unit/sweep"]),
    ("looked_at_once", "slabs are looked at only once", [
        ("src/tcache/sweep.c", "(span->countdown * 3 / 4)", "0"),
    ], ["unit/sweep"]),
    ("endless_steps", "a step goes through all slabs", [
        ("src/tcache/sweep.c", "slabs < MOLE_SWEEP_SLABS && pages < MOLE_SWEEP_PAGES", "true"),
    ], ["unit/sweep"]),
    ("endless_sweeps", "one sweep follows the other", [
        ("src/tcache/sweep.c", "        if (sweep->began == sweep->now)\n            return;\n",
         ""),
    ], ["unit/sweep"]),
    ("purged_for_good", "what was given back and used again is not given back", [
        ("src/tcache/sweep.c", "    span->purged = 0;\n", ""),
    ], ["unit/sweep"]),
    ("swept_when_gone", "the sweep goes on in a slab that went", [
        ("src/tcache/slab.c", "    mole_sweep_forget(cache, span);\n", ""),
    ], ["unit/sweep"]),
    ("newest_first", "the sweep begins with the slab that is used next", [
        ("src/tcache/slab.c", "    span->prev = next ? next->prev : span;\n",
         "    span->prev = span;\n"),
    ], ["unit/sweep"]),
    ("unswept_shrinking", "slabs that become partial make no steps", [
        ("src/tcache/slab.c", "returned == 0);\n    mole_sweep_go_on(cache);\n",
         "returned == 0);\n"),
    ], ["unit/sweep"]),
    ("unswept_growing", "slabs that are made make no steps", [
        ("src/tcache/slab.c", "    mole_sweep_go_on(cache);\n    return span;\n",
         "    return span;\n"),
    ], ["unit/sweep"]),
    ("uncompacted_holes", "HeapCompact leaves holes", [
        ("src/tcache/compact.c", "        (void)mole_sweep_all(cache);\n", ""),
    ], ["unit/sweep"]),
    ("untrimmed_holes", "malloc_trim leaves holes", [
        ("src/tcache/compact.c", "    return mole_sweep_all(use->cache);\n", "    return 0;\n"),
    ], ["unit/sweep"]),
    ("sweep_of_the_dead", "a heap that lives again goes on with the sweep of before", [
        ("src/tcache/wipe.c", "    mole_sweep_end(cache);\n", ""),
    ], ["unit/sweep"]),
    ("sweep_of_another", "a new cache goes on with the sweep of the record's last one", [
        ("src/tcache/tcache.c", "    mole_sweep_init(cache);\n", ""),
        ("src/tcache/wipe.c", "    mole_sweep_end(cache);\n", ""),
    ], ["unit/sweep"]),
    ("sweep_after_fork", "a rebuilt cache goes on with the sweep of before", [
        ("src/tcache/rebuild.c", "    mole_sweep_end(cache);\n", ""),
    ], ["unit/sweep"]),
    ("view_left_behind", "malloc's view is switched on by a limit that was", [
        ("src/arena/span_map.c", "    do\n        raise_view(view, limit, true);\n"
         "    while (!cas_weak_acq_rel(&mole_map.limit_a, &limit, limit)); /* HB-MAP-3 */\n",
         "    raise_view(view, limit, true);\n"),
    ], ["map_step"]),
]
