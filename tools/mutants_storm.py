# SPDX-License-Identifier: MIT
"""The mutants that the storm of spies and its like kill, and these tests: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "spy_fork": ("plain", "tests/race/spy_fork.c"),
    "storm": ("plain", "tests/race/storm.c", 120),
    "storm/tsan": ("tsan", "tests/race/storm.c", 200),
    "api/spy_mark": ("plain", "tests/api/spy_mark_test.c"),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("no_grace", "mh_spy_detach waits for nobody", [
        ("src/spy/set.c", "    mole_grace_wait();\n", ""),
    ], ["storm"]),
    ("no_grace_counted", "where sections are counted nobody waits for them", [
        ("src/os/grace.c", "load_acq(&inside_a[phase]); turns++)", "false; turns++)"),
    ], ["storm"]),
    ("one_phase_only", "a grace period waits for one of the two phases", [
        # The pause only makes it likelier that somebody comes between the two.
        ("src/os/grace.c", "    add_seq_cst(&inside_a[phase], 1);",
         "    mole_thread_yield();\n    add_seq_cst(&inside_a[phase], 1);"),
        ("src/os/grace.c", "for (int i = 0; i < 2; i++) {", "for (int i = 0; i < 1; i++) {"),
    ], ["storm"]),
    ("wrong_phase", "a section is closed in the phase that is current", [
        ("src/os/grace.c", "sub_rel(&inside_a[section.phase], 1);",
         "sub_rel(&inside_a[load_rlx(&phase_a)], 1);"),
    ], ["storm"]),
    ("relaxed_section", "a counted section is closed without release", [
        ("src/os/grace.c", "sub_rel(&inside_a[section.phase], 1);",
         "sub_rlx(&inside_a[section.phase], 1);"),
    ], ["storm/tsan"]),
    ("late_section", "the spies are looked up, and then the section is opened", [
        # The pause only makes it likelier that somebody comes between the two.
        ("src/spy/fast.h", """        mole_spy_freed(heap, block, bytes, MOLE_SPY_NO_MARK);
        return;
    }
    const struct mole_set *set = load_acq(view->set_a); /* HB-SET-1 */
""", """        mole_spy_freed(heap, block, bytes, MOLE_SPY_NO_MARK);
        return;
    }
    const struct mole_set *set = early;
"""),
        ("src/spy/fast.h", "    struct mole_grace_reader *reader = "
         """mole_grace_enter_fast(view->grace);
    if (unlikely(!reader)) {
        mole_spy_freed(""", """    const struct mole_set *early = load_acq(view->set_a);
    mole_thread_yield();
    struct mole_grace_reader *reader = mole_grace_enter_fast(view->grace);
    if (unlikely(!reader)) {
        mole_spy_freed("""),
    ], ["storm"]),
    ("relaxed_set", "a set is published without release", [
        ("src/spy/set.c", "store_rel(&mole_set_a, set);", "store_rlx(&mole_set_a, set);"),
    ], ["storm/tsan"]),
    ("early_set", "a set is given back before the grace period", [
        ("src/spy/set.c", "    mole_grace_wait();\n", ""),
        ("src/spy/set.c", "        old = next;\n    }\n",
         "        old = next;\n    }\n    mole_grace_wait();\n"),
    ], ["storm"]),
    ("reallocated_late", "spies hear of a block that moved when the old one is gone", [
        ("src/watch/watch.c", "    mole_spy_reallocated(spied, &old, &now);\n"
         "    mole_block_resize_end(&rest, how);\n",
         "    mole_block_resize_end(&rest, how);\n"
         "    mole_spy_reallocated(spied, &old, &now);\n"),
    ], ["storm"]),
    ("destroyed_unsaid", "spies do not hear that a heap ends", [
        ("src/api/heap_create.c", "    mole_watch_destroyed(heap);\n", ""),
    ], ["storm"]),
    ("hears_itself", "a spy hears of what its own callbacks do", [
        ("src/spy/spy.c", "return unlikely(mole_grace_thread.frames) && is_in_frames(entry);",
         "return (void)is_in_frames, (void)entry, false;"),
    ], ["storm"]),
    ("waits_owning", "mh_spy_detach waits while its thread owns a HeapLock", [
        ("src/api/spy.c", " || mole_gate_is_any_mine()", ""),
    ], ["storm"]),
    ("resized_mark", "a sampled block that leaves every sample keeps its old size", [
        ("src/watch/watch.c", "(now->mark || after->mark)", "now->mark"),
    ], ["api/spy_mark"]),
    ("liburcu_asks", "liburcu makes barriers of its own, and ends the process when one is "
     "denied", [
        ("src/os/grace.c", "        CMM_STORE_SHARED(*urcu.has_membarrier, 0); /* see",
         "        (void)0; /* see"),
    ], ["storm"]),
    ("reader_ends_in_child", "liburcu hears of a thread's end in a fork's child", [
        ("src/os/grace.c", "    if (reader && urcu.is_ours)\n",
         "    if (!urcu.has_membarrier)\n"),
    ], ["storm"]),
    ("carried_away", "a fork's child waits for a callback of a thread it does not have", [
        ("src/os/grace.c", "else if (carried_thread != mole_thread_self())", "else if (false)"),
    ], ["spy_fork"]),
    ("carried_unseen", "a fork's child does not wait for the callback that forked", [
        ("src/os/grace.c", "        carried = reader, carried_thread = mole_thread_self();\n",
         "        carried_thread = 0;\n"),
    ], ["spy_fork"]),
    ("joined_inside", "liburcu gets to know a thread in the middle of a counted section", [
        ("src/os/grace.c", "urcu.is_loaded && !depth[0] && !depth[1] &&", "urcu.is_loaded &&"),
    ], ["storm"]),
    ("traits_after_fork", "a fork's child takes what is known of the spies as it was left", [
        ("src/spy/set.c",
         "    store_rlx(&mole_set_sample_a, least_sample(load_rlx(&mole_set_a)));\n", ""),
    ], ["spy_fork"]),
]
