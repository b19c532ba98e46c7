#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev traces from end to end, with two programs and two allocators."""
import json
import os
import subprocess
import sys

from _preload import BUILD, Scratch, case, end, need, skip

TOOL = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "traces.py")
NAMES = ("python3", "sqlite3")


def main():
    need("sqlite3")
    if not os.path.exists(os.path.join(BUILD, "perf", "replay-heap")):
        skip("perf is not built")
        end()
    with Scratch() as place:
        done = subprocess.run(
            [sys.executable, TOOL, "--quick", "--only", "|".join(NAMES), "--targets",
             "glibc,molehill,heap", "--build", BUILD, "--out", place.path],
            capture_output=True, text=True, timeout=280, check=False)
        case(done.returncode == 0, f"traces.py ends with {done.returncode}: {done.stderr}")
        for name in NAMES:
            path = place.file(f"{name}.trace")
            case(os.path.exists(path) and os.path.getsize(path) > 10000, f"no trace of {name}")
            case(f"\n{name} " in f"\n{done.stdout}", f"{name} is not in the table: {done.stdout}")
        with open(place.file("results.json"), encoding="utf-8") as file:
            rows = json.load(file)["rows"]
        case(sorted((row["trace"], row["target"]) for row in rows) ==
             sorted((name, target) for name in NAMES for target in ("glibc", "molehill", "heap")),
             f"the rows are {rows}")
        case(all(row["ns"] > 0 and row["rss_kib"] > 0 for row in rows), f"{rows}")
    end()


main()
