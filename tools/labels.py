#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the happens-before labels: each HB-* label stands in exactly one protocol table and at
two or more atomic operations.

usage: labels.py [--root DIR] [--self-test]

A table is a run of comment lines after a heading 'label  release side  acquire side ...'.
An operation is a line of code whose trailing comment names the label, or an atomic access right
below an indented comment that does.
"""
import re

import sources

LABEL = re.compile(r"\bHB-[A-Z0-9]+(?:-[A-Z0-9]+)*\b")
HEADING = re.compile(r"^\s*/?\*+\s*label\s+release side\s+acquire side")
OPERATION = re.compile(r"\b(?:load|store|swap|cas|add|sub|or|and|xor|fence|atomic)_\w+\s*\(")


def scan(path, text, tables, operations):
    inside = in_table = False
    waiting = set()   # labels named by a comment; the next line of code decides
    for number, line in enumerate(text.splitlines(), 1):
        code, comment, inside = sources.split_line(line, inside)
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
    count = 0
    for path in sources.files(root, "src"):
        count += 1
        text = sources.read(root, path)
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
        places = sorted(operations.get(label, ()))
        if len(places) < 2:
            problems.append(f"{(rows or [where])[0]}: {label} is at {len(places)} operations, "
                            f"two are the least ({', '.join(places) or 'none'})")
    return f"{count} files, {len(mentioned)} labels", problems


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
    return sources.plant(check, [({"src/arena/a.h": text}, expected)
                                 for text, expected in cases])


sources.main("labels", __doc__, check, self_test)
