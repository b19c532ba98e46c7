#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""C++: every form of new and delete, new_handler and bad_alloc."""
import os

from _preload import BUILD, Scratch, case, compare, end


def main():
    program = os.path.join(BUILD, "tests", "new_delete")
    with Scratch() as place:
        done = compare(place, [program], 10000, name="new and delete")
        case(b": no\n" not in done.stdout, "not all is well: " + done.stdout.decode())
        case(done.stdout.count(b": yes\n") >= 10, "too little was tried")
    end()


main()
