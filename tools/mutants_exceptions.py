# SPDX-License-Identifier: MIT
"""The mutants of exceptions, heap information and termination, and the tests that kill them:
mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "api/exception": ("plain", "tests/api/exception_test.c"),
    "api/exception_frames": ("plain", "tests/api/exception_frames_test.c"),
    "api/exception_held": ("plain", "tests/api/exception_held_test.c"),
    "api/exception_inside": ("plain", "tests/api/exception_inside_test.c"),
    "api/heap_information": ("plain", "tests/api/heap_information_test.c"),
    "api/heap_information_use": ("plain", "tests/api/heap_information_use_test.c"),
    "unit/mixed": ("plain", "tests/unit/mixed_test.c"),
    "misuse/corruption": ("plain", "tests/misuse/corruption_test.c"),
    "raise/tsan": ("tsan", "tests/race/raise.c", 120, 4),
    "unit/span": ("plain", "tests/unit/span_test.c"),
}

FLAGS = "failure->flags | (failure->heap ? failure->heap->flags : 0)"
HERE = "mole_grace_thread.frames == callback && mole_thread_bits.com_calls == calls"

# Arguments of mutants.Mutant.
MUTANTS = [
    ("call_does_not_raise", "HEAP_GENERATE_EXCEPTIONS of a call is ignored", [
        ("src/api/exception.c", FLAGS, "failure->heap ? failure->heap->flags : 0"),
    ], ["api/exception"]),
    ("heap_does_not_raise", "HEAP_GENERATE_EXCEPTIONS of a heap is ignored", [
        ("src/api/exception.c", FLAGS, "failure->flags"),
    ], ["api/exception"]),
    ("raise_before_error", "the last error is set only if the call returns", [
        ("src/api/exception.c", "    mole_last_error_fail(codes[code].error);\n", ""),
    ], ["api/exception"]),
    ("null_does_not_raise", "HeapReAlloc of NULL does not raise", [
        ("src/api/heap_realloc.c", "        return mole_exception_fail(&failure, ERROR_SUCCESS);\n",
         "        return mole_last_error_clear(), NULL;\n"),
    ], ["api/exception"]),
    ("raise_in_operation", "an exception is raised inside of the operation", [
        ("src/tcache/block.c", """    void *block = alloc_inside(&use, bytes, align, how);
    mole_thread_end(&use);
""", """    void *block = alloc_inside(&use, bytes, align, how);
    if (block || bytes < SIZE_MAX / 4)
        mole_thread_end(&use);
"""),
    ], ["api/exception_held"]),
    ("raise_in_gate", "an exception is raised with the gate shut", [
        ("src/api/heap.c",
         "    return block ? block : mole_exception_fail(&failure, ERROR_NOT_ENOUGH_MEMORY);\n",
         "    return block || (flags & HEAP_GENERATE_EXCEPTIONS && !mole_gate_close(heap))\n"
         "               ? block\n"
         "               : mole_exception_fail(&failure, ERROR_NOT_ENOUGH_MEMORY);\n"),
    ], ["api/exception_held"]),
    ("raise_in_section", "an exception is raised in a read-side section", [
        ("src/api/exception.c", "    mh_exception_leave(frame);\n    longjmp",
         "    mh_exception_leave(frame);\n    (void)mole_grace_enter();\n    longjmp"),
    ], ["api/exception_held"]),
    ("raise_with_record", "an exception is raised before a COM spy's record is put back", [
        ("src/api/heap_realloc.c", "    if (unlikely(record))\n        mole_com_resized",
         "    if (unlikely(record) && (block || !(dwFlags & HEAP_GENERATE_EXCEPTIONS)))\n"
         "        mole_com_resized"),
    ], ["api/exception_held"]),
    ("caught_outside", "a frame catches what a callback raises", [
        ("src/api/exception.c", HERE, "mole_thread_bits.com_calls == calls"),
    ], ["api/exception_inside"]),
    ("caught_outside_method", "a frame catches what a COM spy's method raises", [
        ("src/api/exception.c", HERE, "mole_grace_thread.frames == callback"),
    ], ["api/exception_inside"]),
    ("handler_in_callback", "the handler is asked in a callback", [
        ("src/api/exception.c", "!handler || !is_here(NULL)", "!handler"),
    ], ["api/exception_inside"]),
    ("never_caught_inside", "a callback's own frame does not catch", [
        ("src/api/exception.c", "frame && is_here(frame)",
         "frame && is_here(frame) && is_here(NULL)"),
    ], ["api/exception_inside"]),
    ("always_aborts", "unhandled:return is ignored", [
        ("src/api/exception.c", " || load_rlx(&is_returning_a))", ")"),
    ], ["api/exception_frames"]),
    ("never_aborts", "an exception that nobody catches makes the call return", [
        ("src/api/exception.c", "flags) || load_rlx(&is_returning_a))", "flags) || true)"),
    ], ["misuse/corruption"]),
    ("handler_first", "the handler comes before the frames", [
        ("src/api/exception.c", "    if (frame && is_here(frame))\n        jump(frame);\n", ""),
        ("src/api/exception.c", "    if (!handler || !is_here(NULL))\n",
         "    if (!handler && frame && is_here(frame))\n        jump(frame);\n"
         "    if (!handler || !is_here(NULL))\n"),
    ], ["api/exception_frames"]),
    ("frame_stays", "a frame that caught stays in the list", [
        ("src/api/exception.c", "    mh_exception_leave(frame);\n    longjmp", "    longjmp"),
    ], ["api/exception_frames"]),
    ("frame_outlives_thread", "frames that pthread_exit leaves stay", [
        ("src/tcache/thread.c", "    mole_tls.frames = NULL; /* those that pthread_exit left: "
         "the stack is gone */\n", ""),
    ], ["api/exception_frames"]),
    ("never_terminates", "HeapEnableTerminationOnCorruption is ignored", [
        ("src/arena/corruption.c", "    store_rlx(&ends_process_a, true);\n", ""),
    ], ["misuse/corruption"]),
    ("always_terminates", "corruption ends the process though nobody asked for that", [
        ("src/arena/corruption.c",
         "    if (!load_rlx(&ends_process_a) && !(heap->checks & MOLE_GUARD_HARD))\n"
         "        return;\n    const", "    const"),
        ("src/arena/corruption.c",
         "    if (!load_rlx(&ends_process_a) && what != is_free)\n        return;\n", ""),
    ], ["misuse/corruption"]),
    ("resize_goes_on", "HeapReAlloc does not end the process", [
        ("src/api/heap_realloc.c", "    mole_corruption_blame(failure->heap, failure->function, "
         "failure->block);\n", ""),
    ], ["misuse/corruption"]),
    ("active_at_17", "17 allocations activate a heap", [
        ("src/api/heap_information.c", "ALLOCATIONS_THAT_ACTIVATE = 18",
         "ALLOCATIONS_THAT_ACTIVATE = 17"),
    ], ["api/heap_information_use"]),
    ("active_across_classes", "allocations of all classes are added up", [
        ("src/tcache/usage.c", "usage->counts[span->class] += mole_span",
         "usage->counts[0] += mole_span"),
    ], ["api/heap_information_use"]),
    ("forgotten_countdown", "frees of a slab that goes are forgotten", [
        ("src/tcache/slab.c", "    mole_usage_note(cache, span, counted);\n", ""),
    ], ["api/heap_information_use"]),
    ("forgotten_drain", "frees by other threads are forgotten", [
        ("src/tcache/slab.c", "        mole_usage_note(cache, span, (uint32_t)count);\n", ""),
    ], ["api/heap_information_use"]),
    ("mixed_uncounted", "blocks of mixed slabs are not counted", [
        ("src/tcache/mixed.h", "    cache->used[class]++;\n", ""),
    ], ["api/heap_information_use"]),
    ("mixed_counted_twice", "blocks of mixed slabs are counted as their class's, too", [
        ("src/tcache/usage.c", "class < MOLE_CLASS_COUNT; class += 1)\n        if (",
         "class < MOLE_SLAB_CLASSES; class += 1)\n        if ("),
    ], ["api/heap_information_use"]),
    ("mixed_for_ever", "a class that is much used goes on in the mixed slab", [
        ("src/tcache/mixed.h", " &&\n           cache->used[class] < MOLE_MIXED_TIMES;", ";"),
    ], ["unit/mixed"]),
    ("mixed_never_again", "what is free in the mixed slab is left", [
        ("src/tcache/refill.c", "    if (!other && mole_mixed_has_rest(cache, class))\n"
         "        return cache->current[MOLE_CLASS_MIXED];\n", ""),
    ], ["unit/mixed"]),
    ("mixed_torn", "a fork's child does not use the mixed slab that was rebuilt", [
        ("src/tcache/mixed.c", "mole_slab_pop_partial(cache, MOLE_CLASS_MIXED)", "NULL"),
    ], ["unit/mixed"]),
    ("forgotten_theft", "frees in slabs that were stolen are forgotten", [
        ("src/tcache/steal.c", "    mole_usage_note_theft(heap, span);\n", ""),
    ], ["api/heap_information_use"]),
    ("forgotten_batch", "frees in batches are forgotten", [
        ("src/tcache/usage.c", "+=\n                mole_batch_count(&cache->batch[i]);", "+= 0;"),
    ], ["api/heap_information_use"]),
    ("active_in_next_life", "a heap starts as the one before that had its record", [
        ("src/arena/heap.c", "    store_rlx(&heap->is_active_a, false);\n", ""),
    ], ["api/heap_information"]),
    ("active_without_lock", "a heap without lock can be set", [
        ("src/api/heap_information.c", "(heap->flags & HEAP_NO_SERIALIZE) || ", ""),
    ], ["api/heap_information"]),
    ("active_fixed", "a fixed-size heap can be set", [
        ("src/api/heap_information.c",
         "    if ((heap->flags & HEAP_NO_SERIALIZE) || heap->fixed)\n",
         "    if (heap->flags & HEAP_NO_SERIALIZE)\n"),
    ], ["api/heap_information"]),
    ("passive_again", "0 is accepted once a heap says 2", [
        ("src/api/heap_information.c",
         "is_low_fragmentation(heap) ? fail(ERROR_GEN_FAILURE) : TRUE", "TRUE"),
    ], ["api/heap_information"]),
    ("optimized_process_heap", "all heaps are the process heap", [
        ("src/api/heap_walk.c", "heap != mole_process_malloc_heap()",
         "heap == mole_process_heap()"),
    ], ["api/heap_information_use"]),
    ("dirty_record", "a slab's record is cleared for its next slab only", [
        ("src/arena/span.c", "mole_group_record_bytes(span->group) - sizeof *span)",
         "capacity * sizeof span->entry_a[0])"),
    ], ["unit/span"]),
    ("relaxed_release_all", "who compacted all heaps lets them go without release", [
        ("src/arena/hold.c", "store_rel(&is_held_a, false);", "store_rlx(&is_held_a, false);"),
    ], ["raise/tsan"]),
    ("relaxed_set_is_empty", "who looks for spies does not see what came before them", [
        ("src/spy/set.h", "load_acq(&mole_set_a) == &mole_set_nobody",
         "load_rlx(&mole_set_a) == &mole_set_nobody"),
    ], ["raise/tsan"]),
]
