#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Spies in programs of several kinds: where the system itself allocates in the middle of
malloc, where threads end, where liburcu is the program's own too, and in a static program."""
import os
import re
import shutil

from _preload import BUILD, Scratch, case, end, skip

SPIED = os.path.join(BUILD, "tests", "spied")


def good(place, args, preloads, name):
    done = place.run(args, preloads, timeout=280)
    text = (done.stdout + done.stderr).decode(errors="replace")
    case(done.returncode == 0 and done.stdout.endswith(b"good\n"),
         f"{name}: {done.returncode}: {text[-600:]}")
    print(f"{name}: {', '.join(done.stdout.decode(errors='replace').split(chr(10))[-3:-1])}")
    return done


def many_tls_libraries(place):
    original = os.path.join(BUILD, "tests", "libdynamic_tls.so")
    copies = [shutil.copy(original, place.file(f"tls_{number}.so")) for number in range(80)]
    for what, name in ("tls", "attached after 80 libraries with TLS"), (
            "early", "attached before 80 libraries with TLS"):
        done = good(place, [SPIED, what, *copies], True, name)
        case(b"80 libraries\n" in done.stdout, "not all libraries were opened")


def growth(done):
    found = re.search(rb"(\d+) KiB more", done.stdout)
    return int(found.group(1)) if found else None


def last_destructors(place):
    """Threads that first allocate in their last destructor leave no more behind than unspied."""
    spied = growth(good(place, [SPIED, "last"], True, "in the last destructors"))
    free = growth(good(place, [SPIED, "last", "free"], True, "the same without a spy"))
    case(spied is not None and free is not None and spied <= free + 4096,
         f"10000 threads leave {spied} KiB with a spy and {free} without")


def main():
    with Scratch() as place:
        good(place, [SPIED, "plain"], True, "threads")
        good(place, [SPIED, "nested"], True, "callbacks that attach")
        many_tls_libraries(place)
        good(place, [SPIED, "exits"], True, "in destructors")
        last_destructors(place)
        for program in "spied_urcu", "spied_static":
            path = os.path.join(BUILD, "tests", program)
            if os.path.exists(path):
                good(place, [path], program == "spied_urcu", program)
            else:
                skip(f"{program} is not built: its libraries are not installed")
    end()


main()
