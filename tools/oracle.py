#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare molehill with Wine: the same Win32 programs on both, what they print line by line.

usage: oracle.py [--seeds N | --seed N] [--operations N] [--time] [NAME...]
       oracle.py --native PROGRAM NAME
       oracle.py --self-test

Compiles the programs of tests/oracle with mingw and runs them under Wine; those of the build in
MOLEHILL_BUILD (else build/gcc) run as they are, under compat:windows. NAME: of a program;
all without. What may differ is in tests/oracle/differences.toml. --time measures first, and
fails when molehill is too slow while the machine does nothing else.
--native compares one program of another build with what it last said under Wine, for the
mutants.
"""
import argparse
import collections
import concurrent.futures
import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys
import time

import oracle_report

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
SOURCES = os.path.join(ROOT, "tests", "oracle")
PLACE = os.path.join(ROOT, "build", "oracle")
BUILD = os.environ.get("MOLEHILL_BUILD") or os.path.join(ROOT, "build", "gcc")
COMPILER = "x86_64-w64-mingw32-gcc"
FLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-D__USE_MINGW_ANSI_STDIO=1"]
LIBRARIES = ["-lole32", "-luuid"]
SECONDS = 240           # for one program; it needs ten

DIRECTED = ["fixed_memory", "heap_blocks", "heap_exceptions", "heap_fixed",
            "heap_information", "heap_objects", "heap_walk", "task_malloc", "malloc_spy"]
GENERATED = "generated"
TIMING = "timing"
# A run of the generated program that asks less of these says nothing.
OFTEN = {
    ("HeapAlloc", "ordinary"): 20000, ("HeapAlloc", "too-large"): 100,
    ("HeapAlloc", "over-maximum"): 200, ("HeapReAlloc", "ordinary"): 10000,
    ("HeapReAlloc", "too-large"): 50, ("HeapReAlloc", "null-block"): 1000,
    ("HeapReAlloc", "shrink-in-place"): 500, ("HeapReAlloc", "grow-in-place"): 500,
    ("HeapFree", "ordinary"): 10000, ("HeapFree", "foreign"): 500,
    ("HeapFree", "other-heaps"): 500, ("HeapSize", "ordinary"): 10000,
    ("HeapValidate", "freed"): 1000, ("HeapValidate", "interior"): 5000,
    ("HeapValidate", "whole"): 300, ("HeapWalk", "whole"): 50,
    ("HeapCreate", "ordinary"): 20, ("HeapCreate", "fixed"): 10, ("HeapLock", "ordinary"): 200,
    ("HeapQueryInformation", "length"): 300, ("HeapSetInformation", "accepted"): 50,
    ("HeapDestroy", "ordinary"): 20, ("SetLastError", "ordinary"): 500,
    ("IMalloc::Alloc", "ordinary"): 2000, ("IMalloc::Realloc", "ordinary"): 500,
    ("IMalloc::Realloc", "to-0"): 5, ("IMallocSpy::PreAlloc", "ordinary"): 500,
    ("IMallocSpy::PostRealloc", "spied"): 50, ("CoRevokeMallocSpy", "ordinary"): 20,
}


class Refused(Exception):
    """Why the comparison cannot be made here."""


def wine_environment():
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "MOLEHILL_CONF", "DISPLAY", "WAYLAND_DISPLAY")}
    return {**env, "WINEPREFIX": os.path.join(PLACE, "prefix"), "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml,winedbg.exe,winemenubuilder.exe=",
            "HOME": os.environ.get("HOME") or PLACE}


def run(args, env):
    """(exit status or None when it took too long, stdout, stderr)"""
    try:
        done = subprocess.run(args, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=SECONDS, check=False, cwd=PLACE)
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace"), ""
    return (done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"))


def compile_one(name):
    source, program = (os.path.join(SOURCES, name + ".c"), os.path.join(PLACE, name + ".exe"))
    parts = [source, *glob.glob(os.path.join(SOURCES, "*.h"))]
    if (os.path.exists(program)
            and os.path.getmtime(program) > max(os.path.getmtime(part) for part in parts)):
        return
    status, _, text = run([COMPILER, *FLAGS, source, "-o", program, *LIBRARIES], None)
    if status != 0:
        sys.exit(f"oracle.py: {name}.c does not compile with {COMPILER}:\n{text}")


def on_wine(name, *arguments):
    return run(["wine", os.path.join(PLACE, name + ".exe"), *arguments], wine_environment())


def on_wine_before(name, *arguments):
    """What it said last time, if it is the same program."""
    program = os.path.join(PLACE, name + ".exe")
    kept = os.path.join(PLACE, "-".join([name, *arguments]) + ".txt")
    if not os.path.exists(kept) or os.path.getmtime(kept) < os.path.getmtime(program):
        status, output, error = on_wine(name, *arguments)
        if status != 0:
            return status, output, error
        with open(kept, "w", encoding="utf-8", newline="") as file:
            file.write(output)
    with open(kept, encoding="utf-8", newline="") as file:
        return 0, file.read(), ""


def on_molehill(name, *arguments):
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    env["MOLEHILL_CONF"] = "compat:windows"
    program = os.path.join(BUILD, "tests", "oracle_" + name) if os.sep not in name else name
    return run([program, *arguments], env)


def prepare(names):
    """Compile, and have Wine make its prefix."""
    for program in (COMPILER, "wine"):
        if not shutil.which(program):
            raise Refused(f"{program} is not installed")
    os.makedirs(PLACE, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, names))
    status, output, error = run(["wine", "cmd", "/c", "ver"], wine_environment())
    if status != 0 or "Windows" not in output:
        raise Refused(f"wine does not start here: exit status {status}, "
                      f"{(error.strip() or output.strip())[-200:]!r}")


def compare(name, arguments, table, counts, native=None):
    """One program on both, at the same time."""
    title = " ".join([name, *arguments])
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sides = {"Wine": pool.submit(on_wine_before if native else on_wine, name, *arguments),
                 "molehill": pool.submit(on_molehill, native or name, *arguments)}
        results = {who: future.result() for who, future in sides.items()}
    lines, differences, problems = oracle_report.compare(
        title, results["Wine"][1], results["molehill"][1], table, counts)
    for who, (status, _, error) in results.items():
        if status != 0:
            end = f"no end after {SECONDS} s" if status is None else f"exit status {status}"
            problems.append(f"{title}: {end} on {who}: {error.strip()[-400:]}")
    print(f"{title:32} {lines:8} lines  {differences:6} listed differences  "
          f"{'FAILED' if problems else 'same':6} {time.monotonic() - begin:5.1f} s", flush=True)
    return problems


def check_often(counts, seeds):
    """Of the generated program alone."""
    return [f"generated: {call} [{input_}] was asked {counts[call, input_]} times in "
            f"{seeds} runs, too seldom" for (call, input_), least in OFTEN.items()
            if counts[call, input_] < least * seeds]


def print_calls(counts):
    calls = collections.Counter()
    for (call, _), count in counts.items():
        calls[call] += count
    classes = collections.Counter(call for call, _ in counts)
    for call, count in sorted(calls.items()):
        print(f"  {call:30} {count:9} lines in {classes[call]:2} classes")


def print_table(table):
    for row, count in sorted((row, table.met[row]) for row in table.rows):
        print(f"  differs: {row[0]:24} {row[1]:24} {count:7} times  {table.rows[row].evidence}")


def measure():
    """The timing program on both, each says the least of several rounds: what is too slow.
    Nothing of this run may be at work then, for the machine would not be idle."""
    rows, load = {}, os.getloadavg()[0]
    for who, side in (("Wine", on_wine), ("molehill", on_molehill)):
        status, output, error = side(TIMING)
        if status != 0:
            sys.exit(f"oracle.py: timing on {who}: exit status {status}: {error}")
        rows[who] = re.findall(r"^(.+?)\t([\d.]+)\t(\S+)\s*$", output, re.M)
    print(f"{'':40} {'Wine':>10} {'molehill':>10}   times faster")
    times = {}
    for (what, wine, unit), (_, ours, _) in zip(rows["Wine"], rows["molehill"]):
        times[what] = wine, ours = float(wine), float(ours)
        print(f"{what:40} {wine:10.1f} {ours:10.1f} {unit:2} {wine / max(ours, 1e-9):8.1f}")
    problems, remarks = oracle_report.judge_times(times, max(load, os.getloadavg()[0]),
                                                  os.cpu_count())
    for remark in remarks:
        print(f"REMARK: {remark}")
    return problems


def run_all(options):
    with open(os.path.join(SOURCES, "differences.toml"), encoding="utf-8") as file:
        table = oracle_report.Table(file.read())
    names = options.names or [*DIRECTED, GENERATED]
    prepare(names + [TIMING] * options.time)
    problems = table.problems + (measure() if options.time else [])
    counts, often = collections.Counter(), collections.Counter()
    seeds = [options.seed] if options.seed is not None else range(1, options.seeds + 1)
    cases = int(options.time)
    for name in names:
        for seed in seeds if name == GENERATED else [None]:
            arguments = [] if seed is None else [str(seed), str(options.operations)]
            problems += compare(name, arguments, table, often if arguments else counts,
                                options.native)
            cases += 1
    if GENERATED in names and options.operations >= 200000:
        problems += check_often(often, len(seeds))
    if not options.names:
        print_calls(counts + often)
        print_table(table)
        problems += table.stale()
    for problem in problems:
        print(f"FAILED: {problem}")
    return cases, len(problems)


def end(passed, failed, skipped):
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="runs of the generated program")
    parser.add_argument("--seed", type=int, help="one run, with this seed")
    parser.add_argument("--operations", type=int, default=200000)
    parser.add_argument("--time", action="store_true", help="measure allocation and HeapWalk")
    parser.add_argument("--native", metavar="PROGRAM", help="in place of NAME's of the build")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if options.native:
        options.seeds = 1
        options.native = os.path.abspath(options.native)
    if options.self_test:
        end(oracle_report.self_test(), 0, 0)
    os.makedirs(PLACE, exist_ok=True)
    with open(os.path.join(PLACE, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX) # one prefix
        try:
            cases, failed = run_all(options)
        except Refused as why:
            print(f"SKIPPED: the comparison with Wine: {why}")
            end(0, 0, 1)
        finally:
            if shutil.which("wineserver"):
                run(["wineserver", "-k"], wine_environment())
    end(max(cases - failed, 0), failed, 0)


main()
