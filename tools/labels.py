#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the happens-before labels: each HB-* label stands in exactly one protocol table and at
two or more atomic operations.

usage: labels.py [--root DIR] [--self-test]

A table is a run of comment lines after a heading 'label  release side  acquire side ...'.
An operation is a line of code whose trailing comment names the label, or an atomic access right
below an indented comment that does.
"""
import argparse
import os
import re
import sys
import tempfile

LABEL = re.compile(r"\bHB-[A-Z0-9]+(?:-[A-Z0-9]+)*\b")
HEADING = re.compile(r"^\s*/?\*+\s*label\s+release side\s+acquire side")
OPERATION = re.compile(r"\b(?:load|store|swap|cas|add|sub|or|and|xor|fence|atomic)_\w+\s*\(")


def sources(root):
    for folder, _, names in os.walk(os.path.join(root, "src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def split_line(line, inside):
    """Code and comment of one line; whether a comment is still open after it."""
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


def scan(path, text, tables, operations):
    inside = in_table = False
    waiting = set()   # labels named by a comment; the next line of code decides
    for number, line in enumerate(text.splitlines(), 1):
        code, comment, inside = split_line(line, inside)
        labels = LABEL.findall(comment)
        where = f"{path}:{number}"
        if HEADING.match(line):
            in_table = True
        elif in_table and (not comment.strip(" *") or code.strip()):
            in_table = False
        elif in_table:
            row = re.match(r"^\s*\*\s+(HB-\S+)\s", line)
            if row:
                tables.setdefault(row.group(1), []).append(where)
            continue
        if code.strip():
            for label in labels:
                operations.setdefault(label, set()).add(where)
            if OPERATION.search(code):
                for label in waiting:
                    operations.setdefault(label, set()).add(where)
            waiting = set()
        elif line.startswith("    "):
            waiting |= set(labels)


def check(root):
    tables, operations, mentioned = {}, {}, {}
    files = 0
    for path in sources(root):
        files += 1
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        scan(path, text, tables, operations)
        for number, line in enumerate(text.splitlines(), 1):
            for label in LABEL.findall(line):
                mentioned.setdefault(label, f"{path}:{number}")
    problems = []
    for label, where in sorted(mentioned.items()):
        rows = tables.get(label, [])
        if not rows:
            problems.append(f"{where}: {label} is in no table")
        for extra in rows[1:]:
            problems.append(f"{extra}: {label} is already in the table at {rows[0]}")
        count = len(operations.get(label, ()))
        if count < 2:
            places = ", ".join(sorted(operations.get(label, ()))) or "none"
            problems.append(f"{(rows or [where])[0]}: {label} is at {count} operations, "
                            f"two are the least ({places})")
    return files, len(mentioned), problems


SAMPLE = """/*
 *  label     release side   acquire side   makes visible
 *  HB-ONE-1  push: CAS      take: swap     the block
 *            which goes on
 *
 * prose that names HB-ONE-1
 */
    cas_weak_rel(&x->head_a, &head, block); /* HB-ONE-1 */
    /* HB-ONE-1: takes it whole */
    return swap_acq(&x->head_a, NULL);
"""


def self_test():
    cases = [
        (SAMPLE, None),
        (SAMPLE.replace(" /* HB-ONE-1 */", ""), "is at 1 operations"),
        (SAMPLE.replace("    /* HB-ONE-1: takes it whole */\n", ""), "is at 1 operations"),
        (SAMPLE + SAMPLE.split("\n\n")[0][:200], "already in the table"),
        (SAMPLE + "    load_acq(&a); /* HB-TWO-1 */\n    store_rel(&a, 1); /* HB-TWO-1 */\n",
         "HB-TWO-1 is in no table"),
        (SAMPLE.replace("return swap_acq(&x->head_a, NULL)", "return 0"), "is at 1 operations"),
    ]
    for text, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "src/arena"))
            with open(os.path.join(root, "src/arena/a.h"), "w", encoding="utf-8") as file:
                file.write(text)
            _, _, found = check(root)
            if expected is None and found:
                sys.exit(f"labels.py: self-test: refused {text!r}: {found}")
            if expected is not None and not any(expected in line for line in found):
                sys.exit(f"labels.py: self-test: {expected!r} not found in {text!r}: {found}")
    return len(cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--self-test", action="store_true", help="find planted violations first")
    args = parser.parse_args()
    planted = self_test() if args.self_test else 0
    files, labels, problems = check(os.path.abspath(args.root))
    for line in problems:
        print(line)
    print(f"labels: {labels} labels in {files} files, {planted} planted cases, "
          f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
