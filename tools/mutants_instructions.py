# SPDX-License-Identifier: MIT
"""The mutants that the instruction counts kill: mutants.py. They do everything right, but take
longer. Its test is the libraries as they are shipped, built from the changed copy."""
import os
import shutil
import subprocess
import sys

TEST = "perf/operations.c"

# Arguments of mutants.Test.
TESTS = {"instructions": ("plain", TEST, 300)}

MALLOC = "void *MALLOC_NAME(malloc)(size_t bytes)\n{\n"
HEAP_ALLOC = "LPVOID WINAPI HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes)\n{\n"

# Arguments of mutants.Mutant.
MUTANTS = [
    ("instructions_malloc", "malloc stores what was asked for where nobody reads it", [
        ("src/malloc/malloc.c", MALLOC,
         MALLOC + "    volatile size_t asked = bytes;\n    (void)asked;\n"),
    ], ["instructions"]),
    ("instructions_heap", "HeapAlloc stores what was asked for where nobody reads it", [
        ("src/api/heap.c", HEAP_ALLOC,
         HEAP_ALLOC + "    volatile SIZE_T asked = dwBytes;\n    (void)asked;\n"),
    ], ["instructions"]),
]


def command(root, folder):
    """Builds the copy in `folder`, whose other parts are those of `root`. Returns what compares
    its counts with the table; RuntimeError when it does not build."""
    for name in sorted(os.listdir(root)):
        if name in ("build", ".git") or os.path.exists(os.path.join(folder, name)):
            continue
        place = os.path.join(root, name)
        (shutil.copytree if os.path.isdir(place) else shutil.copy)(
            place, os.path.join(folder, name))
    build = os.path.join(folder, "build")
    for words in (["meson", "setup", build, folder, "-Dtests=false", "-Dexamples=false"],
                  ["ninja", "-C", build, "perf/operations"]):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]} failed:\n{done.stdout[-2000:]}")
    return [sys.executable, os.path.join(root, "tools", "instructions.py"), "--build", build]
