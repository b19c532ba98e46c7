#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Look whether the functions that the models mirror are as they were when somebody compared
them last.

usage: mirrors.py [--root DIR] [--self-test] [--accept]

The comment at the top of a model names them: `Mirrors PATH: FUNCTION...`; models/mirrors.txt has
what they were, as digests, written by --accept. The labels HB-... that a model names must be in
the sources.
"""
import hashlib
import os
import re
import sys
import tempfile

import sources

MIRRORS = re.compile(r"^ \* Mirrors (\S+):((?:\s+(?:\*\s+)?\w+)+)$", re.M)
LABEL = re.compile(r"\bHB-[A-Z]+-\d+\b")
ACCEPT = "compare the two, then ./dev model --accept"
TOY = """/*
 * Mirrors src/a.c: add
 * Labels HB-TOY-1
 */
"""
TOY_SOURCE = "/* HB-TOY-1 */\nint add(int a)\n{\n    return a + 1;\n}\n"


def head_of(text):
    """The comment at the file's top that tells about it."""
    return "\n".join(re.findall(r"/\*.*?\*/", text, re.S)[:2])


def models(root):
    return list(sources.files(root, "models", endings=(".pml", ".c")))


def function_text(code, name):
    """The definition of a C function, without what formatting changes; or None."""
    found = re.search(rf"^(?:\w[^\n;{{}}]*\b)?{name}\([^;{{}}]*\)[^;{{}}()]*\n{{\n.*?^}}", code,
                      re.M | re.S)
    return "".join(found.group().split()) if found else None


def mirrored(root, path):
    """(source, function) for each function that the model says it mirrors."""
    for source, names in MIRRORS.findall(head_of(sources.read(root, path))):
        for name in re.findall(r"\w+", names):
            yield source, name


def digests(root):
    """{(source, function): digest, or None where there is no such function}."""
    found = {}
    for path in models(root):
        for source, name in mirrored(root, path):
            code = ""
            if os.path.isfile(os.path.join(root, source)):
                code = sources.without_comments(sources.read(root, source))
            text = function_text(code, name)
            found[source, name] = text and hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def recorded(root):
    try:
        lines = sources.read(root, "models/mirrors.txt").splitlines()
    except FileNotFoundError:
        return {}
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {(source, name): digest for source, name, digest in rows}


def problems_of(root):
    known, found = recorded(root), digests(root)
    for (source, name), digest in sorted(found.items()):
        if not digest:
            yield f"{source}: there is no function {name}, which a model mirrors: {ACCEPT}"
        elif known.get((source, name)) != digest:
            yield f"{source}: {name} changed since its model was compared with it: {ACCEPT}"
    for source, name in sorted(set(known) - set(found)):
        yield f"models/mirrors.txt: no model mirrors {source}: {name}: ./dev model --accept"
    labels = {label for path in sources.files(root, "src")
              for label in LABEL.findall(sources.read(root, path))}
    for path in models(root):
        for label in sorted(set(LABEL.findall(sources.read(root, path))) - labels):
            yield f"{path}: {label} is not in the sources"


def accept(root):
    found = digests(root)
    missing = [f"{source}: {name}" for (source, name), digest in found.items() if not digest]
    if missing:
        sys.exit("mirrors.py: no such function: " + ", ".join(missing))
    with open(os.path.join(root, "models/mirrors.txt"), "w", encoding="utf-8") as file:
        file.write("# The functions that models mirror, as they were when last compared; written\n"
                   "# by ./dev model --accept.\n")
        for (source, name), digest in sorted(found.items()):
            file.write(f"{source} {name} {digest}\n")
    return f"{len(found)} functions accepted"


def check(root):
    return f"{len(digests(root))} functions", list(problems_of(root))


def self_test():
    """What happens to a source after its model was accepted."""
    cases = [
        (TOY_SOURCE, None),
        (TOY_SOURCE.replace("a + 1", "a  +  1 /* more */"), None),
        (TOY_SOURCE.replace("int add", "static int\nadd"), "src/a.c: add changed since its model"),
        (TOY_SOURCE.replace("a + 1", "a + 2"), "src/a.c: add changed since its model"),
        (TOY_SOURCE.replace("add", "sum"), "there is no function add"),
        (TOY_SOURCE.replace("TOY-1", "TOY-2"), "HB-TOY-1 is not in the sources"),
        (TOY_SOURCE.replace("{", "{\n    a++;\n    if (a) {\n        a--;\n    }"), "add changed"),
    ]
    with tempfile.TemporaryDirectory() as root:
        for path, text in (("models/toy.pml", TOY), ("src/a.c", TOY_SOURCE)):
            os.makedirs(os.path.join(root, os.path.dirname(path)))
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        accept(root)
        accepted = sources.read(root, "models/mirrors.txt")
    return sources.plant(check, [
        ({"models/toy.pml": TOY, "models/mirrors.txt": accepted, "src/a.c": source}, expected)
        for source, expected in cases])


if __name__ == "__main__":
    if sys.argv[1:] == ["--accept"]:
        print(accept(os.path.join(os.path.dirname(__file__), "..")))
    else:
        sources.main("mirrors", __doc__, check, self_test)
