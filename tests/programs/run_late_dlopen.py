#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The libraries are opened after 20 others that take 32 bytes of static TLS each, with and
without liburcu, in a program that knows nothing of them."""
import ctypes.util
import glob
import os
import subprocess

from _preload import BUILD, CORE, MALLOC, case, end, skip


def try_libraries(name, libraries):
    program = os.path.join(BUILD, "tests", "late_dlopen")
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run([program, *libraries, CORE, MALLOC], env=env, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    case(done.returncode == 0 and done.stdout.endswith(b"good\n"),
         f"{name}: {done.returncode}: {done.stdout.decode(errors='replace')[-400:]}")


def main():
    libraries = sorted(glob.glob(os.path.join(BUILD, "tests", "libtls_*.so")))
    case(len(libraries) == 20, f"{len(libraries)} libraries with TLS, not 20")
    try_libraries("alone", [])
    try_libraries("after 20 libraries", libraries)
    urcu = ctypes.util.find_library("urcu-bp")
    if urcu:
        try_libraries("after liburcu and 20 libraries", [urcu, *libraries])
        try_libraries("after 20 libraries and liburcu", [*libraries, urcu])
    else:
        skip("liburcu-bp is not installed")
    end()


main()
