#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Little address space (ulimit -v): programs work as they do without the library, and what cannot
be had is refused clearly."""
from _limits import FILL, exhaust, limit_address_space, python
from _preload import Scratch, case, compare, end, need

def small_address_space(place):
    args = [python(), "-I", "-c", FILL, "4000", str(3 << 30)]
    done = compare(place, args, 10000, {"PYTHONMALLOC": "malloc"}, "python3 under ulimit -v",
                   preexec_fn=limit_address_space)
    case(b"too much is refused" in done.stdout, "3 GiB were had under ulimit -v")
    exhaust(place, "ulimit -v")
    sqlite = need("sqlite3")
    sql = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30000) "
           "SELECT count(*), sum(length(hex(zeroblob(i % 500)))) FROM n;")
    compare(place, [sqlite, "-batch", ":memory:", sql], 1000, name="sqlite3 under ulimit -v",
            preexec_fn=limit_address_space)


def main():
    with Scratch() as place:
        small_address_space(place)
    end()


main()
