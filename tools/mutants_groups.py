# SPDX-License-Identifier: MIT
"""The mutants of groups of records whose pages go, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "unit/group": ("plain", "tests/unit/group_test.c", 60),
    "group_step": ("plain", "tests/race/group_step.c", 120),
    "late_step": ("plain", "tests/race/late_step.c", 120),
    "groups": ("plain", "tests/race/groups.c", 60, 3),
    "groups/tsan": ("tsan", "tests/race/groups.c", 120, 2),
}

GROUP = "src/arena/group.c"

# Arguments of mutants.Mutant.
MUTANTS = [
    ("group_not_listed", "a give leaves the group that was used up where it is", [
        (GROUP, "    if (!(state & LISTED))\n        mole_meta_push(&shelves", "    if (false)\n"
         "        mole_meta_push(&shelves"),
    ], ["unit/group"]),
    ("groups_alike", "all groups give their first record first", [
        (GROUP, "state >> group->turn << group->turn & BITS", "state & BITS"),
    ], ["unit/group"]),
    ("group_listed_twice", "a give lists a group that is listed", [
        (GROUP, "    if (!(state & LISTED))\n        mole_meta_push(&shelves",
         "    if (!(state & BITS))\n        mole_meta_push(&shelves"),
    ], ["group_step"]),
    ("group_dropped", "a group taken out of the stack is forgotten, though it got a record back", [
        (GROUP, "        if (state & BITS) {\n", "        if (false) {\n"),
    ], ["group_step"]),
    ("gone_group_dropped", "a group whose pages are gone is forgotten", [
        (GROUP, "        if (state & GONE)\n"
         "            mole_meta_push(&shelf->cold, &group->meta);\n", ""),
    ], ["unit/group"]),
    ("going_is_gone", "a group whose pages are about to go is used again", [
        (GROUP, "        if (state & GONE)\n            mole_meta_push",
         "        if (state & (GONE | GOING))\n            mole_meta_push"),
    ], ["group_step"]),
    ("purged_in_use", "a group's pages go while its records can be taken", [
        (GROUP, "(state & LISTED) | GOING", "state | GOING"),
    ], ["group_step"]),
    ("gone_unlisted", "a group whose pages went is in no stack if it was taken out meanwhile", [
        (GROUP, "if (!(state & LISTED)) /* else", "if (false) /* else"),
    ], ["group_step"]),
    ("purged_at_once", "no group keeps its pages", [
        (GROUP, "add_rlx(&shelf->whole_a, 1) < MOLE_GROUP_KEPT", "add_rlx(&shelf->whole_a, 1) < 0"),
    ], ["unit/group"]),
    ("never_purged", "all groups keep their pages", [
        (GROUP, "add_rlx(&shelf->whole_a, 1) < MOLE_GROUP_KEPT",
         "add_rlx(&shelf->whole_a, 1) < INT32_MAX"),
    ], ["unit/group"]),
    ("large_purged", "records of large spans are purged", [
        (GROUP, "group->record_bytes <= MOLE_GROUP_STAYS", "false"),
    ], ["unit/group"]),
    ("refused_is_gone", "a group whose pages the system keeps counts as gone", [
        (GROUP, "bool is_gone = mole_pages_purge(group->start, group->bytes);",
         "bool is_gone = true;\n    (void)mole_pages_purge(group->start, group->bytes);"),
    ], ["unit/group"]),
    ("new_before_gone", "new groups are made while there are some whose pages are gone", [
        (GROUP, "if (revive(shelf) || create(size))", "if (create(size) || revive(shelf))"),
    ], ["unit/group"]),
    ("refused_in_hand", "a take fails while another has the last group in hand", [
        (GROUP, "            if (is_bare(shelf))\n", "            if (true)\n"),
    ], ["group_step"]),
    ("unseen_listing", "a take fails while another lists the last group", [
        (GROUP, "        if (!(state & LISTED) && !has_begun)\n            begin();\n"
         "        has_begun |= !(state & LISTED);\n", ""),
    ], ["group_step"]),
    ("child_without_groups", "a fork's child loses what other threads had in hand", [
        ("src/tcache/process.c", "    if (!was_alone)\n        mole_group_repair();\n", ""),
    ], ["group_step"]),
    ("going_in_child", "a fork's child never ends another thread's purge", [
        (GROUP, "    if (state & GOING)\n        state = group->all;\n", ""),
    ], ["group_step"]),
    ("relaxed_give", "what was in a record is not released with it", [
        (GROUP, "} while (!cas_weak_acq_rel(&group->state_a, &state, with)); "
         "/* HB-GROUP-1, -2 */\n",
         "} while (!cas_weak_rlx(&group->state_a, &state, with));\n"),
    ], ["groups/tsan"]),
    ("late_owner", "HeapFree follows a span's owner that is gone", [
        ("src/api/heap.c", "(struct mole_tcache *)(void *)mole_span_owner(span);",
         "(struct mole_tcache *)(void *)span->owner;"),
    ], ["late_step"]),
    ("late_owner_spied", "a spied free follows a span's owner that is gone", [
        ("src/arena/late.h", "return (struct mole_owner *)(void *)((char *)span + span->to_owner);",
         "return span->owner;"),
    ], ["late_step"]),
    ("late_heap", "a late call follows a span's heap that is gone", [
        ("src/arena/late.h", "    return likely(heap) ? heap : &mole_heap_nobody;",
         "    return heap;"),
    ], ["late_step"]),
    ("late_room", "who frees a block of a checked heap follows a table that is gone", [
        ("src/arena/guard.c", "    if (kind != MOLE_SPAN_FIXED)\n",
         "    if (kind == MOLE_SPAN_SLAB)\n"),
    ], ["late_step"]),
    ("late_index", "a free that found its block goes on when the record is purged", [
        ("src/tcache/block.c", "    if (unlikely(!mole_span_index(span, block, &index) || "
         "index >= span->capacity))\n        return;\n",
         "    check(mole_span_index(span, block, &index));\n"),
        ("src/tcache/block.c", '#include "arena/exact.h"\n',
         '#include "arena/exact.h"\n#include "base/check.h"\n'),
    ], ["late_step"]),
]
