#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each shared library can be loaded late and never unloaded: at most 64 bytes of thread-local
storage, all of it initial-exec, and the NODELETE flag; and it finds its neighbours by $ORIGIN. A
spy in a shared object can be unloaded: no thread-local storage, no NODELETE, and no library of
ours, for the process has one.

usage: check_tls.py        (MOLEHILL_BUILD names the build directory)
"""
import os
import re
import subprocess
import sys

LIBRARIES = ["libmolehill", "libmolehill-malloc", "libmolehill-win32"]
SPIES = ["record", "top-sites"]
TLS_BYTES_MAX = 64


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], text=True, check=True,
                          capture_output=True).stdout


def check(path):
    problems = []
    segment = re.search(r"^\s*TLS\s+(0x\w+) (0x\w+) (0x\w+) (0x\w+) (0x\w+)",
                        readelf("-l", path), re.M)
    size = int(segment.group(5), 16) if segment else 0
    if size > TLS_BYTES_MAX:
        problems.append(f"{size} bytes of thread-local storage, {TLS_BYTES_MAX} are the most")
    # Dynamic models ask the loader for a module number or a descriptor.
    if re.search(r"DTPMOD|DTPOFF|TLSDESC", readelf("-r", path)):
        problems.append("uses dynamic thread-local storage, not initial-exec")
    dynamic = readelf("-d", path)
    if not re.search(r"FLAGS_1.*\bNODELETE\b", dynamic):
        problems.append("is not linked with -z nodelete")
    if not re.search(r"FLAGS_1.*\bNOW\b", dynamic):
        problems.append("is not linked with -z now")
    if re.search(r"NEEDED.*libmolehill\.so", dynamic) and "$ORIGIN" not in "".join(
            re.findall(r"RUNPATH.*", dynamic)):
        problems.append("has no RUNPATH $ORIGIN")
    return size, problems


def check_spy(path):
    problems = []
    dynamic = readelf("-d", path)
    if re.search(r"^\s*TLS\s", readelf("-l", path), re.M):
        problems.append("has thread-local storage")
    if re.search(r"FLAGS_1.*\bNODELETE\b", dynamic):
        problems.append("is linked with -z nodelete")
    problems += [f"needs {name}" for name in re.findall(r"NEEDED.*\[(libmolehill.*)\]", dynamic)]
    return problems


def main():
    folder = os.path.join(os.environ["MOLEHILL_BUILD"], "src")
    passed = failed = 0
    for library in LIBRARIES:
        path = os.path.join(folder, library + ".so.0")
        size, problems = check(path) if os.path.exists(path) else (0, ["not built"])
        print(f"{library}: {size} bytes of thread-local storage")
        for line in problems:
            print(f"{library}: {line}")
        passed += not problems
        failed += bool(problems)
    for spy in SPIES:
        path = os.path.join(folder, spy + ".so")
        problems = check_spy(path) if os.path.exists(path) else ["not built"]
        for line in problems:
            print(f"{spy}: {line}")
        passed += not problems
        failed += bool(problems)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
