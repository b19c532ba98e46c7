#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check lengths: of lines, of functions, of files.

usage: lengths.py [--root DIR] [--self-test]

Comments that are too wide are filled by tools/format.sh.
"""
import ast
import re

import sources

FOLDERS = ("include", "src", "dotnet", "tests", "models", "perf", "examples", "tools")
COLUMNS = {".c": 90, ".h": 90, ".cpp": 90, ".cs": 100, ".pml": 100, ".py": 100, ".sh": 100}
LINES = {".c": 400, ".h": 200, ".cpp": 400, ".cs": 400, ".pml": 500, ".py": 400, ".sh": 400}
TEST_HEADER_LINES = 400     # those are parts of programs
FUNCTION_LINES = 40     # between its braces; of Python, below its def

# Files that may be longer, and why. A row that is not needed is a problem.
LONGER = {
    "models/gate.pml": (640, "one protocol and all of its broken variants"),
    "include/molehill/heapapi.h": (400, "the contract of one API, function by function"),
    "src/spy/com.c": (420, "one state machine and its repair after fork"),
    "tests/race/oracle.c": (520, "one stress whose threads share its tables and counters"),
    "tools/mutants.py": (1100, "most of it is the list of the mutants"),
}


def c_functions(lines):
    """(line of the opening brace, lines between the braces), where both stand alone."""
    begin = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            begin = number
        elif line == "}" and begin:
            yield begin, number - begin - 1
            begin = None


def cs_functions(lines):
    """The same of C#, where functions are indented: innermost braces, but for statements'."""
    begin = None
    for number, line in enumerate(lines, 1):
        if line.strip() == "{":
            begin, end = number, line.replace("{", "}")
        elif begin and line == end:
            yield begin, number - begin - 1
            begin = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.body[0].lineno + 1


def check_lines(path, ending, length):
    usual = LINES[ending]
    if ending == ".h" and path.startswith("tests/"):
        usual = TEST_HEADER_LINES
    most, why = LONGER.get(path, (usual, ""))
    if length > most:
        yield f"{path}:{most + 1}: has {length} lines, {most} are the most {why}".rstrip()
    elif why and length <= usual:
        yield f"{path}:1: has {length} lines and needs no row in lengths.py"


def check(root):
    problems = []
    count = 0
    for path in sources.files(root, *FOLDERS, endings=tuple(COLUMNS)):
        count += 1
        ending = re.search(r"\.\w+$", path).group()
        text = sources.read(root, path)
        lines = text.splitlines()
        problems += check_lines(path, ending, len(lines))
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS[ending]:
                problems.append(f"{path}:{number}: has {len(line)} columns, "
                                f"{COLUMNS[ending]} are the most")
        if ending == ".py":
            functions = python_functions(text)
        else:
            functions = cs_functions(lines) if ending == ".cs" else c_functions(lines)
        for number, length in functions:
            if length > FUNCTION_LINES:
                problems.append(f"{path}:{number}: a function of {length} lines, "
                                f"{FUNCTION_LINES} are the most")
    return f"{count} files", problems


def self_test():
    def function(length):
        return "int f(void)\n{\n" + "    x();\n" * length + "}\n"

    def method(length):
        return "    int F()\n    {\n" + "        if (x) {\n        }\n" * (length // 2) + (
            "        x();\n" * (length % 2)) + "    }\n"

    def definition(length):
        return "def f():\n" + "    x()\n" * length

    return sources.plant(check, [
        ({"src/a/a.c": "x" * 90 + "\n"}, None),
        ({"src/a/a.c": "x" * 91 + "\n"}, "a.c:1: has 91 columns"),
        ({"tests/a/a.h": "\n/* " + "x" * 88 + " */\n"}, "a.h:2: has 94 columns"),
        ({"tools/a.py": "#" * 100 + "\n"}, None),
        ({"tools/a.py": "#" * 101 + "\n"}, "a.py:1: has 101 columns"),
        ({"perf/a.c": "\n" * 400}, None),
        ({"perf/a.c": "\n" * 401}, "a.c:401: has 401 lines"),
        ({"include/a.h": "\n" * 201}, "has 201 lines"),
        ({"tests/race/oracle.c": "\n" * 510}, None),
        ({"tests/race/oracle.c": "\n" * 530}, "share its tables"),
        ({"tests/race/oracle.c": "\n" * 400}, "needs no row"),
        ({"tests/race/a.h": "\n" * 400}, None),
        ({"dotnet/a.cs": "class C\n{\n" + method(40) * 3 + "}\n"}, None),
        ({"dotnet/a.cs": "class C\n{\n" + method(41) + "}\n"}, "a.cs:4: a function of 41"),
        ({"tests/race/a.h": "\n" * 401}, "has 401 lines"),
        ({"src/a/a.c": function(40)}, None),
        ({"src/a/a.c": function(40) + function(41)}, "a.c:45: a function of 41 lines"),
        ({"tools/a.py": definition(40)}, None),
        ({"tools/a.py": definition(41)}, "a.py:1: a function of 41 lines"),
        ({"examples/kv/a.c": function(50)}, "a function of 50 lines"),
    ])


sources.main("lengths", __doc__, check, self_test)
