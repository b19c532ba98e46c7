# SPDX-License-Identifier: MIT
"""The mutants that the comparison with Wine kills: mutants.py. Its tests are Win32 programs of
tests/oracle; tools/oracle.py compares what they say with what they say under Wine."""

# Arguments of mutants.Test.
TESTS = {f"oracle/{name}": ("plain", f"tests/oracle/{name}.c", 120) for name in (
    "generated", "heap_blocks", "heap_exceptions", "heap_objects", "heap_walk", "malloc_spy",
    "task_malloc")}

FIND = "    if (span->heap != heap || mole_span_bytes(span, address) == MOLE_LARGE_FREE)\n"

# Arguments of mutants.Mutant.
MUTANTS = [
    ("oracle_regrown", "a block that grows again shows what it held", [
        ("src/tcache/block.c", "        memset(at + old, 0, bytes - old);\n", ""),
    ], ["oracle/heap_blocks"]),
    ("oracle_regrown_tail", "the last byte of what a block grows by is not cleared", [
        ("src/tcache/block.c", "        memset(at + old, 0, bytes - old);\n",
         "        memset(at + old, 0, bytes - old - 1);\n"),
    ], ["oracle/generated"]),
    ("oracle_freed_size", "a large block that was freed has a size", [
        ("src/tcache/block.c", FIND, FIND.replace("== MOLE", "== 1 + MOLE")),
    ], ["oracle/heap_blocks"]),
    ("oracle_last_error", "out of memory is the other error of that name", [
        ("src/api/last_error.c", "*last_error() = code;",
         "*last_error() = code == ERROR_NOT_ENOUGH_MEMORY ? ERROR_OUTOFMEMORY : code;"),
    ], ["oracle/generated"]),
    ("oracle_walk", "HeapWalk passes over the block behind a live one", [
        ("src/arena/walk.c", "is_live(span, index) ? index + 1",
         "is_live(span, index) ? index + 2"),
    ], ["oracle/heap_walk"]),
    ("oracle_task_to_0", "IMalloc::Realloc to 0 frees nothing", [
        ("src/api/task_malloc.c", "    plain_free(block);\n    return NULL;\n",
         "    return NULL;\n"),
    ], ["oracle/task_malloc"]),
    ("oracle_task_null", "IMalloc::DidAlloc says 0 of NULL", [
        ("src/api/task_malloc.c", "find(block) != NULL : -1", "find(block) != NULL : 0"),
    ], ["oracle/task_malloc"]),
    ("oracle_spyed", "after Realloc a block is no longer the spy's", [
        ("src/spy/task.c", "IMallocSpy_PostRealloc(spy, moved, spyed)",
         "IMallocSpy_PostRealloc(spy, moved, FALSE)"),
    ], ["oracle/malloc_spy"]),
    ("oracle_raised_code", "out of memory raises the other code", [
        ("src/api/exception.c", "{(DWORD)STATUS_NO_MEMORY,", "{(DWORD)STATUS_ACCESS_VIOLATION,"),
    ], ["oracle/heap_exceptions"]),
    ("oracle_raised_freed", "HeapReAlloc that raises has freed the block", [
        ("src/api/heap_realloc.c", "    return is_gone ? refuse(&failure)\n",
         "    if (dwFlags & HEAP_GENERATE_EXCEPTIONS)\n"
         "        (void)HeapFree(hHeap, 0, lpMem);\n"
         "    return is_gone ? refuse(&failure)\n"),
    ], ["oracle/heap_exceptions"]),
    ("oracle_raised_kept", "after a call with the flag the heap has it", [
        ("src/api/exception.c", "    mole_last_error_fail(codes[code].error);\n",
         "    mole_last_error_fail(codes[code].error);\n"
         "    if (failure->heap)\n"
         "        *(uint32_t *)(uintptr_t)&failure->heap->flags |= HEAP_GENERATE_EXCEPTIONS;\n"),
    ], ["oracle/heap_exceptions"]),
    ("oracle_half_cleaned", "a record that comes back is cleaned for the next slab only", [
        ("src/arena/span.c", "mole_group_record_bytes(span->group) - sizeof *span)",
         "capacity * sizeof span->entry_a[0])"),
    ], ["oracle/heap_walk"]),
]
