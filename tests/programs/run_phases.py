#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program whose phases differ in size has enough address space under ulimit -v: what one phase
gave back serves the next one; see phases.c."""
import os
import resource

from _preload import BUILD, Scratch, case, end, figures

LIMIT = 1048576 * 1024
PROGRAM = os.path.join(BUILD, "tests", "phases")


def limit_address_space():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def run(place, source, threads):
    done = place.run([PROGRAM, source, str(threads)], True, preexec_fn=limit_address_space)
    what = f"{source}, {threads} threads"
    case(done.returncode == 0 and done.stdout == b"good\n",
         f"{what}: ended with {done.returncode}: "
         f"{done.stdout.decode(errors='replace')[-500:]}"
         f"{done.stderr.decode(errors='replace')[-500:]}")
    lines = figures(os.path.join(place.path, f"stats.{place.figures}"))
    committed = [int(line["committed_bytes"]) for line in lines]
    case(len(lines) == 1 and 300 << 20 < committed[0] < LIMIT,
         f"{what}: it was not the library's memory, or the limit was not there: {committed}")


def main():
    with Scratch() as place:
        for source in ("malloc", "heap"):
            for threads in (1, 2):
                run(place, source, threads)
    end()


main()
