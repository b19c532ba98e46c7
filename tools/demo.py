#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real servers under load, on molehill and on jemalloc in turn: the table of `./dev demo`.

redis-server (unmodified, the allocator preloaded) and the example server kv (the same source
linked to molehill, or on malloc with jemalloc preloaded) are driven by redis-benchmark. A run of
molehill counts only when its library, at exit, reports the blocks it freed. In a second act a spy
is attached to redis under load, and detached.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import demo_spy
from demo_load import (
    CLIENTS,
    PIPELINE,
    STOPS,
    Children,
    Client,
    DemoError,
    Interrupted,
    Kv,
    Machine,
    Phase,
    Redis,
    check_loaded,
    core_seconds,
    cpu_seconds,
    find_jemalloc,
    find_program,
    last_line,
    memory_kib,
    run_benchmark,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALLOCATORS = ("jemalloc", "molehill")  # the baseline first
LEAST_FREES = 5000  # fewer mean that the server did not work on molehill
SETTLE_SECONDS = 1.0  # between the end of the load and the last look at the RSS
QUIET_SHARE = 0.10  # of the server's core that others may use
MIB = 1024.0  # in KiB, the unit of /proc


# Later phases overwrite the values of earlier ones by larger ones.
PHASES = (
    Phase("small", 16, 50_000, 150_000),
    Phase("small", 64, 50_000, 150_000),
    Phase("mixed", 100, 10_000, 60_000),
    Phase("mixed", 1000, 10_000, 60_000),
    Phase("mixed", 8000, 10_000, 40_000),
)
GROUPS = {"small": "values of 16, 64 B", "mixed": "values of 100, 1000, 8000 B"}


@dataclasses.dataclass(frozen=True)
class Measure:
    key: str
    label: str
    digits: int  # after the point


MEASURES = (
    Measure("requests", "requests/s, all phases", 0),
    Measure("requests_small", f"requests/s, {GROUPS['small']}", 0),
    Measure("requests_mixed", f"requests/s, {GROUPS['mixed']}", 0),
    Measure("p99_small", f"p99 ms, {GROUPS['small']}", 2),
    Measure("p99_mixed", f"p99 ms, {GROUPS['mixed']}", 2),
    Measure("cpu", "server CPU us/request", 2),
    Measure("peak_rss", "peak RSS, MiB", 1),
    Measure("after_rss", "RSS after the load, MiB", 1),
)


def read_counter(path, key):
    """The counter in the line that the library wrote at exit."""
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except FileNotFoundError:
        raise DemoError("molehill wrote no counters at exit: was it not used?") from None
    pairs = dict(word.split("=", 1) for line in lines for word in line.split() if "=" in word)
    if key not in pairs:
        raise DemoError(f"molehill's counters lack {key}: {' '.join(lines)}")
    count = int(pairs[key])
    if count < LEAST_FREES:
        raise DemoError(f"the server freed only {count} blocks by molehill: it was not used")
    return count


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summarize(phases, results, cpu):
    """One run's figures from those of its phases."""
    run = {"cpu": cpu * 1e6 / sum(2 * phase.requests for phase in phases)}
    for group in GROUPS:
        pairs = [
            pair
            for phase, result in zip(phases, results)
            if phase.group == group
            for pair in result
        ]
        run[f"requests_{group}"] = geometric_mean([rate for rate, _ in pairs])
        run[f"p99_{group}"] = statistics.mean(p99 for _, p99 in pairs)
    run["requests"] = geometric_mean([rate for result in results for rate, _ in result])
    return run


def run_once(children, server, allocator, phases, progress):
    """Start the server, load it, let it settle, stop it: one run's figures."""
    machine = server.machine
    stats = machine.directory / "stats"
    stats.unlink(missing_ok=True)
    child, port = server.start(children, allocator)
    try:
        check_loaded(child.pid, allocator)
        cpu = cpu_seconds(child.pid)
        core, began = core_seconds(machine.server_cpus), time.monotonic()
        results = []
        for phase in phases:
            progress.step(f"{server.title} on {allocator}, {phase.value_bytes} B values")
            results.append(run_benchmark(children, machine, child, port, phase))
        cpu = cpu_seconds(child.pid) - cpu
        core = core_seconds(machine.server_cpus) - core
        run = summarize(phases, results, cpu)
        run["disturbance"] = max(0.0, core - cpu) / (time.monotonic() - began)
        run["peak_rss"] = memory_kib(child.pid, "VmHWM") / MIB
        client = Client(port)
        client.call("FLUSHALL")
        client.close()
        time.sleep(SETTLE_SECONDS)
        run["after_rss"] = memory_kib(child.pid, "VmRSS") / MIB
        child.terminate()
        if child.wait(15) != 0:
            raise DemoError("its exit code is not 0")
    except Interrupted:
        raise
    except subprocess.TimeoutExpired:
        raise DemoError(f"{server.title} on {allocator} does not stop") from None
    except (DemoError, OSError) as error:
        if child.poll() is None:
            raise
        said = f"exit code {child.returncode}: {last_line(server.log)}"
        raise DemoError(f"{server.title} on {allocator} ended ({said})") from error
    finally:
        children.end(child)
    if allocator == "molehill":
        run[server.counter] = read_counter(stats, server.counter)
    return run


class Progress:
    """What is going on, on stderr: one line that is rewritten, or in a file a line a step."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def step(self, text):
        self.done += 1
        seconds = time.monotonic() - self.started
        line = f"demo: {self.done}/{self.total} {text} ({seconds:.0f} s)"
        if self.is_terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def clear(self):
        if self.is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def figure(value, digits):
    return f"{value:,.{digits}f}".replace(",", " ")


def spread(values, digits):
    low, high = figure(min(values), digits), figure(max(values), digits)
    return f"{figure(statistics.median(values), digits)} ({low}-{high})"


def compare(runs, key):
    """The ratio of medians, and those of each round."""
    ours = [run[key] for run in runs["molehill"]]
    theirs = [run[key] for run in runs["jemalloc"]]
    rounds = [our / their for our, their in zip(ours, theirs)]
    return statistics.median(ours) / statistics.median(theirs), rounds


def table(server, runs):
    rows = [(server.describe(), *ALLOCATORS, "molehill / jemalloc")]
    for measure in MEASURES:
        cells = [
            spread([run[measure.key] for run in runs[allocator]], measure.digits)
            for allocator in ALLOCATORS
        ]
        ratio, rounds = compare(runs, measure.key)
        ratio = f"{ratio:.3f} ({min(rounds):.3f}-{max(rounds):.3f})"
        rows.append(("  " + measure.label, *cells, ratio))
    return rows


def print_tables(tables, rounds):
    widths = [max(len(row[i]) for rows in tables for row in rows) for i in range(4)]
    print(f"Medians of {rounds} rounds (least-greatest).")
    for rows in tables:
        print()
        for label, *cells in rows:
            line = [label.ljust(widths[0])]
            line += [cell.rjust(width) for cell, width in zip(cells, widths[1:])]
            print("  ".join(line))
    print(
        f"""
requests/s is a geometric mean over the phases; a ratio's spread is that of the rounds' ratios.
The RSS after the load is taken {SETTLE_SECONDS:.0f} s after FLUSHALL, with no client connected;
jemalloc's default is to keep freed memory for about ten seconds.
Load: redis-benchmark, {CLIENTS} clients, pipelines of {PIPELINE}, random keys."""
    )


def print_warning(results):
    """Say so when the rates tell more about the machine's other work than about allocators."""
    shares = [
        run["disturbance"]
        for runs in results.values()
        for allocator in ALLOCATORS
        for run in runs[allocator]
    ]
    if max(shares) > QUIET_SHARE:
        print(
            f"NOT A QUIET MACHINE: others used {min(shares):.0%} to {max(shares):.0%} of the "
            "server's core. Requests/s and p99\nfollow that more than the allocator; "
            "CPU us/request and RSS can still be compared."
        )


def print_proof(servers, results):
    for server in servers:
        counts = [run[server.counter] for run in results[server.title]["molehill"]]
        print(
            f"Proof of use, {server.title}: {server.counter} of {figure(min(counts), 0)} or more "
            "in each run on molehill."
        )
    if any(server.title == "redis" for server in servers):
        print("(redis itself reports the allocator it was built for, whatever is loaded.)")


def results_of(runs):
    summary = {}
    for measure in MEASURES:
        ratio, rounds = compare(runs, measure.key)
        summary[f"{measure.key}_ratio"] = round(ratio, 4)
        summary[f"{measure.key}_ratio_spread"] = [round(min(rounds), 4), round(max(rounds), 4)]
    summary["runs"] = runs
    return summary


def write_results(path, rounds, phases, results, spy):
    document = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "phases": [dataclasses.asdict(phase) for phase in phases],
    }
    document.update((title, results_of(runs)) for title, runs in results.items())
    if spy:
        document["spy"] = spy
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about 25 seconds, rough figures")
    parser.add_argument("--rounds", type=int, help="runs of each server on each allocator")
    parser.add_argument(
        "--scale", type=float, help="this share of the requests (1, or 0.25 when quick)"
    )
    parser.add_argument("--only", choices=("redis", "kv"), help="one of the two servers")
    parser.add_argument(
        "--build", type=pathlib.Path, default=ROOT / "build" / "gcc", help="the build directory"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=ROOT / "build" / "demo" / "results.json",
        help="where to write the figures",
    )
    arguments = parser.parse_args()
    if arguments.rounds is None:
        arguments.rounds = 2 if arguments.quick else 5
    if arguments.scale is None:
        arguments.scale = 0.25 if arguments.quick else 1
    if arguments.rounds < 1 or not 0 < arguments.scale <= 100:
        parser.error("--rounds must be at least 1, --scale above 0 and at most 100")
    return arguments


def second_act(children, servers, arguments, progress):
    """On redis, where that is asked for: its figures and the spy's report."""
    try:
        for server in servers:
            if server.title == "redis":
                return demo_spy.perform(
                    children, server, arguments.rounds, arguments.scale, progress
                )
    finally:
        progress.clear()
    return None, None


def measure_all(children, servers, phases, rounds, progress):
    results = {server.title: {name: [] for name in ALLOCATORS} for server in servers}
    try:
        for number in range(rounds):
            # Who goes first alternates: the machine's mood must not favour either.
            order = ALLOCATORS if number % 2 == 0 else ALLOCATORS[::-1]
            for server in servers:
                for allocator in order:
                    run = run_once(children, server, allocator, phases, progress)
                    results[server.title][allocator].append(run)
    finally:
        progress.clear()
    return results


def demo(arguments, children, directory):
    cpus = sorted(os.sched_getaffinity(0))
    machine = Machine(
        build=arguments.build.resolve(),
        directory=directory,
        jemalloc=find_jemalloc(),
        server_cpus=frozenset(cpus[:1]),
        benchmark_cpus=frozenset(cpus[1:2] or cpus),
    )
    find_program("redis-benchmark", "redis-tools")
    kinds = [kind for kind in (Redis, Kv) if arguments.only in (None, kind.title)]
    servers = [kind(machine) for kind in kinds]
    phases = [phase.scaled(arguments.scale) for phase in PHASES]

    rounds = arguments.rounds
    has_second = any(server.title == "redis" for server in servers)
    progress = Progress(rounds * (len(servers) * len(ALLOCATORS) * len(phases) + has_second))
    results = measure_all(children, servers, phases, rounds, progress)
    spy, report = second_act(children, servers, arguments, progress)
    print_tables([table(server, results[server.title]) for server in servers], rounds)
    print_warning(results)
    print_proof(servers, results)
    if spy:
        demo_spy.print_act(spy, report, figure, spread)
    write_results(arguments.output, rounds, phases, results, spy)


def interrupted(number, _frame):
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def main():
    arguments = parse_arguments()
    for number in STOPS:
        signal.signal(number, interrupted)
    children = Children()
    directory = tempfile.mkdtemp(prefix="molehill-demo-")
    try:
        demo(arguments, children, pathlib.Path(directory))
        return 0
    except (DemoError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)
        children.end_all()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
