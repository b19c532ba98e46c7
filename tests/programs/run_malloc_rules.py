#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The malloc family at its edges answers as glibc's does, line by line: NULL or a block, its
alignment, errno. Known differences would be listed here; there are none."""
import os

from _preload import BUILD, Scratch, case, compare, end, figures

PROGRAM = os.path.join(BUILD, "tests", "malloc_rules")
NAMES = os.path.join(BUILD, "tests", "malloc_names")
GLIBC = "glibc 2.36"


def rules(place):
    without = place.run([PROGRAM], False)
    ours = place.run([PROGRAM], True)
    case(without.returncode == 0 and ours.returncode == 0,
         f"it ends with {without.returncode} without the library, {ours.returncode} with it: "
         f"{ours.stderr.decode(errors='replace')[-500:]}")
    case(without.stderr == b"" and ours.stderr == b"", "it complains")
    expected = without.stdout.decode().splitlines()
    answers = ours.stdout.decode().splitlines()
    case(len(expected) == len(answers) and len(expected) > 250,
         f"{len(answers)} answers, {len(expected)} without the library")
    case(len(set(line.split(":")[0] for line in expected)) > 250, "calls are tried twice")
    for line, answer in zip(expected, answers):
        case(line == answer, f"{answer}; {GLIBC}: {line}")
    case(ours.frees >= 50, f"only {ours.frees} frees through the library")


def names(place):
    compare(place, [NAMES], 75, name="blocks given and freed by different entries")
    done = place.run([NAMES, "ours"], True)
    case(done.returncode == 0 and done.stdout == b"good, 0 bytes are left\n",
         f"cfree, free_sized and the like: {done.returncode}: {done.stdout.decode()}"
         f"{done.stderr.decode(errors='replace')[-500:]}")
    lines = figures(place.file(f"stats.{place.figures}"))
    case(len(lines) == 1 and int(lines[0]["foreign_frees"]) == 0,
         f"blocks of others were freed: {lines}")


def main():
    with Scratch() as place:
        rules(place)
        names(place)
    end()


main()
