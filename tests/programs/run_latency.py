#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev latency and ./dev many, with few operations: they run, and what they print adds up. No
time is looked at."""
import os
import re
import subprocess
import sys

from _preload import BUILD, MALLOC, Scratch, case, end, skip

ROOT = os.environ.get("MOLEHILL_SOURCE") or os.path.realpath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
KINDS = ["malloc", "calloc", "realloc", "free", "free-remote", "touch", "nothing", "all"]


def run(*command, **more):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "MOLEHILL_CONF")}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=250,
                          check=False, env=dict(env, **more))


def program(name):
    return os.path.join(BUILD, "perf", name)


def tool(name, place, *words):
    return run(sys.executable, os.path.join(ROOT, "tools", name), "--no-build", "--build", BUILD,
               "--out", place.path, *words)


def figures(text):
    """{kind: (calls, [p50, p99, p99.99, max])}"""
    return {match[1]: (int(match[2]), list(map(float, match[3].split())))
            for match in re.finditer(r"^latency:(\S+) \S+ \d+ (\d+)((?: [\d.]+){4}) ns$", text,
                                     re.M)}


def latency_lines(name, threads, **more):
    done = run(program(name), "latency", "any", threads, 20000, "reps=2", "live=500", **more)
    case(done.returncode == 0 and done.stderr == "", f"{name}: {done.returncode}: {done.stderr}")
    found = figures(done.stdout)
    case(list(found) == KINDS, f"{name} prints {done.stdout}")
    if list(found) != KINDS:
        return
    calls = {kind: found[kind][0] for kind in KINDS}
    case(calls["all"] == sum(calls[kind] for kind in KINDS[:5]), f"{name}: the sum is {calls}")
    case(calls["nothing"] >= 20000 and min(calls[kind] for kind in KINDS[:4]) > 100,
         f"{name}: so few calls: {calls}")
    case(calls["touch"] == calls["malloc"] + calls["calloc"] + calls["realloc"],
         f"{name}: not each new block is touched: {calls}")
    case((calls["free-remote"] > 0) == (threads > 1), f"{name}: remote frees: {calls}")
    case(all(shown == sorted(shown) for _, shown in found.values()),
         f"{name}: figures do not rise: {found}")


def memory_line(threads, **options):
    """(blocks, live, rss) that many-heap prints."""
    done = run(program("many-heap"), "many", "heap", threads, 1000, "reps=1", "min=64", "max=64",
               *(f"{key}={value}" for key, value in options.items()))
    found = re.match(r"many:memory heap \d+ \d+ (\d+) (\d+) (\d+) \d+\nmany heap ", done.stdout)
    case(done.returncode == 0 and found, f"{options}: {done.returncode}: {done.stdout}")
    return tuple(map(int, found.groups())) if found else (0, 0, 0)


def memory():
    blocks, live, rss = memory_line(3, heaps=200, blocks=5)
    case((blocks, live) == (1000, 64000), f"{blocks} blocks, {live} bytes live")
    case(rss > live, f"{rss} bytes hold {live}")
    blocks, live, more = memory_line(3, heaps=200, blocks=500, visitors=2)
    case((blocks, live) == (200000, 12800000), f"{blocks} blocks, {live} bytes live")
    case(more > live and more > rss, f"{more} bytes hold {live}, {rss} those before")
    done = run(program("many-heap"), "many", "heap", 2, 1000, "visitors=3")
    case(done.returncode == 1 and "visitors must be" in done.stderr, f"3 of 2: {done.stderr}")


def tables(place):
    done = tool("latency.py", place, "--quick", "--ops", 20000, "--runs", 1, "--threads", "1,2",
                "--targets", "glibc,molehill,heap,heap-nos")
    case(done.returncode == 0, f"latency.py: {done.returncode}: {done.stderr}")
    rows = re.findall(r"^(?:glibc|molehill|heap|heap-nos) .*", done.stdout, re.M)
    case(len(rows) == 8 * 4, f"latency.py prints {done.stdout}")
    with open(os.path.join(place.path, "latency.txt"), encoding="utf-8") as file:
        case(file.read() == done.stdout, "latency.txt differs from what is printed")
    done = tool("latency.py", place, "--targets", "none")
    case(done.returncode == 1 and "no such target" in done.stderr, f"none: {done.stderr}")
    done = tool("many.py", place, "--quick")
    case(done.returncode == 0 and len(re.findall(r"^(?:1|100)  ", done.stdout, re.M)) == 4,
         f"many.py: {done.returncode}: {done.stdout}{done.stderr}")


def growth():
    for mode, number in (("membarrier", 1), ("lock", 3), ("line", 2), ("map", 1), ("purge", 0),
                         ("purger", 10)):
        done = run(program("scaling"), mode, number)
        case(done.returncode == 0 and done.stdout.startswith(f"{mode} {number} "),
             f"scaling {mode}: {done.returncode}: {done.stdout}{done.stderr}")
    case(run(program("scaling"), "none", 1).returncode == 1, "scaling none")


def lock_counts():
    """More large blocks take the arena's lock more often."""
    if not os.path.exists(program("locks.so")):
        skip("locks.so is not built")
        return
    counts = []
    for pairs in (2000, 6000):
        done = run(program("large-heap"), "large", "heap", 1, pairs, "reps=1", "warmup=0",
                   "min=64k", "max=256k", "touched=0", LD_PRELOAD=program("locks.so"))
        found = re.search(r"^locks all (\d+)$", done.stderr, re.M)
        case(done.returncode == 0 and found, f"locks: {done.returncode}: {done.stderr}")
        counts.append(int(found[1]) if found else 0)
    case(counts[1] > counts[0] > 0, f"locks were taken {counts} times")


def main():
    if not os.path.exists(program("latency-heap")):
        skip("the benchmarks are not built")
        end()
    latency_lines("latency-malloc", 1)
    latency_lines("latency-malloc", 3, LD_PRELOAD=MALLOC)
    latency_lines("latency-heap", 1)
    latency_lines("latency-heap", 2)
    memory()
    growth()
    lock_counts()
    with Scratch() as place:
        tables(place)
    end()


main()
