#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compile every header alone: those of src/ in C, the public ones in C and in C++.

usage: check_headers.py --cc 'CC ARGS' --cxx 'CXX ARGS' [--root DIR]

Prints one line a failure and a closing line `N passed, M failed, K skipped`.
"""
import argparse
import os
import shlex
import subprocess
import sys

WARN = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
# Public headers are for strict clients; internal ones are gnu17 like the library.
PUBLIC_C = ["-std=c11"]
PUBLIC_CXX = ["-std=c++11"]
INTERNAL_C = ["-std=gnu17", "-D_GNU_SOURCE", "-Wno-unused-function"]


def headers(root, top, ends=".h"):
    found = []
    for folder, _, names in os.walk(os.path.join(root, top)):
        found += [os.path.relpath(os.path.join(folder, name), os.path.join(root, top))
                  for name in names if name.endswith(ends)]
    return sorted(found)


def compiles(command, source):
    result = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    return result.returncode == 0, result.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    args = parser.parse_args()
    root = os.path.abspath(args.root)
    include, src = os.path.join(root, "include"), os.path.join(root, "src")
    c_compiler, cxx_compiler = shlex.split(args.cc), shlex.split(args.cxx)

    jobs = []
    for name in headers(root, "include"):
        bare = ["-I", os.path.join(include, "molehill/win32")] if "/win32/" in name else []
        jobs.append((name + " in C", c_compiler + ["-x", "c"] + PUBLIC_C
                     + ["-I", include] + bare, f"#include <{name}>\n"))
        jobs.append((name + " in C++", cxx_compiler + ["-x", "c++"] + PUBLIC_CXX
                     + ["-I", include] + bare, f"#include <{name}>\n"))
    for name in headers(root, "include", ".hpp"):
        jobs.append((name, cxx_compiler + ["-x", "c++"] + PUBLIC_CXX + ["-I", include],
                     f"#include <{name}>\n"))
    for name in headers(root, "src"):
        jobs.append((name, c_compiler + ["-x", "c"] + INTERNAL_C + ["-I", src, "-I", include],
                     f'#include "{name}"\n'))
    if not jobs:
        sys.exit("check_headers.py: no headers found")

    # The check must be able to fail.
    passed, failed = 0, 0
    good, _ = compiles(c_compiler + ["-x", "c"] + WARN + ["-"], "size_t no_such_type;\n")
    if good:
        sys.exit("check_headers.py: the compiler accepts what it must refuse")
    for what, command, source in jobs:
        # A declaration after the include: a translation unit must not be empty.
        good, output = compiles(command + WARN + ["-"], source + "extern int mole_unit;\n")
        if good:
            passed += 1
        else:
            failed += 1
            print(f"FAIL {what}\n{output}")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
