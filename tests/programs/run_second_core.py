#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cores of molehill linked statically into libraries, several in one process, or beside the shared
one: they refuse each other's heaps and blocks, and one line on stderr says that they are
several."""
import os
import shutil

from _preload import BUILD, CORE, MALLOC, Scratch, case, end

PROGRAM = os.path.join(BUILD, "tests", "second_core")
LIBRARY = os.path.join(BUILD, "tests", "libcore_copy.so")
WARNING = b"molehill: there are two cores in this process, "


def run(place, libraries, warnings, what, more=None):
    done = place.run([PROGRAM, *libraries], False, more)
    case(done.returncode == 0 and done.stdout == b"good\n",
         f"{what}: {done.returncode}: {done.stdout.decode(errors='replace')[-500:]}")
    lines = done.stderr.splitlines()
    case(len(lines) == warnings and all(line.startswith(WARNING) for line in lines),
         f"{what}: {warnings} lines on stderr were due: {done.stderr.decode()}")


def main():
    with Scratch() as place:
        one, two, three = [shutil.copy(LIBRARY, place.file(f"core_{number}.so"))
                           for number in range(3)]
        run(place, [], 0, "no core")
        run(place, [one], 0, "one static core")
        run(place, [one, one], 0, "the same one twice")
        run(place, [], 0, "the shared core", {"LD_PRELOAD": CORE})
        run(place, [], 0, "malloc", {"LD_PRELOAD": MALLOC})
        run(place, [one, two], 1, "two static cores")
        run(place, [one, two, three], 1, "three static cores")
        run(place, [one], 1, "the shared core and a static one", {"LD_PRELOAD": CORE})
        run(place, [one], 1, "malloc and a static core", {"LD_PRELOAD": MALLOC})
        run(place, [one, two], 1, "malloc and two static cores", {"LD_PRELOAD": MALLOC})
        run(place, [one], 1, "two static cores, one of them preloaded", {"LD_PRELOAD": two})
    end()


main()
