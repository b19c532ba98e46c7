# SPDX-License-Identifier: MIT
"""The mutants of the spy record, and the test that kills them: mutants.py."""

# Arguments of mutants.Test.
TESTS = {
    "record": ("plain", "tests/race/record.c", 120, 3),
}

# Arguments of mutants.Mutant.
MUTANTS = [
    ("number_twice", "two threads' events may have one number", [
        ("src/observers/lanes.c", "    uint64_t number = add_rlx(&number_a, 1);\n",
         "    uint64_t number = load_rlx(&number_a);\n    store_rlx(&number_a, number + 1);\n"),
    ], ["record"]),
    ("chunks_overlap", "two threads may append at one place", [
        ("src/observers/trace_file.c", "    uint64_t offset = add_rlx(&end_a, bytes);\n",
         "    uint64_t offset = load_rlx(&end_a);\n    thrd_yield();\n"),
        # The pause only makes it likelier that somebody comes between the two.
        ("src/observers/trace_file.c", "#include <unistd.h>\n",
         "#include <threads.h>\n#include <unistd.h>\n"),
        ("src/observers/trace_file.c", "    if (code)\n        set_error(code);\n}\n\n"
         "const char *trace_file_finish",
         "    store_rlx(&end_a, offset + bytes);\n    if (code)\n        set_error(code);\n}\n\n"
         "const char *trace_file_finish"),
    ], ["record"]),
    ("child_writes", "a fork's child writes to its parent's trace", [
        ("src/observers/trace_file.c", "return file >= 0 && process == getpid();",
         "return file >= 0;"),
    ], ["record"]),
    ("lanes_kept", "a recording begins with what the one before it left in the buffers", [
        ("src/observers/lanes.c",
         "            memset(&lanes[i], 0, offsetof(struct lane, buffer));\n", "            ;\n"),
    ], ["record"]),
]
