#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check who includes whom: docs/ARCHITECTURE.md's layer map, by machine.

usage: layers.py [--root DIR] [--self-test]

Each line of output is file:line: what is wrong. Exit status 1 when there was any.
"""
import os
import re

import sources

# layer: the layers whose headers it may include. A layer always sees itself.
LAYERS = {
    "base": set(),
    "os": {"base"},
    "arena": {"os", "base"},
    "tcache": {"arena", "os", "base"},
    "spy": {"os", "base"},
    "watch": {"tcache", "spy", "arena", "os", "base"},
    "api": {"watch", "tcache", "spy", "arena", "os", "base"},
    "control": {"api", "os", "base"},
    "malloc": {"control", "watch", "tcache", "spy", "arena", "os", "base"},
    "observers": {"base"},
    "win32": set(),
    "cli": set(),
}

# layer: the public headers it may include, as regular expressions on the path after molehill/.
PUBLIC = {
    "spy": r"(spy|molehill|objidl|objbase|wintypes)\.h",
    "watch": r"(spy|molehill)\.h",
    "api": r".*",
    "control": r"spy(_module)?\.h",
    "malloc": r".*",
    "observers": r"spy(_module)?\.h",
    "win32": r".*",
    "cli": r".*",
}

# System headers that belong to one place: (header, who may include it, what to use instead).
SYSTEM = [
    (r"urcu(-\w+)?(\.h|/.*)", r"src/os/grace\.[ch]", "os/grace.h"),
    (r"sys/(mman|syscall)\.h", r"src/os/.*", "os/pages.h"),
    (r"pthread\.h", r"src/os/.*", "os/thread.h"),
    (r"stdatomic\.h", r"src/base/atom\.h", "base/atom.h"),
    (r"criterion/.*", r"tests/.*", "nothing: tests only"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def includes_of(root, path):
    """(line number, '<' or '"', name) for each #include outside of comments."""
    text = sources.without_comments(sources.read(root, path))
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line.split("//")[0])
        if match:
            yield number, match.group(1), match.group(2)


def check_internal(root, path, problem):
    layer = path.split("/")[1]
    if layer not in LAYERS:
        problem(path, 1, f"'{layer}' is no layer (see LAYERS in tools/layers.py)")
        return
    for number, bracket, name in includes_of(root, path):
        if name.endswith(".c"):
            problem(path, number, f"includes a source file: {name}")
        elif bracket == '"':
            target = name.split("/")[0]
            if name.startswith("../") or "/../" in name or not os.path.exists(
                    os.path.join(root, "src", name)):
                problem(path, number, f'"{name}" is not written from src/')
            elif target != layer and target not in LAYERS[layer]:
                problem(path, number, f"{layer} must not see {target}: {name}")
        elif name.startswith("molehill/"):
            allowed = PUBLIC.get(layer)
            if not allowed or not re.fullmatch(allowed, name[len("molehill/"):]):
                problem(path, number, f"{layer} must not see the public header {name}")
        else:
            for header, place, instead in SYSTEM:
                if re.fullmatch(header, name) and not re.fullmatch(place, path):
                    problem(path, number, f"<{name}> does not belong here; use {instead}")


def check_public(root, path, problem):
    for number, bracket, name in includes_of(root, path):
        if bracket == '"':
            folder = os.path.dirname(os.path.join(root, path))
            if not os.path.exists(os.path.join(folder, name)):
                problem(path, number, f'"{name}" is not a public header')
        elif name.startswith("molehill/"):
            if not os.path.exists(os.path.join(root, "include", name)):
                problem(path, number, f"no such public header: {name}")
        elif re.match(r"(urcu|pthread|sys/)", name):
            problem(path, number, f"a public header must not need <{name}>")


def check(root):
    problems = []

    def problem(path, number, text):
        problems.append(f"{path}:{number}: {text}")

    count = 0
    for path in sources.files(root, "src"):
        count += 1
        if path.count("/") < 2:
            problem(path, 1, "a source file of no layer")
        else:
            check_internal(root, path, problem)
    for path in sources.files(root, "include"):
        count += 1
        check_public(root, path, problem)
    return f"{count} files", problems


def self_test():
    """Plant violations; each must be found, and what is allowed must not be."""
    cases = [
        ("src/arena/a.c", '#include "tcache/t.h"\n', "arena must not see tcache"),
        ("src/arena/a.c", '\n#include "base/b.h"\n', None),
        ("src/arena/a.c", '/* #include "tcache/t.h" */\n', None),
        ("src/arena/a.c", "#include <molehill/m.h>\n", "must not see the public header"),
        ("src/api/a.c", '#include <molehill/m.h>\n#include "tcache/t.h"\n', None),
        ("src/api/a.c", '#include "base/b.c"\n', "includes a source file"),
        ("src/base/x.h", '#include "os/o.h"\n', "base must not see os"),
        ("src/tcache/x.c", '#include "t.h"\n', "is not written from src/"),
        ("src/tcache/x.c", '#include "../base/b.h"\n', "is not written from src/"),
        ("src/spy/x.c", '#include "arena/a.h"\n', "spy must not see arena"),
        ("src/tcache/x.c", "#include <urcu/urcu-memb.h>\n", "does not belong here"),
        ("src/tcache/x.c", "#  include <pthread.h>\n", "does not belong here"),
        ("src/os/x.c", "#include <pthread.h>\n", None),
        ("src/mole/x.c", "", "is no layer"),
        ("include/molehill/x.h", '#include "base/b.h"\n', "is not a public header"),
    ]
    others = ("src/base/b.h", "src/os/o.h", "src/arena/a.h", "src/tcache/t.h",
              "include/molehill/m.h")
    return sources.plant(check, [
        ({**dict.fromkeys(others, ""), path: text}, expected)
        for path, text, expected in cases
    ])


sources.main("layers", __doc__, check, self_test)
