# SPDX-License-Identifier: MIT
"""The mutants of GlobalAlloc, LocalAlloc and _msize, and the test that kills them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {"api/global_alloc": ("plain", "tests/api/global_alloc_test.c")}

KILLED_BY = ["api/global_alloc"]
SOURCE = "src/api/global_alloc.c"

# Arguments of mutants.Mutant.
MUTANTS = [
    ("global_moveable", "moveable memory is handed out as if it were fixed", [
        (SOURCE, """    if (flags & GMEM_MOVEABLE) {
        mole_last_error_fail(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    DWORD heap_flags = flags & GMEM_ZEROINIT""", "    DWORD heap_flags = flags & GMEM_ZEROINIT"),
    ], KILLED_BY),
    ("global_no_bytes", "a block of no bytes has size 0, which means an error", [
        (SOURCE, "dwBytes ? dwBytes : 1", "dwBytes"),
    ], KILLED_BY),
    ("global_moves", "a fixed block moves though that was not allowed", [
        (SOURCE, "(flags & GMEM_MOVEABLE ? 0 : HEAP_REALLOC_IN_PLACE_ONLY)", "0"),
    ], KILLED_BY),
    ("global_dirt", "what a block grows by is not cleared", [
        (SOURCE, "    DWORD heap_flags = (flags & GMEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0) |\n",
         "    DWORD heap_flags =\n"),
    ], KILLED_BY),
    ("global_follows", "what is no block passes for one", [
        (SOURCE, "return heap && block && mole_block_find(heap, block);",
         "return heap && block;"),
    ], KILLED_BY),
    ("global_free_error", "a refused free leaves HeapFree's error", [
        (SOURCE, "        return NULL;\n    mole_last_error_fail(ERROR_INVALID_HANDLE);\n",
         "        return NULL;\n"),
    ], KILLED_BY),
    ("global_quiet", "memory that is not there is no error by the documents", [
        (SOURCE, "    if (!resized)\n        mole_last_error_fail(ERROR_NOT_ENOUGH_MEMORY);\n", ""),
    ], KILLED_BY),
    ("local_unlock", "LocalUnlock answers as GlobalUnlock", [
        (SOURCE, "    if (is_block(hMem))\n        mole_last_error_fail(ERROR_NOT_LOCKED);\n"
         "    return FALSE;\n", "    return is_block(hMem);\n"),
    ], KILLED_BY),
    ("msize_of_malloc", "_msize asks malloc about blocks of the process heap", [
        (SOURCE, "    return is_known(memblock) ?", "    return is_known(NULL) ?"),
    ], KILLED_BY),
]
