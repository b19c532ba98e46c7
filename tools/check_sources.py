#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every source and test file is in a list of a meson.build; one that is not would never run.

usage: check_sources.py        (MOLEHILL_BUILD names the build directory)
"""
import glob
import json
import os
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
COMPILED = ["src/*/*.c", "tests/*/*.c", "tests/*/*.cpp", "examples/**/*.c"]


def main():
    build = os.environ["MOLEHILL_BUILD"]
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        known = {os.path.realpath(os.path.join(entry["directory"], entry["file"]))
                 for entry in json.load(file)}
    with open(os.path.join(build, "meson-info/intro-tests.json"), encoding="utf-8") as file:
        known |= {os.path.realpath(arg) for test in json.load(file) for arg in test["cmd"]}
    with open(os.path.join(build, "meson-info/intro-installed.json"), encoding="utf-8") as file:
        known |= {os.path.realpath(path) for path in json.load(file)}

    def expected(patterns):
        return [path for pattern in patterns
                for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True))]

    files = expected(COMPILED + ["tests/programs/*.py", "tests/dotnet/*.py", "include/**/*.h"])
    missing = [path for path in files if os.path.realpath(path) not in known
               and not os.path.basename(path).startswith("_")]
    for path in missing:
        print(f"{os.path.relpath(path, ROOT)}:1: in no list of a meson.build")
    print(f"{len(files) - len(missing)} passed, {len(missing)} failed, 0 skipped")
    sys.exit(1 if missing or not files else 0)


main()
