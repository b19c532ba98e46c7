#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The demo with few requests: its table and its figures; and that nothing of it stays
behind, also when it is interrupted."""
import contextlib
import ctypes.util
import json
import os
import re
import signal
import subprocess
import sys

from _preload import BUILD, Scratch, case, end, need, skip

DEMO = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "demo.py")
ROWS = ["requests/s, all phases", "p99 ms, values of 16, 64 B", "server CPU us/request",
        "peak RSS, MiB", "RSS after the load, MiB"]
FIGURE = r"[\d ]*\d(?:\.\d+)?"
CELL = rf"{FIGURE} \({FIGURE}-{FIGURE}\)"
SECONDS = 200


def left_over(place):
    """Processes that run in the demo's directory, or in one below it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            folder = os.readlink(f"/proc/{pid}/cwd")
            if folder.startswith(os.path.realpath(place.path)):
                found.append(int(pid))
    return found


def command(place, *more):
    return [sys.executable, DEMO, "--build", BUILD,
            "--output", place.file("results.json"), *more]


def start(place, *more):
    env, _ = place.environment(False, {"TMPDIR": place.path})
    process = subprocess.Popen(command(place, *more), env=env, cwd=place.path, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    place.processes.append(process)
    return process


def check_nothing_left(place, after):
    case(not left_over(place), f"{after}: processes are left: {left_over(place)}")
    names = [name for name in os.listdir(place.path) if name.startswith("molehill-demo-")]
    case(not names, f"{after}: directories are left: {names}")


def check_figures(place):
    with open(place.file("results.json"), encoding="utf-8") as file:
        results = json.load(file)
    for server, counter in (("redis", "malloc_frees"), ("kv", "frees")):
        for key in ("requests", "peak_rss", "after_rss"):
            runs = [run[key] for name in ("jemalloc", "molehill")
                    for run in results[server]["runs"][name]]
            case(len(runs) == 2 and min(runs) > 0, f"{server}: {key} is {runs}")
            ratio = results[server][f"{key}_ratio"]
            case(abs(ratio - runs[1] / runs[0]) < 0.001,
                 f"{server}: {key} ratio is {ratio}")
        case(results["spy"][0]["samples"] > 0, f"the spy: {results['spy']}")
        frees = results[server]["runs"]["molehill"][0][counter]
        case(frees >= 5000, f"{server}: {frees} frees by molehill")


def check_second_act(said):
    """The rates of three windows, and call sites by their names."""
    rates = re.findall(rf"^ +requests/s +{CELL} +{CELL} +{CELL} +{CELL}$", said, re.M)
    case(len(rates) == 1, f"{len(rates)} rows of requests/s beside the spy:\n{said}")
    for what in ("attach", "detach"):
        case(re.search(rf"^ +{what}: {FIGURE} ms", said, re.M), f"no time of {what}:\n{said}")
    report = said.partition("  top-sites: ")[2]
    case(re.match(r"\d+\.\d s, 1 of 524288 bytes sampled, [1-9]\d* blocks seen; about", report),
         f"the report begins with {report[:200]!r}")
    case(re.search(r"^ +1 +\d+\.\d [KMG]iB allocated .* live ", report, re.M),
         f"no call site in {report!r}")
    names = re.findall(r"^ +([a-z]\w+)\+0x[0-9a-f]+ \(redis-server\)$", report, re.M)
    case("main" in names or len(set(names)) >= 3, f"only these functions have names: {names}")


def whole(place):
    process = start(place, "--quick", "--scale", "0.02", "--rounds", "1")
    try:
        said, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        case(False, f"the demo does not end in {SECONDS} s")
        end()
    case(process.returncode == 0,
         f"the demo ends with {process.returncode}: {errors[-500:]}")
    for row in ROWS:
        found = re.findall(rf"^ +{re.escape(row)} +{CELL} +{CELL} +{CELL}$", said, re.M)
        case(len(found) == 2, f"{len(found)} tables have a row '{row}':\n{said}")
    case(said.count("Proof of use") == 2, f"no proof of use of both:\n{said}")
    steps = re.findall(r"^demo: (\d+)/21 (redis|kv) on (jemalloc|molehill)", errors, re.M)
    case(len(steps) == 21, f"{len(steps)} steps of progress:\n{errors}")
    check_second_act(said)
    if process.returncode == 0:
        check_figures(place)
    check_nothing_left(place, "after the demo")


def interrupted(place, server, steps):
    """In the middle of a run, its server and the benchmark at work."""
    process = start(place, "--only", server, "--rounds", "100")
    first = process.stderr.readline()
    case(first.startswith(f"demo: 1/{steps} {server} on"), f"it begins with {first!r}")
    case(len(left_over(place)) >= 2, "the demo and its server are not seen")
    process.send_signal(signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        case(False, "the demo does not end when interrupted")
        end()
    case(process.returncode == 1 and errors.endswith("demo: interrupted by SIGTERM\n"),
         f"interrupted, it ends with {process.returncode}: {errors[-300:]}")
    check_nothing_left(place, f"after interrupting {server}")


def refused(place, what, *more):
    process = start(place, *more)
    _, errors = process.communicate(timeout=60)
    case(process.returncode == 1 and errors.count("\n") == 1 and what in errors,
         f"{more}: status {process.returncode}, {errors[-300:]}")


def main():
    need("redis-server", "redis-benchmark")
    if not ctypes.util.find_library("jemalloc"):
        skip("libjemalloc is not installed")
        end()
    if not os.path.exists(os.path.join(BUILD, "examples", "kv", "kv-molehill")):
        skip("examples/kv is not built here (-Dexamples=false)")
        end()
    with Scratch() as place:
        whole(place)
        interrupted(place, "redis", 1100)
        interrupted(place, "kv", 1000)
        refused(place, "there is no libmolehill", "--build", place.path)
    end()


main()
