# SPDX-License-Identifier: MIT
"""What the checks of the sources share (layers.py, labels.py, lengths.py): which files there
are, a C file without its comments, planted violations, and the frame of their main()."""
import argparse
import os
import re
import sys
import tempfile


def files(root, *tops, endings=(".c", ".h")):
    """Paths below these folders of `root`, relative to it, in the same order always."""
    for top in tops:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.relpath(os.path.join(folder, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    """C code with its block comments blanked out; each line keeps its number."""
    return re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match.group()), text,
                  flags=re.S)


def split_line(line, inside):
    """Code and comment of one line of C; whether a comment is still open after it."""
    code, comment = "", ""
    while line:
        if inside:
            end = line.find("*/")
            if end < 0:
                return code, comment + line, True
            comment, line, inside = comment + line[:end], line[end + 2:], False
        else:
            start = line.find("/*")
            if start < 0:
                return code + line, comment, False
            code, line, inside = code + line[:start], line[start + 2:], True
    return code, comment, inside


def plant(check, cases):
    """
    Try a check on planted files: each case is ({path: text}, expected), where `expected` is
    part of a problem that must be found, or None where nothing may be. Returns how many.
    """
    for planted, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            for path, text in planted.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found = check(root)[1]
        if expected is None and found:
            sys.exit(f"self-test: refused {planted}: {found}")
        if expected is not None and not any(expected in line for line in found):
            sys.exit(f"self-test: {expected!r} not found in {planted}: {found}")
    return len(cases)


def main(name, doc, check, self_test):
    """
    `check(root)` returns what it looked at, in words and beginning with a number, and the
    problems, each `file:line: what is wrong`.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--self-test", action="store_true",
                        help="find planted violations first")
    args = parser.parse_args()
    planted = self_test() if args.self_test else 0
    seen, problems = check(os.path.abspath(args.root))
    for line in problems:
        print(line)
    print(f"{name}: {seen}, {planted} planted cases, {len(problems)} problems")
    if seen.startswith("0 "):
        sys.exit(f"{name}: nothing to look at")
    sys.exit(1 if problems else 0)
