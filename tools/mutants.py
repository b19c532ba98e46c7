#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plant one bug at a time and see that the tests find it.

usage: mutants.py [--list] [NAME...]

A mutant is a small change to the text of the sources. It is applied to a copy, build/mutants/NAME;
the tests named with it are compiled against that and run, in order, until one fails: then the
mutant is killed. Before that the same tests must pass on an unchanged copy. The last line is
`N passed, M failed, K skipped`: mutants killed, mutants that survived (and tests that fail
anyway), mutants that could not be judged.
"""
import argparse
import concurrent.futures
import glob
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import mutants_checked
import mutants_com
import mutants_exceptions
import mutants_global
import mutants_groups
import mutants_idle
import mutants_instructions
import mutants_large
import mutants_oracle
import mutants_realloc
import mutants_record
import mutants_remote
import mutants_rows
import mutants_slabs
import mutants_spare
import mutants_storm

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
PLACE = os.path.join(ROOT, "build", "mutants")

# What molehill_testing is compiled with (src/meson.build).
COMMON = ["-std=gnu17", "-g1", "-w", "-pthread", "-D_GNU_SOURCE", "-DMOLE_TESTING=1",
          "-DMOLE_MALLOC_PREFIX=1", "-ftls-model=initial-exec", "-fno-builtin-malloc",
          "-fno-builtin-calloc", "-fno-builtin-realloc", "-fno-builtin-free"]
FLAVOURS = {
    "plain": ["gcc", "-O2"],
    "tsan": ["clang", "-O1", "-fsanitize=thread"],
}
NOT_IN_TESTING = {"src/malloc/libc_names.c", *(
    f"src/observers/{name}.c" for name in ("record_preload", "report", "stack", "symbols",
                                            "top_sites"))}

# How a test is run. `attempts`: a race need not come at the first try.
Test = namedtuple("Test", "flavour source seconds attempts", defaults=(40, 1))
TESTS = {
    "api/heap_destroy": Test("plain", "tests/api/heap_destroy_test.c"),
    "misuse/overflow": Test("plain", "tests/misuse/overflow_test.c"),
    "batch": Test("plain", "tests/race/batch.c"),
    "bounds": Test("plain", "tests/race/bounds.c"),
    "fast_path_step": Test("plain", "tests/race/fast_path_step.c", seconds=120),
    "adopt_step": Test("plain", "tests/race/adopt_step.c", seconds=120),
    "inbox_step": Test("plain", "tests/race/inbox_step.c", seconds=120),
    "pool_step": Test("plain", "tests/race/pool_step.c", seconds=120),
    "stack_step": Test("plain", "tests/race/stack_step.c", seconds=120),
    "steal_step": Test("plain", "tests/race/steal_step.c", seconds=120),
    "inject": Test("plain", "tests/race/inject.c"),
    "inject_give": Test("plain", "tests/race/inject_give.c"),
    "first_call": Test("plain", "tests/race/first_call.c", attempts=3),
    "gate": Test("plain", "tests/race/gate.c", seconds=120),
    "fork_batch": Test("plain", "tests/race/fork_batch.c"),
    "fork_step": Test("plain", "tests/race/fork_step.c", seconds=120),
    "grow": Test("plain", "tests/race/grow.c", attempts=2),
    "mode_step": Test("plain", "tests/race/mode_step.c"),
    "walk": Test("plain", "tests/race/walk.c", attempts=2),
    "oracle": Test("plain", "tests/race/oracle.c", attempts=2),
    "rejoin": Test("plain", "tests/race/rejoin.c"),
    "steal": Test("plain", "tests/race/steal.c"),
    "top_sites": Test("plain", "tests/race/top_sites.c", attempts=3),
    "top_sites/tsan": Test("tsan", "tests/race/top_sites.c", attempts=2),
    "adopt/tsan": Test("tsan", "tests/race/adopt.c", attempts=3),
    "batch/tsan": Test("tsan", "tests/race/batch.c", attempts=2),
    "oracle/tsan": Test("tsan", "tests/race/oracle.c", attempts=3),
    "api/heap_size": Test("plain", "tests/api/heap_size_test.c"),
    "api/heap_realloc_in_place": Test("plain", "tests/api/heap_realloc_in_place_test.c"),
    "api/heap_realloc_threads": Test("plain", "tests/api/heap_realloc_threads_test.c"),
    "api/heap_walk_threads": Test("plain", "tests/api/heap_walk_threads_test.c"),
    "api/heap_compact": Test("plain", "tests/api/heap_compact_test.c"),
    "compact": Test("plain", "tests/race/compact.c"),
    "unit/compact": Test("plain", "tests/unit/compact_test.c"),
    "unit/head": Test("plain", "tests/unit/head_test.c"),
    "unit/warmth": Test("plain", "tests/unit/warmth_test.c"),
    "unit/span": Test("plain", "tests/unit/span_test.c"),
    "unit/empties": Test("plain", "tests/unit/empties_test.c"),
    "unit/audit": Test("plain", "tests/unit/audit_test.c"),
    "api/heap_alloc": Test("plain", "tests/api/heap_alloc_test.c"),
    "api/heap_lock": Test("plain", "tests/api/heap_lock_test.c"),
    "unit/gate": Test("plain", "tests/unit/gate_test.c"),
    "api/spy": Test("plain", "tests/api/spy_test.c"),
    "api/spy_attach": Test("plain", "tests/api/spy_attach_test.c"),
    "api/spy_heaps": Test("plain", "tests/api/spy_heaps_test.c"),
    "api/spy_sample": Test("plain", "tests/api/spy_sample_test.c"),
    "api/spy_lock": Test("plain", "tests/api/spy_lock_test.c"),
    "api/spy_threads": Test("plain", "tests/api/spy_threads_test.c"),
    "api/spy_veto": Test("plain", "tests/api/spy_veto_test.c"),
    "unit/draw": Test("plain", "tests/unit/draw_test.c"),
    "unit/grace": Test("plain", "tests/unit/grace_test.c"),
    "unit/set": Test("plain", "tests/unit/set_test.c"),
    "unit/watch": Test("plain", "tests/unit/watch_test.c"),
    "unit/large": Test("plain", "tests/unit/large_test.c"),
    "unit/pages": Test("plain", "tests/unit/pages_test.c"),
    "unit/batch": Test("plain", "tests/unit/batch_test.c"),
    "unit/thread": Test("plain", "tests/unit/thread_test.c"),
    "misuse/errno": Test("plain", "tests/misuse/errno_test.c"),
    "misuse/heap_free": Test("plain", "tests/misuse/heap_free_test.c"),
    "misuse/remote_free": Test("plain", "tests/misuse/remote_free_test.c"),
    "misuse/malloc": Test("plain", "tests/misuse/malloc_test.c"),
    "unit/malloc": Test("plain", "tests/unit/malloc_test.c"),
    "unit/rejoin": Test("plain", "tests/unit/rejoin_test.c"),
    "api/heap_fixed": Test("plain", "tests/api/heap_fixed_test.c"),
    "api/heap_fixed_blocks": Test("plain", "tests/api/heap_fixed_blocks_test.c"),
    "api/heap_fixed_threads": Test("plain", "tests/api/heap_fixed_threads_test.c"),
    "unit/bit_tree": Test("plain", "tests/unit/bit_tree_test.c"),
    "unit/fixed": Test("plain", "tests/unit/fixed_test.c"),
    "unit/fixed_cache": Test("plain", "tests/unit/fixed_cache_test.c"),
    "fixed": Test("plain", "tests/race/fixed.c", attempts=2),
    "fixed/tsan": Test("tsan", "tests/race/fixed.c", attempts=2),
    "fork": Test("plain", "tests/race/fork.c", seconds=120, attempts=2),
    "unit/run": Test("plain", "tests/unit/run_test.c"),
}
# MOLEHILL_BUILD: where libraries that tests load are.
ENVIRONMENT = {"MOLE_BRIEF": "1", "MOLEHILL_BUILD": os.path.join(ROOT, "build", "gcc"),
               "TSAN_OPTIONS": "halt_on_error=1:exitcode=66"}
# Only what a test does with the library counts, not how Criterion tells it.
CRITERION = ["-j1", "--color=never"]
ORACLE = [sys.executable, os.path.join(ROOT, "tools", "oracle.py")]

# `edits`: (file, text that is there exactly once, text in its place).
Mutant = namedtuple("Mutant", "name what edits tests")

PUSH_TEXT = "cas_weak_acq_rel(&span->inbox_a, &word, with)"
WAKE_TEXT = "cas_weak_rel(&owner->woken_a, &head, span)"
RAISE = "    mole_span_map_raise(target);\n"
COMMIT = """    while (from < target &&
           !cas_weak_rel(&committed_a, &from, target)) { /* HB-REGION-1 */
    }
"""
IS_LIVE = "!mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index]))"

MUTANTS = [
    Mutant("relaxed_push", "blocks are handed over without release", [
        ("src/arena/inbox.h", PUSH_TEXT, "cas_weak_rlx(&span->inbox_a, &word, with)"),
    ], ["oracle/tsan"]),
    Mutant("relaxed_wake", "a slab is listed as woken without release", [
        ("src/arena/inbox.h", WAKE_TEXT, "cas_weak_rlx(&owner->woken_a, &head, span)"),
    ], ["oracle/tsan"]),
    Mutant("woken_order", "a slab leaves the woken list without release: its link may be written "
           "while it is still read", [
        ("src/arena/inbox.h", "return swap_acq_rel(&span->inbox_a, MOLE_END);",
         "return swap_acq(&span->inbox_a, MOLE_END);"),
    ], ["oracle/tsan"]),
    Mutant("lost_drain", "a thread ends without handing its batches over", [
        ("src/tcache/thread.c", "        mole_tcache_flush(kept->cache);\n", ""),
    ], ["batch"]),
    Mutant("no_cache_to_free", "a thread that only frees never gets a cache", [
        ("src/tcache/thread.c", "!comes_often(thread, heap))\n        return cache;",
         "true)\n        return cache;"),
    ], ["unit/batch"]),
    Mutant("cache_to_free_at_once", "a thread gets a cache with its first free", [
        ("src/tcache/thread.c", "!comes_often(thread, heap))\n        return cache;",
         "false)\n        return cache;"),
    ], ["unit/batch"]),
    Mutant("lost_slots", "a thread ends and keeps its free runs", [
        ("src/tcache/thread.c", "    mole_pool_drain(&thread->slots);\n", ""),
    ], ["bounds"]),
    Mutant("adoption_by_store", "a cache is adopted by a look and a store, not by a "
           "compare-and-swap", [
        ("src/arena/heap.c", "if (cas_acq(&owner->thread_a, &orphan, thread)) {",
         "if (load_acq(&owner->thread_a) == orphan) {\n"
         "            store_rlx(&owner->thread_a, thread);"),
    ], ["adopt/tsan"]),
    Mutant("relaxed_adoption", "a cache is adopted without acquire", [
        ("src/arena/heap.c", "if (cas_acq(&owner->thread_a, &orphan, thread)) {",
         "if (cas_weak_rlx(&owner->thread_a, &orphan, thread)) {"),
    ], ["oracle/tsan"]),
    Mutant("stale_batch", "a batch is handed over although its heap is gone", [
        ("src/tcache/thread.c", "    if (mole_kept_is_alive(kept)) {", "    if (kept->heap) {"),
    ], ["batch"]),
    Mutant("liveness_of_free", "free does not ask whether the block is live", [
        ("src/malloc/malloc.c", IS_LIVE, "false"),
    ], ["misuse/malloc"]),
    Mutant("liveness_of_heap_free", "HeapFree does not ask whether the block is live", [
        ("src/api/heap.c", IS_LIVE, "false"),
    ], ["misuse/heap_free"]),
    Mutant("liveness_of_free_remote", "a free of another thread's block does not ask whether it "
           "is live", [
        ("src/tcache/batch.c", "if (unlikely(!mole_span_entry_is_live(entry)))", "if (false)"),
    ], ["misuse/malloc", "misuse/heap_free", "misuse/remote_free"]),
    Mutant("other_heaps_block_remote", "HeapFree frees another thread's block of another heap", [
        ("src/api/heap.c", "span->heap == cache->owner.heap &&\n", "\n"),
    ], ["misuse/heap_free", "misuse/remote_free"]),
    Mutant("dead_heaps_batch", "HeapFree of another thread's block trusts the cache of a heap "
           "that is gone", [
        ("src/api/heap.c",
         "load_acq(&cache->owner.free_key_a) == handle &&\n                     ", ""),
    ], ["batch"]),
    Mutant("liveness_in_slow_paths", "slow paths do not ask whether the block is live", [
        ("src/arena/span.c", "    if (!mole_span_entry_is_live(entry))\n"
         "        return MOLE_LARGE_FREE;\n", ""),
    ], ["misuse/heap_free"]),
    Mutant("unmarked_block", "a block is not marked live when it is allocated", [
        ("src/tcache/tcache.h",
         "    store_rlx_folded(&span->entry_a[index], (uint16_t)mark);\n", "    (void)mark;\n"),
    ], ["misuse/heap_free"]),
    Mutant("mode_ended_by_slow_path", "malloc's fast paths are switched on again by the first slow "
           "one", [
        ("src/malloc/malloc.c",
         "load_rlx(&is_begun_a) || !cas_acq(&is_begun_a, &is_begun, true)",
         "load_rlx(&direct_limit_a) && ((void)is_begun, (void)is_begun_a, 1)"),
        ("src/malloc/malloc.c", "    mole_mode_follow(mole_process_malloc_heap(), follow);\n",
         "    mole_mode_follow(mole_process_malloc_heap(), follow);\n    follow(0);\n"),
    ], ["unit/malloc"]),
    Mutant("mode_asked_outside", "malloc beyond the direct sizes looks at the limit before it "
           "enters the operation", [
        ("src/malloc/malloc.c", "    size_t limit = load_acq(&direct_limit_a); /* HB-GATE-2 */\n",
         "    mole_tcache_leave(cache);\n"
         "    size_t limit = load_acq(&direct_limit_a); /* HB-GATE-2 */\n"
         "    mole_tcache_enter(cache);\n"),
    ], ["mode_step"]),
    Mutant("errno_of_free", "free lets the system's errno through", [
        ("src/malloc/malloc.c", "        refuse(\"free\", block);\n    errno = saved;\n",
         "        refuse(\"free\", block);\n    (void)saved;\n"),
        ("src/os/pages.c", """madvise(start, bytes, MADV_DONTNEED) == 0;
    errno = saved;
""", """madvise(start, bytes, MADV_DONTNEED) == 0;
    (void)saved;
"""),
    ], ["misuse/errno"]),
    Mutant("map_after_commit", "memory may be taken before the span map covers it", [
        ("src/arena/region.c", '#include "os/pages.h"',
         '#include "os/pages.h"\n#include "os/thread.h"'),
        ("src/arena/region.c", RAISE, ""),
        # The pause only makes it likelier that somebody comes between the two.
        ("src/arena/region.c", COMMIT, COMMIT + "    mole_thread_sleep_ms(1);\n" + RAISE),
    ], ["grow"]),
    Mutant("steal_any", "a slab is stolen though its owner still allocates from it", [
        ("src/tcache/steal.c", "load_acq(&span->state_a) == MOLE_SPAN_FULL", "true"),
    ], ["steal"]),
    Mutant("steal_nothing", "memory that other threads freed waits for its owner", [
        ("src/tcache/steal.c", "load_rlx(&heap->returned_a) <= 0",
         "load_rlx(&heap->returned_a) <= INT32_MAX"),
    ], ["steal"]),
    Mutant("endless_batch", "a batch is not handed over when it is full", [
        ("src/tcache/batch.c", "if (unlikely(--batch->room == 0))",
         "if (unlikely(--batch->room == 1 << 15))"),
        ("src/tcache/batch.h", " || batch->room <= 1 ||", " ||"),
    ], ["bounds"]),
    Mutant("inexact_size", "slow paths do not record the exact size", [
        ("src/tcache/block.c",
         "return heap->is_sized ? mole_exact_mark(class, bytes) : MOLE_WHOLE;",
         "return heap->is_sized ? mole_exact_mark(class, bytes + (bytes & 1)) : MOLE_WHOLE;"),
    ], ["api/heap_size"]),
    Mutant("uncleared_zeros", "HeapAlloc of zeros clears all but the last byte", [
        ("src/api/heap.c", "            memset(block, 0, bytes);\n",
         "            memset(block, 0, bytes - 1);\n"),
    ], ["api/heap_alloc"]),
    Mutant("size_of_the_last_class", "HeapAlloc records sizes of the last class as they are", [
        ("src/arena/exact.h",
         "    return mole_span_mark(class == MOLE_CLASS_LAST ? MOLE_SLAB_MAX - bytes : bytes);\n",
         "    return mole_span_mark(class > MOLE_CLASS_LAST ? MOLE_SLAB_MAX - bytes : bytes);\n"),
    ], ["api/heap_size", "unit/span"]),
    Mutant("empty_for_good", "a block of the last class that had no bytes cannot have one", [
        ("src/arena/exact.c", "        and_rlx(&span->empty_a, ~(1u << index));\n",
         "        (void)index;\n"),
    ], ["unit/span"]),
    Mutant("spied_last_class", "spies hear a wrong size of blocks of the last class", [
        ("src/watch/fast.h",
         "                 (key != MOLE_MALLOC_KEY && span->class == MOLE_CLASS_LAST)))\n",
         "                 (key == MOLE_MALLOC_KEY && span->class == MOLE_CLASS_LAST)))\n"),
    ], ["api/spy"]),
    Mutant("endless_empties", "a cache keeps every empty slab", [
        ("src/tcache/empties.c",
         "    if (outside_room(cache) + span->pages > MOLE_EMPTY_PAGES && !cache->keeps_all &&\n",
         "    if (outside_room(cache) + span->pages > UINT32_MAX / 2 &&\n"),
    ], ["unit/empties"]),
    Mutant("lost_empties", "empty slabs are forgotten when they are given back", [
        ("src/tcache/empties.c",
         "            mole_slab_destroy(cache, slots, span);\n    return",
         "            (void)slots;\n    return"),
    ], ["unit/empties"]),
    Mutant("uncleared_in_place", "growth that must stay in place is not cleared", [
        ("src/tcache/block.c", "    if (at && (how & MOLE_BLOCK_ZERO) && bytes > old)\n",
         "    if (at && how == MOLE_BLOCK_ZERO && bytes > old)\n"),
    ], ["api/heap_realloc_in_place"]),
    Mutant("uncleared_in_place_stress", "the same, for the oracle", [
        ("src/tcache/block.c", "    if (at && (how & MOLE_BLOCK_ZERO) && bytes > old)\n",
         "    if (at && how == MOLE_BLOCK_ZERO && bytes > old)\n"),
    ], ["oracle"]),
    Mutant("copy_after_free", "realloc frees the old block, then copies from it", [
        ("src/tcache/block.c", """    memcpy(to, block, old < bytes ? old : bytes);
    rest->span = span;
    rest->block = block;
""", """    free_inside(use, span, block);
    mole_thread_sleep_ms(1); /* only makes it likelier that somebody has it by then */
    memcpy(to, block, old < bytes ? old : bytes);
"""),
        ("src/tcache/block.c", '#include "arena/span_map.h"\n',
         '#include "arena/span_map.h"\n#include "os/thread.h"\n'),
    ], ["api/heap_realloc_threads", "oracle/tsan"]),
    Mutant("pages_never_move", "the kernel is never asked to move pages", [
        ("src/os/pages.c", "    int error = remap(from, to, bytes);\n",
         "    int error = EINVAL;\n    (void)remap;\n"),
    ], ["unit/pages"]),
    Mutant("large_never_moves", "large blocks grow by copies only", [
        ("src/arena/large.c", "    return bytes >= MOVE_LEAST &&",
         "    return bytes == 0 &&"),
    ], ["unit/large"]),
    Mutant("interior_pointers", "an address inside a block passes for the block", [
        ("src/arena/span.h", "    return (uint64_t)product < span->recip;\n",
         "    return true;\n"),
    ], ["misuse/heap_free"]),
    Mutant("other_heaps_block", "HeapFree frees what belongs to another heap", [
        ("src/api/heap.c", "unlikely(load_acq_folded(&cache->owner.free_key_a) != hHeap ||\n"
         "                 !mole_span_index", "unlikely((!mole_span_index"),
        ("src/api/heap.c", "load_rlx_folded(&span->entry_a[index])))) {",
         "load_rlx_folded(&span->entry_a[index]))))) {"),
    ], ["misuse/heap_free"]),
    Mutant("remembered_spare", "a thread remembers a cache that it could not keep", [
        ("src/tcache/thread.c", "        forget(thread, cache);\n        mole_heap_let_go",
         "        mole_heap_let_go"),
    ], ["unit/thread"]),
    Mutant("dead_heaps_key", "the caches of a destroyed heap keep its key", [
        ("src/tcache/tcache.c", "        empty(cache);\n        mole_meta_push",
         "        mole_meta_push"),
    ], ["unit/thread"]),
    Mutant("other_heaps_block_slow", "slow paths accept what belongs to another heap", [
        ("src/tcache/block.c", "    if (span->heap != heap || mole_span_bytes(",
         "    if (mole_span_bytes("),
    ], ["misuse/heap_free"]),
    Mutant("push_to_inbox_by_store", "blocks are handed over by a look and a store", [
        ("src/arena/inbox.h", "!" + PUSH_TEXT, "(store_rel(&span->inbox_a, with), false)"),
    ], ["inbox_step"]),
    Mutant("wake_by_store", "a slab is listed as woken by a look and a store", [
        ("src/arena/inbox.h", "!" + WAKE_TEXT, "(store_rel(&owner->woken_a, span), false)"),
    ], ["inbox_step"]),
    Mutant("theft_by_store", "a thief takes a slab's blocks by a look and a store", [
        ("src/tcache/steal.c", "!cas_acq(&span->inbox_a, &word, MOLE_END))",
         "(store_rlx(&span->inbox_a, MOLE_END), false))"),
    ], ["steal_step"]),
    Mutant("stack_without_tag", "a stack's head has no tag", [
        ("src/arena/meta.c", "with = ((head >> 32) + 1) << 32 |", "with = (head >> 32) << 32 |"),
        ("src/arena/meta.c", "uint64_t tag = (head >> 32) + 1;", "uint64_t tag = head >> 32;"),
        ("src/arena/meta.c", "&head, ((head >> 32) + 1) << 32)", "&head, (head >> 32) << 32)"),
    ], ["stack_step"]),
    Mutant("push_by_store", "a record is pushed by a look and a store", [
        ("src/arena/meta.c", "!cas_weak_rel(&stack->head_a, &head, with)",
         "(store_rel(&stack->head_a, with), false)"),
    ], ["stack_step"]),
    Mutant("pop_all_by_store", "all records are taken by a look and a store", [
        ("src/arena/meta.c", "!cas_weak_acq_rel(&stack->head_a, &head, ((head >> 32) + 1) << 32)",
         "(store_rel(&stack->head_a, ((head >> 32) + 1) << 32), false)"),
    ], ["stack_step"]),
    Mutant("slot_taken_by_store", "a thread takes a run from its slot by a look and a store", [
        ("src/arena/pool.c", "(run = swap_acq(&slots->slot_a[i], NULL))",
         "(store_rlx(&slots->slot_a[i], NULL), true)"),
    ], ["pool_step"]),
    Mutant("slot_emptied_by_store", "a pass takes a run from a slot by a look and a store", [
        ("src/arena/pool.c", "struct mole_run *run = swap_acq(&slots->slot_a[i], NULL);",
         "struct mole_run *run = load_acq(&slots->slot_a[i]);\n"
         "        store_rlx(&slots->slot_a[i], NULL);"),
    ], ["pool_step"]),
    Mutant("slots_listed_by_store", "a thread's slots are listed by a look and a store", [
        ("src/arena/pool.c", "!cas_weak_rel(&all_slots_a, &head, slots)",
         "(store_rel(&all_slots_a, slots), false)"),
    ], ["pool_step"]),
    Mutant("adoption_by_swap", "a cache is adopted whoever has it", [
        ("src/arena/heap.c", "if (cas_acq(&owner->thread_a, &orphan, thread)) {",
         "(void)orphan;\n        if (swap_acq(&owner->thread_a, thread) != thread) {"),
    ], ["adopt_step"]),
    Mutant("hint_too_low", "a cache is an orphan before the hint says so", [
        ("src/arena/heap.c", "    add_rlx(&heap->orphans_a, 1);             "
         "/* first: the hint must not be too low */\n", ""),
        ("src/arena/heap.c", "    store_rel(&owner->thread_a, MOLE_ORPHAN); /* HB-OWNER-1 */\n",
         "    store_rel(&owner->thread_a, MOLE_ORPHAN); /* HB-OWNER-1 */\n"
         "    add_rlx(&heap->orphans_a, 1);\n"),
    ], ["adopt_step"]),
    Mutant("cache_listed_by_store", "a cache is put on its heap's list by a look and a store", [
        ("src/arena/heap.c", "!cas_weak_rel(&heap->owners_a, &head, owner)",
         "(store_rel(&heap->owners_a, owner), false)"),
    ], ["adopt_step"]),
    Mutant("stale_key", "a new cache keeps the key it got while a mode was being set", [
        ("src/arena/mode.c", "    } while (mole_mode_of(heap) != modes); ",
         "    } while (modes != mole_mode_of(heap) && false); "),
    ], ["adopt_step"]),
    Mutant("locking_size", "HeapSize and HeapFree's slow path take the arena's lock", [
        ("src/tcache/block.c", "    struct mole_span *span = mole_span_map_find(address);\n"
         "    if (span->heap != heap ||",
         "    struct mole_span *span = mole_span_map_find(address);\n"
         "    mole_arena_enter(&heap->arena);\n    mole_arena_leave(&heap->arena);\n"
         "    if (span->heap != heap ||"),
    ], ["fast_path_step"]),
    Mutant("counted_alloc", "an allocation beyond the direct sizes adds to a shared figure", [
        ("src/malloc/malloc.c", "    size_t limit = load_acq(&direct_limit_a); /* HB-GATE-2 */\n",
         "    size_t limit = load_acq(&direct_limit_a); /* HB-GATE-2 */\n"
         "    static _Atomic(uint64_t) foreign_a;\n    add_rlx(&foreign_a, 0);\n"),
    ], ["fast_path_step"]),
    Mutant("locking_refill", "an allocation that finds a slab with room takes the arena's lock", [
        ("src/tcache/refill.c",
         "    struct mole_span *other = mole_slab_pop_partial(cache, class);\n",
         "    mole_arena_enter(&cache->owner.heap->arena);\n"
         "    struct mole_span *other = mole_slab_pop_partial(cache, class);\n"
         "    mole_arena_leave(&cache->owner.heap->arena);\n"),
    ], ["fast_path_step"]),
    Mutant("torn_after_fork", "a fork's child leaves the caches of threads it does not have as "
           "they are", [
        ("src/tcache/process.c", "    mole_rebuild_torn(heap, NULL);\n",
         "    (void)0;\n"),
    ], ["fork_step", "fork_batch"]),
    Mutant("fixed_apart", "freed extents of a fixed-size heap are not joined", [
        ("src/arena/fixed.c", "    size_t before = length_before(fixed, granule);\n",
         "    size_t before = 0;\n"),
    ], ["unit/fixed"]),
    Mutant("fixed_from_above", "parts of a large fixed-size heap are used from the last", [
        ("src/arena/fixed.c", "    if (part)\n        insert(fixed, granule, part);\n"
         "    for (; part < granules; part += MOLE_FIXED_LONGEST)\n"
         "        insert(fixed, granule + part, MOLE_FIXED_LONGEST);\n",
         "    for (; granules > part; granules -= MOLE_FIXED_LONGEST) {\n"
         "        insert(fixed, granule, MOLE_FIXED_LONGEST);\n"
         "        granule += MOLE_FIXED_LONGEST;\n    }\n"
         "    if (part)\n        insert(fixed, granule, part);\n"),
    ], ["api/heap_fixed"]),
    Mutant("fixed_ceiling", "a fixed-size heap grants one byte too many", [
        ("src/api/heap_create.c", " ? 0xFFFF0 : 0x7FFF8) - 1;", " ? 0xFFFF0 : 0x7FFF8);"),
    ], ["api/heap_fixed"]),
    Mutant("fixed_undrained", "an allocation fails before caches gave back what they hold", [
        ("src/tcache/fixed_cache.c", "    mole_fixed_cache_drain_all(heap);\n    return true;",
         "    return true;"),
    ], ["api/heap_fixed_threads"]),
    Mutant("fixed_exceeded", "a fixed-size heap charges nothing for bookkeeping", [
        ("src/arena/fixed.c", "(maximum - MOLE_FIXED_CHARGED) / MOLE_GRANULE",
         "maximum / MOLE_GRANULE"),
    ], ["api/heap_fixed"]),
    Mutant("fixed_twice", "a cache takes a block that it has", [
        ("src/tcache/fixed_cache.h", "(load_rlx(entry) - (MOLE_FIXED_LIVE + 1))",
         "((load_rlx(entry) & 0xfffff) - 1)"),
    ], ["api/heap_fixed_blocks"]),
    Mutant("fixed_interior", "a cache takes an address inside of a granule", [
        ("src/tcache/fixed_cache.h", "offset / MOLE_GRANULE | offset << (64 - MOLE_GRANULE_SHIFT)",
         "offset / MOLE_GRANULE"),
    ], ["api/heap_fixed_blocks"]),
    Mutant("fixed_hoard", "caches hold as much of a fixed-size heap as they like", [
        ("src/tcache/fixed_cache.c", "    if (wanted > fixed->credit)\n", "    if (false)\n"),
    ], ["unit/fixed_cache"]),
    Mutant("fixed_unlocked", "a block goes back to a fixed-size heap without its lock", [
        ("src/tcache/fixed_cache.c", "    mole_arena_enter(&heap->arena);\n    if (cache)\n"
         "        make_room(fixed, cache, granules);\n",
         "    mole_arena_enter(&heap->arena);\n    mole_arena_leave(&heap->arena);\n"
         "    if (cache)\n        make_room(fixed, cache, granules);\n"),
        ("src/tcache/fixed_cache.c", "        add_rlx(&heap->frees_a, 1);\n    }\n"
         "    mole_arena_leave(&heap->arena);\n", "        add_rlx(&heap->frees_a, 1);\n    }\n"),
    ], ["fixed/tsan"]),
    Mutant("fixed_kept_at_exit", "a thread ends and keeps blocks of a fixed-size heap", [
        ("src/tcache/thread.c", "        mole_fixed_cache_drain(kept->cache);\n", ""),
    ], ["unit/fixed_cache"]),
    Mutant("fixed_torn", "a fork's child leaves a fixed-size heap as it is", [
        ("src/tcache/process.c", "        mole_fixed_cache_repair(heap);\n", "        (void)0;\n"),
    ], ["fork"]),
    Mutant("fixed_no_room", "a block grows over what is behind it", [
        ("src/arena/fixed.c", "    if (now > old + behind)\n", "    if (now > old + behind + 1)\n"),
    ], ["unit/fixed"]),
    Mutant("fixed_lost_level", "a set loses members that are next to one taken out", [
        ("src/arena/bit_tree.c", "        if (*word || words == 1)\n            return;\n"
         "        level += words;\n        number /= BITS;\n    }\n}\n\nbool mole_bit_tree_has",
         "        if (words == 1)\n            return;\n"
         "        level += words;\n        number /= BITS;\n    }\n}\n\nbool mole_bit_tree_has"),
    ], ["unit/bit_tree"]),
    Mutant("unawaited_operations", "who shuts the gate does not wait for operations under way", [
        ("src/arena/gate.c", "        while (load_acq(&owner->busy_a)) /* HB-GATE-1 */\n",
         "        while (load_acq(&owner->busy_a) > 1) /* HB-GATE-1 */\n"),
    ], ["gate"]),
    Mutant("walk_beside_operations", "a walk under the lock begins beside operations", [
        ("src/arena/gate.c", "        while (load_acq(&owner->busy_a)) /* HB-GATE-1 */\n",
         "        while (load_acq(&owner->busy_a) > 1) /* HB-GATE-1 */\n"),
    ], ["walk"]),
    Mutant("walk_past_the_first_chunk", "a walk takes what is behind a cut run's chunk for pages "
           "of it", [
        ("src/arena/walk.c", "    return run->is_cut ? run->base + MOLE_CHUNK : "
         "mole_run_end(run);\n", "    return mole_run_end(run);\n"),
    ], ["walk", "api/heap_walk_threads"]),
    Mutant("unawaited_passers", "who stops a heap does not wait for calls that passed its lock", [
        ("src/arena/gate.c", "MOLE_MODE_STOPPED, 0);\n    await_quiet(heap);\n",
         "MOLE_MODE_STOPPED, 0);\n"),
    ], ["unit/gate"]),
    Mutant("passers_in_a_stopped_heap", "calls that pass a locked heap pass a stopped one", [
        ("src/arena/gate.c", "    return passes ? MOLE_MODE_STOPPED : MOLE_MODE_CLOSED;\n",
         "    return passes ? 0 : MOLE_MODE_CLOSED;\n"),
    ], ["unit/gate", "compact"]),
    Mutant("compacting_beside_an_ending_thread", "HeapCompact takes batches without the lock "
           "under which threads end", [
        ("src/tcache/compact.c", "    mole_arena_enter(&heap->arena);\n", ""),
        ("src/tcache/compact.c", "    mole_arena_leave(&heap->arena);\n", ""),
    ], ["unit/compact"]),
    Mutant("batches_after_compacting", "HeapCompact leaves batches where they are", [
        ("src/tcache/compact.c",
         "        mole_tcache_flush((struct mole_tcache *)(void *)owner);\n",
         "        (void)owner;\n"),
    ], ["unit/compact"]),
    Mutant("slabs_after_compacting", "HeapCompact keeps empty slabs that are current", [
        ("src/tcache/compact.c", "        mole_slab_retire_current(cache, slots);\n", ""),
    ], ["api/heap_compact"]),
    Mutant("audit_without_lists", "HeapValidate does not look at lists of free blocks", [
        ("src/arena/audit.c", "    if (!is_quiet)\n        return true;\n"
         "    uint32_t inbox", "    if (is_quiet || !is_quiet)\n        return true;\n"
         "    uint32_t inbox"),
    ], ["unit/audit"]),
    Mutant("unawaited_uncached", "who shuts the gate does not wait for threads without a cache", [
        ("src/arena/gate.c", "    while (load_acq(&heap->gate.uncached_a)) /* HB-GATE-1 */\n",
         "    while (load_acq(&heap->gate.uncached_a) > 100) /* HB-GATE-1 */\n"),
    ], ["unit/gate"]),
    Mutant("ignored_gate", "HeapAlloc's fast path does not look whether its heap is locked", [
        ("src/api/heap.c",
         "    if (unlikely(load_acq_folded(&cache->owner.alloc_key_a) != hHeap ||\n"
         "                 slot >=",
         "    if (unlikely(load_acq(&cache->owner.heap->handle_a) != hHeap ||\n"
         "                 slot >="),
    ], ["gate"]),
    Mutant("gate_open_for_slow_paths", "slow paths pass a gate that is shut", [
        ("src/tcache/thread.c", "        if (likely(!mole_gate_is_shut(heap, passes)))\n",
         "        if (likely(!mole_gate_is_shut(heap, passes)) || true)\n"),
    ], ["gate"]),
    Mutant("half_fenced", "who goes fenced does not wait for another thread that is at it", [
        ("src/arena/mode.c", "    if (mole_mode_are_fenced())\n",
         "    if (load_rlx(&to_come_a) & MOLE_MODE_FENCED)\n"),
    ], ["unit/gate"]),
    Mutant("thief_in_a_locked_heap", "thieves do not look whether the heap is locked", [
        ("src/tcache/steal.c",
         "    if (load_acq(&heap->word_a) && !mole_gate_is_shut(heap, false))\n",
         "    if (load_acq(&heap->word_a))\n"),
    ], ["unit/gate"]),
    Mutant("unawaited_thief", "who shuts the gate does not wait for a thief", [
        ("src/arena/gate.c", "    mole_arena_enter(&heap->arena);\n"
         "    mole_arena_leave(&heap->arena);\n", ""),
    ], ["unit/gate"]),
    Mutant("uncached_after_fork", "a fork's child awaits threads that it does not have", [
        ("src/arena/gate.c", "    store_rlx(&heap->gate.uncached_a, 0);\n"
         "    if (is_owner", "    if (is_owner"),
    ], ["unit/gate"]),
    Mutant("late_free", "HeapFree that waited frees a block that is free by now", [
        ("src/tcache/block.c", "    bool is_live = mole_block_find(use.heap, block) == span;\n",
         "    bool is_live = true;\n"),
    ], ["api/heap_lock"]),
    Mutant("late_resize", "HeapReAlloc that waited resizes a block that is free by now", [
        ("src/tcache/block.c", "    if (unlikely(mole_block_find(use->heap, block) != span))\n",
         "    if (unlikely(!span))\n"),
    ], ["api/heap_lock"]),
    Mutant("torn_lists_after_fork", "a fork's child rebuilds the slabs of threads it does not "
           "have, but not the caches' lists", [
        ("src/tcache/rebuild.c", "        cache->partial[class] = NULL;\n", ""),
    ], ["fork_step"]),
    Mutant("unused_slab_after_fork", "a fork's child takes a slab that was just being made for a "
           "full one", [
        ("src/tcache/rebuild.c", "if (live == 0) {", "if (live == 0 && span->fresh) {"),
    ], ["fork_step"]),
    Mutant("locks_after_fork", "a fork's child has the locks of threads it does not have", [
        ("src/arena/arena.c", "    mole_lock_init(&arena->lock);\n    bool is_interrupted",
         "    bool is_interrupted"),
    ], ["fork_step"]),
    Mutant("half_linked_after_fork", "a fork's child has a run that is linked one way only", [
        ("src/arena/arena.c", "        run->prev = prev;\n", ""),
    ], ["fork_step"]),
    Mutant("unlisted_after_fork", "in a fork's child, blocks wait in a slab that no list leads "
           "to", [
        ("src/tcache/rebuild.c", "        mole_inbox_wake(span);\n", "        (void)0;\n"),
    ], ["fork_step"]),
    Mutant("touching_destroy", "HeapDestroy reads a word of each run", [
        ("src/arena/arena.c", "        forget_spans(run);\n",
         "        forget_spans(run);\n        *(volatile char *)run->base;\n"),
    ], ["api/heap_destroy"]),
    Mutant("touching_destroy_of_spans", "HeapDestroy reads a word of each slab", [
        ("src/arena/arena.c", "        span->dirty = 1;\n",
         "        span->dirty = 1;\n        *(volatile char *)(page - MOLE_PAGE);\n"),
    ], ["api/heap_destroy"]),
    Mutant("link_in_block", "a free block holds a link", [
        ("src/api/heap.c", "    if (unlikely(!mole_tcache_push(span, index)))\n",
         "    *(void **)lpMem = cache;\n    if (unlikely(!mole_tcache_push(span, index)))\n"),
    ], ["misuse/overflow"]),
    Mutant("link_in_run", "a free run holds a link", [
        ("src/arena/pool.c", "    run->given = load_rlx(&pass_a);\n",
         "    *(void **)run->base = run;\n    run->given = load_rlx(&pass_a);\n"),
    ], ["misuse/overflow", "api/heap_destroy"]),
    Mutant("no_guard", "blocks may be next to the bookkeeping", [
        ("src/os/pages.c", "enum { GUARD = MOLE_CHUNK };", "enum { GUARD = 0 };"),
    ], ["misuse/overflow"]),
    Mutant("lost_span", "a large block that has no run leaves its descriptor behind", [
        ("src/arena/large.c", "        mole_span_give(span);\n        return NULL;\n",
         "        return NULL;\n"),
    ], ["inject"]),
    Mutant("left_behind", "a run keeps pages behind those that were moved away", [
        ("src/arena/large.c", "    if (bytes == moved ||", "    if (bytes >= moved ||"),
    ], ["unit/large"]),
    Mutant("always_warm", "all that is given back stays resident", [
        ("src/arena/warmth.c", "    return !is_full;", "    return true;"),
    ], ["unit/warmth"]),
    Mutant("lost_run", "a run without memory leaves its record behind", [
        ("src/arena/run.c", "        mole_meta_give(run);\n        return NULL;\n",
         "        return NULL;\n"),
    ], ["inject"]),
    Mutant("lost_heap", "a heap that cannot be made leaves its record behind", [
        ("src/arena/heap.c", "fail_record:\n    mole_meta_push(&unused[heap->arena.is_locked], "
         "&heap->meta);\n", "fail_record:\n"),
    ], ["inject"]),
    Mutant("kept_run", "a block that could not be moved keeps its new run", [
        ("src/arena/large.c", "    if (!to || bring(span, to))\n        return to;\n",
         "    if (!to || bring(span, to))\n        return to;\n    if (span)\n"
         "        return NULL;\n"),
    ], ["inject"]),
    Mutant("used_hole", "a block moves to where the system has unmapped its run", [
        ("src/arena/large.c", "        if (moved == MOLE_PAGES_LOST)\n            return false;\n",
         ""),
    ], ["inject"]),
    Mutant("pooled_hole", "a run that the system has unmapped is used again", [
        ("src/arena/large.c",
         "    mole_arena_unlink(&heap->arena, to); /* and never seen again */\n",
         "    mole_arena_unlink(&heap->arena, to);\n    mole_pool_give(slots, to);\n"),
    ], ["inject"]),
    Mutant("passes_to_nobody", "without a purger's thread nobody gives memory back", [
        ("src/tcache/purger.c", "    if (mole_thread_start(&job))\n        mole_pool_leave_",
         "    mole_pool_leave_passes(true);\n    if (mole_thread_start(&job))\n"
         "        mole_pool_leave_"),
    ], ["inject_give"]),
    Mutant("purger_again", "a purger's thread that cannot be had is asked for again and again", [
        ("src/tcache/purger.c", "                  FORBIDDEN); /* no",
         "                  NO_PURGER); /* no"),
    ], ["inject_give"]),
    Mutant("start_seen_early", "a start is seen before it is known whose it is", [
        # The pause only makes it likelier that somebody comes between the two.
        ("src/tcache/process.c", "        if (!cas_acq(&state_a, &state, process))\n"
         "            continue;\n", "        if (!cas_acq(&state_a, &state, process + 1))\n"
         "            continue;\n        mole_thread_sleep_ms(1);\n"
         "        store_rlx(&state_a, process);\n"),
    ], ["first_call"]),
    Mutant("own_batches_after_fork", "a fork's child hands over what the tables gave back "
           "already", [
        ("src/tcache/process.c", "            memset(cache->batch, 0, sizeof cache->batch);\n",
         "    (void)0;\n"),
    ], ["fork_batch"]),
    Mutant("join_over_gaps", "free runs are joined over what lies between them", [
        ("src/arena/rejoin.c", "if (next && mole_run_end(run) == next->base) {",
         "if (next) {"),
    ], ["unit/rejoin"]),
    Mutant("join_forgets_dirt", "a joined run is called zero if its first part is", [
        ("src/arena/run.c", "    lower->is_zero &= upper->is_zero;\n", ""),
    ], ["unit/run"]),
    Mutant("join_forgets_dirt_whole", "the same, seen where memory is used up", [
        ("src/arena/run.c", "    lower->is_zero &= upper->is_zero;\n", ""),
    ], ["unit/rejoin"]),
    Mutant("join_forgets_seam", "a joined run does not know where its second part begins", [
        ("src/arena/run.c", "    if (!lower->seam && upper->seam)\n"
         "        lower->seam = lower->chunks * MOLE_CHUNK_PAGES;\n", ""),
    ], ["unit/run"]),
    Mutant("split_forgets_seam", "the rest of a split run does not know of edges in it", [
        ("src/arena/run.c", "run->seam > pages ? run->seam - pages : MOLE_CHUNK_PAGES;", "0;"),
    ], ["unit/run"]),
    Mutant("lost_record", "the record of a joined run is lost", [
        ("src/arena/run.c", "    mole_meta_give(upper);\n", ""),
    ], ["unit/rejoin"]),
    Mutant("nobody_waits", "who meets a thread that has the free runs in its hands goes without", [
        ("src/arena/rejoin.c", "    mole_hands_enter();\n",
         "    if (!mole_hands_try())\n        return NULL;\n"),
    ], ["rejoin"]),
    Mutant("rejoin_each_time", "what cannot be had is looked for at each request", [
        ("src/arena/rejoin.c", "(chunks <= known.reach || mole_pool_gives() != known.gives)",
         "chunks"),
    ], ["unit/rejoin"]),
    Mutant("rejoin_never_again", "what came back after a failure is not looked for", [
        ("src/arena/rejoin.c", " || mole_pool_gives() != known.gives)", ")"),
    ], ["unit/rejoin"]),
    Mutant("hands_after_fork", "a fork's child loses what a thread it does not have held", [
        ("src/tcache/process.c", "    mole_rejoin_repair();\n", ""),
    ], ["rejoin"]),
    Mutant("doubled_after_fork", "a run is in its bin before it has left the hands", [
        ("src/arena/hands.c", "    mole_bins_push(pop(&held));\n",
         "    struct mole_run *run = held, *next = run->next;\n"
         "    mole_bins_push(run);\n    held = next;\n"),
    ], ["rejoin"]),
    Mutant("freed_too_late", "spies hear of a free when the block is gone", [
        ("src/watch/watch.c", """        struct mole_spy_block gone = seen(span, block);
        mole_spy_freed(mole_watch_spied(heap), block, gone.bytes, gone.mark);
    }
    return mole_block_free(span, block, how);
""", """        struct mole_spy_block gone = seen(span, block);
        bool is_done = mole_block_free(span, block, how);
        mole_spy_freed(mole_watch_spied(heap), block, gone.bytes, gone.mark);
        return is_done;
    }
    return mole_block_free(span, block, how);
"""),
    ], ["api/spy"]),
    Mutant("freed_too_late_fast", "the same on the fast path", [
        ("src/watch/fast.h",
         "    mole_spy_freed_fast(view, mole_fast_spied(cache, key), gone->block, "
         "gone->bytes);\n", ""),
        ("src/watch/fast.h", """        return mole_fast_counted_down(cache, span);
    mole_tcache_leave(cache);
""", """        return mole_fast_counted_down(cache, span);
    mole_tcache_leave(cache);
    mole_spy_freed_fast(view, mole_fast_spied(cache, key), gone->block, gone->bytes);
"""),
    ], ["api/spy"]),
    Mutant("moved_too_late", "the old block is released before spies hear of a move", [
        ("src/watch/watch.c", """    mole_spy_reallocated(spied, &old, &now);
    mole_block_resize_end(&rest, how);
""", """    mole_block_resize_end(&rest, how);
    mole_spy_reallocated(spied, &old, &now);
"""),
    ], ["api/spy"]),
    Mutant("destroyed_too_late", "spies hear of a heap's end when it has ended", [
        ("src/api/heap_create.c", "    mole_watch_destroyed(heap);\n", ""),
        ("src/api/heap_create.c", "    mole_stats_count_frees(load_rlx(",
         "    mole_watch_destroyed(heap);\n    mole_stats_count_frees(load_rlx("),
    ], ["api/spy_heaps"]),
    Mutant("unasked_resize", "a resize is not asked for", [
        ("src/watch/watch.c", """        return NULL;
    struct mole_spy_block old = seen(span, block);
""", """        spied = mole_watch_spied(heap);
    struct mole_spy_block old = seen(span, block);
"""),
    ], ["api/spy_veto"]),
    Mutant("unasked_fast", "the fast path does not ask", [
        ("src/arena/mode.c", ".spied = modes == MOLE_MODE_SPIED ?",
         ".spied = (modes & ~(unsigned)MOLE_MODE_ASKED) == MOLE_MODE_SPIED ?"),
    ], ["api/spy_veto"]),
    Mutant("changed_errno", "what a callback leaves in errno stays", [
        ("src/spy/spy.c", "        errno = saved;\n", ""),
    ], ["api/spy_veto"]),
    Mutant("changed_errno_fast", "the same on the fast path", [
        ("src/spy/fast.h", "    if (unlikely(*error != saved))\n        *error = saved;\n", ""),
    ], ["api/spy_veto"]),
    Mutant("changed_last_error", "what a callback leaves as last error stays", [
        ("src/api/last_error.c", "unlikely(mole_spy_is_in_callback())", "unlikely(false)"),
    ], ["api/spy_veto"]),
    Mutant("changed_callback_error", "the same for a callback in another one", [
        ("src/spy/spy.c", "        mole_thread_callback_error = last_error;\n", ""),
    ], ["api/spy_veto"]),
    Mutant("waiting_callback", "a callback waits for itself", [
        ("src/api/spy.c", "return mole_spy_is_inside() || ", "return "),
    ], ["api/spy_attach"]),
    Mutant("waiting_owner", "who owns a HeapLock waits for callbacks", [
        ("src/api/spy.c", "mole_spy_is_inside() || mole_gate_is_any_mine() ||",
         "mole_spy_is_inside() ||"),
    ], ["api/spy_attach"]),
    Mutant("waiting_method", "mh_spy_detach waits in a COM spy's method", [
        ("src/api/spy.c", " || mole_com_lock_is_mine()", ""),
    ], ["api/malloc_spy_lock"]),
    Mutant("lock_outlives_heap", "a lock counts when its heap is gone", [
        ("src/arena/gate.c", """    if (unlikely(is_owner(&heap->gate)))
        mole_thread_count_gate(-1);
""", "    (void)heap;\n"),
    ], ["api/spy_attach"]),
    Mutant("unawaited_callbacks", "a detach does not wait for callbacks", [
        ("src/spy/set.c", "    mole_grace_wait();\n", ""),
    ], ["api/spy_threads"]),
    Mutant("ignored_gate_when_spied", "the fast path of a spied heap passes a gate that is shut", [
        ("src/arena/mode.c", ".spied = modes == MOLE_MODE_SPIED ?",
         ".spied = (modes & ~(unsigned)MOLE_MODE_CLOSED) == MOLE_MODE_SPIED ?"),
    ], ["api/spy_lock"]),
    Mutant("ignored_gate_when_sampled", "the same of a sampled heap", [
        ("src/arena/mode.c", ".sampled = modes == MOLE_MODE_SAMPLED ?",
         ".sampled = (modes & ~(unsigned)MOLE_MODE_CLOSED) == MOLE_MODE_SAMPLED ?"),
        ("src/arena/mode.c", ".free = modes & ~(unsigned)MOLE_MODE_SAMPLED ?",
         ".free = modes & ~(unsigned)(MOLE_MODE_SAMPLED | MOLE_MODE_CLOSED) ?"),
    ], ["api/spy_lock"]),
    Mutant("ignored_gate_after_callback", "a free passes a gate shut during its callback", [
        ("src/watch/fast.h",
         "    if (unlikely(load_acq(&cache->owner.spied_key_a) != key || /* HB-GATE-2 */\n",
         "    if (unlikely(false ||\n"),
    ], ["api/spy_lock"]),
    Mutant("freed_by_callback", "a block that a callback freed is freed again", [
        ("src/watch/fast.h", "                 "
         "!mole_span_entry_is_live(load_rlx(&span->entry_a[index])))) {\n"
         "        mole_tcache_leave(cache);\n        return mole_fast_free_late",
         "                 false)) {\n"
         "        mole_tcache_leave(cache);\n        return mole_fast_free_late"),
    ], ["api/spy_veto"]),
    Mutant("heard_in_own_callback", "a spy hears of what its callbacks do", [
        ("src/spy/spy.c", " && is_in_frames(entry);\n",
         " && is_in_frames(entry) && entry->serial > 1;\n"),
    ], ["api/spy_heaps"]),
    Mutant("unspied_heaps_to_come", "heaps that come later are not spied", [
        ("src/watch/modes.c",
         "    mole_mode_change_to_come(modes, MOLE_MODE_WATCHED & ~modes);\n", ""),
    ], ["api/spy_heaps"]),
    Mutant("leaving_needs_memory", "a spy leaves only if there is memory for a new set", [
        ("src/spy/set.c", "    struct mole_set *set = spares;\n",
         "    struct mole_set *set = create_set(old->count), *spare = spares;\n"
         "    if (!set)\n        return MH_NO_MEMORY;\n"),
        ("src/spy/set.c", "    spares = set->next;\n", "    spares = spare->next;\n"),
    ], ["unit/set"]),
    Mutant("kept_sets", "sets that were replaced are never given back", [
        ("src/spy/set.c", "        destroy_set(old);\n", ""),
    ], ["unit/set"]),
    Mutant("ignored_serial", "a sampler hears of blocks that an earlier one picked", [
        ("src/spy/spy.c",
         "    return (mark & entry->bit) && mark >> MOLE_SET_SAMPLERS >= entry->serial;\n",
         "    return mark & entry->bit;\n"),
    ], ["api/spy_sample"]),
    Mutant("lost_mark", "a block that grows unpicked loses its mark", [
        ("src/watch/watch.c", "!is_picked_alone(draw, bytes))\n        return mark;\n",
         "!is_picked_alone(draw, bytes))\n        return MOLE_SPY_NO_MARK;\n"),
    ], ["api/spy_sample"]),
    Mutant("stale_marked_bytes", "a marked block's size is told as it was at first", [
        ("src/watch/watch.c", "    span->marked_bytes = bytes;\n",
         "    if (!span->marked_bytes)\n        span->marked_bytes = bytes;\n"),
    ], ["api/spy_sample"]),
    Mutant("sampled_by_size", "what a block grows by is picked by all of its size", [
        ("src/watch/watch.c", "pick(heap, growth, old.mark)", "pick(heap, bytes, old.mark)"),
    ], ["api/spy_sample"]),
    Mutant("same_rate", "all samplers hear as much as the one that hears most", [
        ("src/spy/spy.c", "    return mole_draw_is_lucky(draw, share);\n",
         "    return share > 0;\n"),
    ], ["api/spy_sample"]),
    Mutant("even_draws", "the bytes between two picks are always as many", [
        ("src/base/draw.c", "minus_ln(uniform(draw)) * (double)mean", "(double)mean"),
    ], ["api/spy_sample"]),
    Mutant("sampled_sizes_of_malloc", "a sampled block of malloc has no size of its own", [
        ("src/watch/watch.c", """    if (span->kind == MOLE_SPAN_LARGE && span->mark)
        return (struct mole_spy_block){block, span->marked_bytes, span->mark};
""", """    if (span->kind == MOLE_SPAN_LARGE && span->mark)
        return (struct mole_spy_block){block, mole_block_room(span), span->mark};
"""),
    ], ["unit/watch"]),
    Mutant("one_phase", "a grace period does not wait for counted sections", [
        ("src/os/grace.c", "    wait_for_counted();\n", ""),
    ], ["unit/grace"]),
    Mutant("flat_sections", "closing an inner counted section closes all of the thread's", [
        ("src/os/grace.c", """    depth[section.phase]--;
    sub_rel(&inside_a[section.phase], 1); /* HB-GRACE-1 */
""", """    sub_rel(&inside_a[section.phase], depth[section.phase]); /* HB-GRACE-1 */
    depth[section.phase] = 0;
"""),
    ], ["unit/grace"]),
    Mutant("stack_by_store", "a call stack gets its place by a look and a store", [
        ("src/observers/sites.c", "if (!found && cas_acq(&sites[index].hash_a, &found, hash)) {",
         "if (!found) {\n            store_rlx(&sites[index].hash_a, hash);"),
    ], ["top_sites", "top_sites/tsan"]),
    Mutant("sample_unordered", "a sample's place is free before the sample was read", [
        ("src/observers/blocks.c",
         "sample = place->sample;\n        store_rel(&place->key_a, FREE);",
         "sample = place->sample;\n        store_rlx(&place->key_a, FREE);"),
    ], ["top_sites/tsan"]),
    Mutant("sample_held", "who looks for one heap's blocks holds others' for a moment", [
        ("src/observers/blocks.c", " || load_rlx(&place->heap_a) != heap", ""),
    ], ["top_sites"]),
]
for others in (mutants_checked, mutants_com, mutants_exceptions, mutants_global,
               mutants_groups, mutants_idle, mutants_instructions, mutants_large,
               mutants_oracle, mutants_realloc, mutants_record, mutants_remote, mutants_rows,
               mutants_slabs, mutants_spare, mutants_storm):
    MUTANTS += [Mutant(*each) for each in others.MUTANTS]
    TESTS.update((name, Test(*each)) for name, each in others.TESTS.items())


class Broken(Exception):
    """Not the tests' fault: the mutant cannot be made."""


def apply_edits(mutant, folder):
    for path, old, new in mutant.edits:
        full = os.path.join(folder, path)
        with open(full, encoding="utf-8") as file:
            text = file.read()
        if text.count(old) != 1:
            raise Broken(f"{path} has this {text.count(old)} times, not once: {old.strip()!r}")
        with open(full, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))


def run(args, seconds, env=None, cwd=None):
    """(exit status or None after `seconds`, output). Whatever it started ends with it."""
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                          cwd=cwd, start_new_session=True) as process:
        try:
            output = process.communicate(timeout=seconds)[0]
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, status = process.communicate()[0], None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return status, output.decode(errors="replace")


def telling_line(output):
    """The line in which a test says what it saw."""
    lines = [line.strip() for line in output.splitlines()]
    for sign in ("SUMMARY: ThreadSanitizer: ", "FAILED: "):
        for line in lines:
            if sign in line:
                return line.split(sign, 1)[1].replace(PLACE + os.sep, "")
    # Criterion names the place, and then says what it was.
    asserted = [line[len("[----]"):].strip() for line in lines if line.startswith("[----]")]
    return next((line for line in asserted if line and ": Assertion" not in line), "")


class Tree:
    """A copy of the sources, and what is compiled from it."""

    def __init__(self, name, mutant=None, base=None):
        self.folder = os.path.join(PLACE, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("src", "include", "tests"):
            shutil.copytree(os.path.join(ROOT, part), os.path.join(self.folder, part),
                            ignore=shutil.ignore_patterns("__pycache__"))
        self.changed = set()
        if mutant:
            apply_edits(mutant, self.folder)
            self.changed = {path for path, _, _ in mutant.edits}
        # Objects of files that did not change are taken from `base`, unless a header did.
        self.base = base if all(path.endswith(".c") for path in self.changed) else None
        self.sources = sorted(
            os.path.relpath(path, self.folder)
            for path in glob.glob(os.path.join(self.folder, "src", "*", "*.c")))
        self.sources = [path for path in self.sources if path not in NOT_IN_TESTING
                        and not path.startswith("src/cli/")]

    def object(self, source, flavour):
        return os.path.join(self.folder, "objects", flavour, source.replace("/", "_") + ".o")

    def compile(self, source, flavour):
        """The object of one file, made if need be."""
        if self.base and source not in self.changed:
            return self.base.compile(source, flavour)
        output = self.object(source, flavour)
        if os.path.exists(output):
            return output
        os.makedirs(os.path.dirname(output), exist_ok=True)
        status, text = run([*FLAVOURS[flavour], *COMMON, "-Isrc", "-Iinclude",
                            "-Iinclude/molehill/win32", "-c", source, "-o", output], 120,
                           cwd=self.folder)
        if status != 0:
            raise Broken(f"{source} does not compile:\n{text}")
        return output

    def program(self, name):
        test = TESTS[name]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda source: self.compile(source, test.flavour),
                                    self.sources + [test.source]))
        program = os.path.join(self.folder, name.replace("/", "_"))
        libraries = ["-lcriterion", "-lm"] if test.source.endswith("_test.c") else []
        status, text = run([*FLAVOURS[test.flavour], "-pthread", *objects, "-o", program,
                            *libraries], 120)
        if status != 0:
            raise Broken(f"{name} does not link:\n{text}")
        return program

    def build(self, name):
        """The test's program, and what runs it."""
        source = TESTS[name].source
        if source == mutants_instructions.TEST:
            try:
                return (os.path.join(self.folder, name),
                        mutants_instructions.command(ROOT, self.folder))
            except RuntimeError as error:
                raise Broken(str(error)) from None
        program = self.program(name)
        if source.startswith("tests/oracle/"):
            return program, [*ORACLE, "--native", program, os.path.basename(name)]
        return program, [program, *(CRITERION if source.endswith("_test.c") else [])]

    def test(self, name, attempts=1):
        """What the first failure was, in a few words; or None. The output is kept."""
        test = TESTS[name]
        program, args = self.build(name)
        env = {key: value for key, value in os.environ.items()
               if key not in ("LD_PRELOAD", "MOLEHILL_CONF", "MOLE_SEED")}
        for _ in range(attempts):
            status, output = run(args, test.seconds, {**env, **ENVIRONMENT}, self.folder)
            with open(program + ".txt", "w", encoding="utf-8") as file:
                file.write(output)
            if status != 0:
                how = f"no end after {test.seconds} s" if status is None else (
                    f"signal {-status}" if status < 0 else f"exit status {status}")
                return ", ".join(filter(None, [how, telling_line(output)]))
        return None

    def remove_objects(self):
        shutil.rmtree(os.path.join(self.folder, "objects"), ignore_errors=True)


def can_run(name):
    source = TESTS[name].source
    if source == mutants_instructions.TEST:
        return shutil.which("valgrind")
    return (not source.startswith("tests/oracle/")
            or shutil.which("wine") and shutil.which("x86_64-w64-mingw32-gcc"))


def judge(mutant, base, failing):
    """(outcome, why) of one mutant."""
    tests = [name for name in mutant.tests if name not in failing and can_run(name)]
    if not tests:
        return "skipped", ("its tests fail without it, or need Wine or valgrind: "
                           + " ".join(mutant.tests))
    try:
        tree = Tree(mutant.name, mutant, base)
        for name in tests:
            reason = tree.test(name, TESTS[name].attempts)
            if reason:
                tree.remove_objects()
                return "passed", f"killed by {name}: {reason}"
    except Broken as error:
        return "failed", f"cannot be made: {error}"
    return "failed", "SURVIVED: " + " ".join(tests)


def check_base(base, names):
    """The tests that fail on the unchanged sources."""
    failing = {}
    for name in names:
        try:
            reason = base.test(name)
        except Broken as error:
            reason = str(error)
        if reason:
            failing[name] = reason
            print(f"FAILED: {name} fails without any mutant: {reason}; its output is in "
                  f"{os.path.relpath(base.folder, ROOT)}", flush=True)
    return failing


def check(mutants):
    """Whether each can still be planted: its text is there, and its tests are known."""
    bad = 0
    for mutant in mutants:
        texts = {}
        for path, old, new in mutant.edits:
            if path not in texts:
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    texts[path] = file.read()
            if texts[path].count(old) != 1:
                bad += 1
                print(f"FAILED: {mutant.name}: {path} has this {texts[path].count(old)} times, "
                      f"not once: {old.strip()!r}")
            texts[path] = texts[path].replace(old, new)
        for name in set(mutant.tests) - set(TESTS):
            bad += 1
            print(f"FAILED: {mutant.name}: no such test: {name}")
    print(f"{len(mutants)} mutants")
    sys.exit(1 if bad else 0)


def select(names):
    known = {mutant.name: mutant for mutant in MUTANTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"mutants.py: no such mutant: {' '.join(unknown)}; see --list")
    return [known[name] for name in names] if names else MUTANTS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name all mutants, and their tests")
    parser.add_argument("--check", action="store_true", help="only see that they can be made")
    parser.add_argument("name", nargs="*", help="of a mutant; all without")
    args = parser.parse_args()
    mutants = select(args.name)
    if args.check:
        check(mutants)
    if args.list:
        for mutant in mutants:
            print(f"{mutant.name:28} {mutant.what} ({', '.join(mutant.tests)})")
        return
    begin = time.monotonic()
    names = sorted({name for mutant in mutants for name in mutant.tests if can_run(name)})
    base = Tree("base")
    failing = check_base(base, names)
    print(f"{'unchanged':28} {len(names) - len(failing)} of {len(names)} tests pass "
          f"({time.monotonic() - begin:.0f} s)", flush=True)
    counts = {"passed": 0, "failed": len(failing), "skipped": 0}
    for mutant in mutants:
        start = time.monotonic()
        outcome, why = judge(mutant, base, failing)
        counts[outcome] += 1
        print(f"{mutant.name:28} {why} ({time.monotonic() - start:.0f} s)", flush=True)
    base.remove_objects()
    print("all: {:.0f} s".format(time.monotonic() - begin))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
