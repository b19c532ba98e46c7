#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare what each shared library exports with tests/api/exports/<library>.txt.

usage: check_exports.py [--update]     (MOLEHILL_BUILD names the build directory)

The lists hold public names only. What the libraries share among themselves must be called
mole_* and stand in the version node MOLEHILL_PRIVATE_<build>, and nothing else may be
there. The malloc family must have no version at all: programs ask for malloc@GLIBC_2.2.5,
and the loader gives them an unversioned malloc but not one of another version. A spy in a shared
object has none either.
"""
import os
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
LIBRARIES = ["libmolehill", "libmolehill-malloc", "libmolehill-win32"]
SPIES = ["record", "top-sites"]
UNVERSIONED = ["libmolehill-malloc", *SPIES]
PRIVATE = "MOLEHILL_PRIVATE_"


def exports(path):
    """{name: version node} of the symbols a library defines."""
    output = subprocess.run(["nm", "-D", "--defined-only", path], text=True, check=True,
                            capture_output=True).stdout
    symbols = {}
    for line in output.splitlines():
        kind, name = line.split()[-2:]
        if kind != "A":     # the version nodes themselves
            name, _, version = name.partition("@")
            symbols[name] = version.lstrip("@")
    return symbols


def check(library, path, update):
    problems = []
    symbols = exports(path)
    public = sorted(name for name, version in symbols.items() if not version.startswith(PRIVATE))
    for name, version in sorted(symbols.items()):
        if version.startswith(PRIVATE) != name.startswith("mole_"):
            problems.append(f"{library}: {name} is in version node {version or 'none'}")
        if bool(version) == (library in UNVERSIONED):
            problems.append(f"{library}: {name} has {'the' if version else 'no'} version {version}")
    listing = os.path.join(ROOT, "tests/api/exports", library + ".txt")
    if update:
        with open(listing, "w", encoding="utf-8") as file:
            file.writelines(name + "\n" for name in public)
    try:
        with open(listing, encoding="utf-8") as file:
            wanted = set(file.read().split())
    except FileNotFoundError:
        return [f"{library}: no list {os.path.relpath(listing, ROOT)}"]
    problems += [f"{library}: exports {name}, which is in no list"
                 for name in sorted(set(public) - wanted)]
    problems += [f"{library}: does not export {name}" for name in sorted(wanted - set(public))]
    return problems


def main():
    update = sys.argv[1:] == ["--update"]
    folder = os.path.join(os.environ["MOLEHILL_BUILD"], "src")
    passed = failed = 0
    for library in LIBRARIES + SPIES:
        path = os.path.join(folder, library + (".so" if library in SPIES else ".so.0"))
        if not os.path.exists(path):
            problems = [f"{library}: not built"]
        else:
            problems = check(library, path, update)
        for line in problems:
            print(line)
        passed += not problems
        failed += bool(problems)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
