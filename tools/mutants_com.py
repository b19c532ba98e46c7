# SPDX-License-Identifier: MIT
"""The mutants of the task allocator and its spies, and the tests that kill them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "com": ("plain", "tests/race/com.c", 120, 2),
    "com_fork": ("plain", "tests/race/com_fork.c", 60),
    "api/malloc_spy": ("plain", "tests/api/malloc_spy_test.c", 30),
    "api/malloc_spy_lock": ("plain", "tests/api/malloc_spy_lock_test.c", 100),
    "api/malloc_spy_revoke": ("plain", "tests/api/malloc_spy_revoke_test.c", 30),
    "api/task_malloc": ("plain", "tests/api/task_malloc_test.c"),
    "unit/ledger": ("plain", "tests/unit/ledger_test.c"),
}

TAKE = "    struct mole_record *record = spyed ? mole_ledger_take(client) : NULL;\n"
PRE_FREE = "    void *block = IMallocSpy_PreFree(use.spy, client, spyed);\n"
AFTER_FREE = """    IMallocSpy_PostFree(use.spy, spyed);
    mole_ledger_drop(record);
    mole_com_end(&use);
"""

# Arguments of mutants.Mutant.
MUTANTS = [
    ("com_lock_once", "a spy's calls of the task allocator wait for their own lock", [
        ("src/os/recursive.c", "    if (mole_recursive_is_mine(lock)) {\n"
         "        lock->depth++;\n        return;\n    }\n", ""),
    ], ["api/malloc_spy"]),
    ("com_lock_always", "the task allocator takes the spy's lock, spy or not", [
        ("src/api/task_malloc.c", "static void *plain_alloc(size_t bytes)\n{\n",
         "static void *plain_alloc(size_t bytes)\n{\n    mole_com_lock();\n"
         "    mole_com_unlock();\n"),
    ], ["api/task_malloc"]),
    ("com_unlocked", "a spy is called by several threads at once, whatever it says", [
        ("src/spy/com.c", "    com.uses = use;\n    if (com.is_free)\n        mole_com_unlock();\n",
         "    com.uses = use;\n    mole_com_unlock();\n"),
        ("src/spy/com.c", "    if (com.is_free)\n        mole_com_lock();\n",
         "    mole_com_lock();\n"),
    ], ["com"]),
    ("com_early_release", "a revoke does not ask whether calls are under way", [
        ("src/spy/com.c", "is_owed || com.uses ||", "is_owed ||"),
    ], ["api/malloc_spy_revoke"]),
    ("com_release_before_post", "a pending revoke ends before the last Post call", [
        ("src/spy/task.c", AFTER_FREE, """    mole_ledger_drop(record);
    mole_com_end(&use);
    IMallocSpy_PostFree(use.spy, spyed);
"""),
    ], ["api/malloc_spy_revoke"]),
    ("com_release_under_lock", "a spy is released under the lock", [
        ("src/spy/com.c", "    *at = use->next;\n    IMallocSpy *gone = wait_and_finish();\n"
         "    mole_com_unlock();\n    release(gone);\n",
         "    *at = use->next;\n    release(wait_and_finish());\n    mole_com_unlock();\n"),
    ], ["api/malloc_spy_revoke"]),
    ("com_gone_before_pre_free", "a record goes before PreFree", [
        ("src/spy/task.c", PRE_FREE + TAKE, TAKE + PRE_FREE),
    ], ["api/malloc_spy"]),
    ("com_spyed_after_pre", "PostRealloc is told what is known after the call, not before", [
        ("src/spy/task.c", "IMallocSpy_PostRealloc(spy, moved, spyed)",
         "IMallocSpy_PostRealloc(spy, moved, is_spyed(client))"),
    ], ["api/malloc_spy"]),
    ("com_always_spyed", "PostRealloc is told that the block was spyed", [
        ("src/spy/task.c", "IMallocSpy_PostRealloc(spy, moved, spyed)",
         "IMallocSpy_PostRealloc(spy, moved, TRUE)"),
    ], ["api/malloc_spy"]),
    ("com_failure_forgets", "a failed Realloc forgets that the block is spyed", [
        ("src/spy/task.c", "        if (was_spyed)\n", "        if (was_spyed && false)\n"),
    ], ["api/malloc_spy"]),
    ("com_refusal_forgets", "a refused Realloc forgets that the block is spyed", [
        ("src/spy/task.c", "    if (!wanted && bytes)\n        return NULL;\n"
         "    struct mole_record *record = spyed",
         "    if (!wanted && bytes) {\n        mole_ledger_drop(mole_ledger_take(client));\n"
         "        return NULL;\n    }\n    struct mole_record *record = spyed"),
    ], ["api/malloc_spy"]),
    ("com_translated_pointer", "PostDidAlloc gets the spy's own pointer", [
        ("src/spy/task.c", "PostDidAlloc(use.spy, client,", "PostDidAlloc(use.spy, block,"),
    ], ["api/malloc_spy"]),
    ("com_no_section", "a free-threaded spy is called outside of any section", [
        ("src/spy/com.c", "    use->word = word;\n    return true;\n}\n\n/* False likewise.",
         "    use->word = word;\n    mole_grace_leave(use->section);\n    return true;\n}\n\n"
         "/* False likewise."),
        ("src/spy/com.c", "        return;\n    }\n    mole_grace_leave(use->section);\n",
         "        return;\n    }\n"),
    ], ["com"]),
    ("com_no_wait", "a free-threaded spy is released without a grace period", [
        ("src/spy/com.c", "    mole_grace_wait();\n", ""),
    ], ["com"]),
    ("com_never_closing", "a pending spy goes when by chance nobody is inside", [
        ("src/spy/com.c", "    set_closing(!is_owed);\n", ""),
    ], ["com"]),
    ("com_never_reopened", "a closing spy does not hear of blocks its last calls left", [
        ("src/spy/com.c", "    set_closing(!is_owed);\n", "    if (!is_owed)\n"
         "        set_closing(true);\n"),
    ], ["api/malloc_spy_revoke"]),
    ("com_stale_spy", "in a section the spy from before it is called", [
        # The pause only makes it likelier that somebody comes between the two.
        ("src/spy/com.c", "    use->section = mole_grace_enter();\n"
         "    if (unlikely(load_acq(&mole_com_spy_a) != word)) {",
         "    mole_thread_yield();\n    use->section = mole_grace_enter();\n    if (false) {"),
    ], ["com"]),
    ("com_waits_under_gate", "a revoke waits for threads that wait for its own HeapLock", [
        ("src/spy/com.c", " && com.world->may_wait();", ";"),
        ("src/spy/com.c", "com.lock.depth == 1 && ", ""),
    ], ["api/malloc_spy_revoke"]),
    ("com_unsettled", "HeapUnlock leaves a revoke to whoever comes next", [
        ("src/api/heap_lock.c", "    mole_com_settle();\n", ""),
    ], ["api/malloc_spy_revoke"]),
    ("com_heap_lock", "HeapLock of the process heap does without the spy's lock", [
        ("src/api/heap_lock.c", "        mole_com_lock();\n    }\n", "    }\n"),
        ("src/api/heap_lock.c",
         "    if (heap == mole_process_heap())\n        mole_com_unlock();\n", ""),
    ], ["api/malloc_spy_lock"]),
    ("com_heap_free", "HeapFree of a spyed block leaves its record behind", [
        ("src/api/heap.c", "        mole_com_freed(block);\n", "        (void)block;\n"),
    ], ["api/malloc_spy_revoke"]),
    ("com_heap_realloc", "HeapReAlloc of a spyed block leaves its record behind", [
        ("src/api/heap_realloc.c",
         "mole_call_is_recorded(heap) ? mole_com_resizing(lpMem) : NULL", "NULL"),
    ], ["api/malloc_spy_revoke"]),
    ("com_unwatched", "the process heap keeps its fast paths while a spy is there", [
        ("src/spy/com.c", "    com.world->watch();\n    store_rel(&mole_com_spy_a, (",
         "    store_rel(&mole_com_spy_a, ("),
    ], ["api/malloc_spy_revoke"]),
    ("com_unchecked", "HeapFree of the last spyed block does not end a pending revoke", [
        ("src/spy/com.c", "    fence_seq_cst(); /* HB-COM-2 */\n    recheck();\n", ""),
    ], ["api/malloc_spy_revoke"]),
    ("com_lock_after_fork", "a fork's child has the lock of a thread it does not have", [
        ("src/os/recursive.c",
         "    mole_lock_init(&lock->lock);\n    store_rlx(&lock->owner_a, 0);\n", ""),
    ], ["com_fork"]),
    ("com_heap_lock_after_fork", "a fork's child has the lock of a thread that had only locked "
     "the process heap", [
         ("src/api/heap_lock.c", "        mole_process_call_in_child(mole_com_repair_lock);\n", ""),
     ], ["com_fork"]),
    ("com_own_lock_after_fork", "a fork's child takes the forking thread's lock from it", [
        ("src/os/recursive.c", "    if (mole_recursive_is_mine(lock))\n        return;\n"
         "    mole_lock_init", "    mole_lock_init"),
    ], ["com_fork"]),
    ("com_calls_after_fork", "in a fork's child, calls of vanished threads are under way", [
        ("src/spy/com.c", "    forget_others(serial);\n", ""),
    ], ["com_fork"]),
    ("com_ledger_after_fork", "a fork's child has the ledger as its threads left it", [
        ("src/spy/com.c", "    mole_ledger_repair();\n", ""),
    ], ["com_fork"]),
    ("com_hand_after_fork", "a fork's child takes what its thread has in hand for unused", [
        ("src/spy/ledger.c", "    } else if (record->state != in_my_hand) {",
         "    } else {\n        (void)in_my_hand;"),
    ], ["unit/ledger"]),
    ("com_unrecorded", "a block is had although there is no memory for its record", [
        ("src/spy/task.c", "base->alloc(record ? wanted : SIZE_MAX)", "base->alloc(wanted)"),
        ("src/spy/task.c", "    if (block && client)\n", "    if (block && client && record)\n"),
    ], ["unit/ledger"]),
    ("com_lost_growth", "a table that grows loses records", [
        ("src/spy/ledger.c", "    for (size_t i = 0; i < old_count; i++)\n",
         "    for (size_t i = 1; i < old_count; i++)\n"),
    ], ["unit/ledger"]),
]
