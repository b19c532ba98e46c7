#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the list in docs/porting.md with what the headers of include/molehill/win32 declare.

usage: porting.py [--update] [--self-test] [--root DIR] [--cc 'CC ARGS'] [--cxx 'CXX ARGS']

Every name that a program can get from these headers is in the list, and no other. --update
writes the list anew.
"""
import argparse
import os
import re
import shlex
import shutil
import sys
import tempfile
import textwrap

import declared

DOCUMENT = "docs/porting.md"
BEGIN, END = "<!-- list: tools/porting.py -->\n", "<!-- /list -->\n"
# Helpers of the headers' own; and what is there for older languages only.
HIDDEN = re.compile(r"(mh_|MH_)\w*|GUID_SECTION|static_assert")
TITLES = [("function", "Functions"), ("type", "Types"), ("constant", "Constants"),
          ("macro", "Constants and words, as macros"), ("macro()", "Macros with arguments")]


def program(root, first=""):
    """A source that includes every header there is."""
    names = sorted(os.listdir(os.path.join(root, declared.WIN32)))
    names.sort(key=lambda name: name != "windows.h")
    return first + "".join(f"#include <{name}>\n" for name in names if name.endswith(".h"))


def collect(root, cc, cxx):
    """{name: (Name, note)}; the note says where it is not to be had."""
    flags = ["-I" + declared.WIN32]
    plain = declared.collect(root, [*cc, "-x", "c"], program(root), flags)
    in_c = declared.collect(root, [*cc, "-x", "c"],
                            program(root, "#define COBJMACROS\n"), flags)
    in_cxx = declared.collect(root, [*cxx, "-x", "c++"], program(root), flags)
    found = {}
    for name in sorted({**in_c, **in_cxx}, key=lambda name: (name.lower(), name)):
        if HIDDEN.fullmatch(name):
            continue
        note = ("C++" if name not in in_c else "COBJMACROS" if name not in plain
                else "C" if name not in in_cxx else "")
        found[name] = in_c.get(name) or in_cxx[name], note
    return found


def paragraph(title, names):
    if not names:
        return ""
    words = ", ".join(f"`{name}`" for name in names)
    filled = textwrap.fill(f"{title}: {words}", 120, initial_indent="- ", subsequent_indent="  ",
                           break_long_words=False, break_on_hyphens=False)
    return filled + "\n"


def listing(root, cc, cxx):
    found = collect(root, cc, cxx)
    headers = [name for name in sorted(os.listdir(os.path.join(root, declared.WIN32)))]
    parts = [paragraph("Headers", headers), "\n"]
    for kind, title in TITLES:
        names = {name: note for name, (entry, note) in found.items() if entry.kind == kind}
        parts.append(f"**{title}**\n\n")
        if kind == "function":
            by_file = {}
            for name in names:
                base = os.path.basename(found[name][0].file)
                by_file.setdefault(base, []).append(name)
            parts += [paragraph(f"`{base}`", by_file[base]) for base in sorted(by_file)]
        else:
            parts += [paragraph(where, [name for name in names if names[name] == note])
                      for note, where in (("", "In C and C++"), ("C", "In C alone"),
                                          ("COBJMACROS", "In C, with `COBJMACROS`"),
                                          ("C++", "In C++ alone"))]
        parts.append("\n")
    return "".join(parts)


def split(text):
    before, _, rest = text.partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside, after


def check(root, cc, cxx):
    path = os.path.join(root, DOCUMENT)
    with open(path, encoding="utf-8") as file:
        inside = split(file.read())[1]
    wanted = listing(root, cc, cxx)
    if inside == wanted:
        return []
    old, new = (re.findall(r"`([^`]+)`", text) for text in (inside, wanted))
    problems = [f"{DOCUMENT}: does not list {name}" for name in new if name not in old]
    problems += [f"{DOCUMENT}: lists {name}, which no header has"
                 for name in old if name not in new]
    return problems or [f"{DOCUMENT}: the list is not as porting.py --update writes it"]


def update(root, cc, cxx):
    path = os.path.join(root, DOCUMENT)
    with open(path, encoding="utf-8") as file:
        before, _, after = split(file.read())
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + listing(root, cc, cxx) + END + after)


def self_test(root, cc, cxx):
    """Plant what the check must find, in a copy; and see that it finds nothing else."""
    def plant(path, old, new, expected):
        with tempfile.TemporaryDirectory() as copy:
            for folder in ("include", "docs"):
                shutil.copytree(os.path.join(root, folder), os.path.join(copy, folder))
            target = os.path.join(copy, path)
            with open(target, encoding="utf-8") as file:
                text = file.read()
            if old not in text:
                sys.exit(f"self-test: no {old!r} in {path}")
            with open(target, "w", encoding="utf-8") as file:
                file.write(text.replace(old, new))
            problems = check(copy, cc, cxx)
            if problems != expected:
                sys.exit(f"self-test: {path}, {new!r}: {problems} instead of {expected}")

    win32 = declared.WIN32
    plant(f"{win32}/winnt.h", "#define ANYSIZE_ARRAY 1", "#define ANYSIZE_ARRAY 1\n#define NEW 1",
          [f"{DOCUMENT}: does not list NEW"])
    plant(f"{win32}/minwindef.h", "typedef float FLOAT;", "",
          [f"{DOCUMENT}: lists FLOAT, which no header has"])
    plant("include/molehill/heapapi.h", "GetProcessHeap(void)", "GetTheHeap(void)",
          [f"{DOCUMENT}: does not list GetTheHeap",
           f"{DOCUMENT}: lists GetProcessHeap, which no header has"])
    plant(DOCUMENT, "`HeapAlloc`, ", "", [f"{DOCUMENT}: does not list HeapAlloc"])
    plant(f"{win32}/unknwn.h", "#define IID_PPV_ARGS(pp)", "#define IID_ARGS(pp)",
          [f"{DOCUMENT}: does not list IID_ARGS",
           f"{DOCUMENT}: lists IID_PPV_ARGS, which no header has"])
    return 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--update", action="store_true", help="write the list")
    parser.add_argument("--self-test", action="store_true", help="find planted errors too")
    args = parser.parse_args()
    where = os.path.abspath(args.root), shlex.split(args.cc), shlex.split(args.cxx)
    if args.update:
        update(*where)
    problems = check(*where)
    for line in problems:
        print(line)
    planted = self_test(*where) if args.self_test and not problems else 0
    count = len(collect(*where))
    print(f"porting: {count} names, {planted} planted cases, {len(problems)} problems")
    sys.exit(1 if problems or count < 100 else 0)


if __name__ == "__main__":
    main()
