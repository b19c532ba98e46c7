#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real servers under load, on molehill and on jemalloc in turn: the table of `./dev demo`.

redis-server (unmodified, the allocator preloaded) and the example server kv (the same source
linked to molehill, or on malloc with jemalloc preloaded) are driven by redis-benchmark. A run of
molehill counts only when its library, at exit, reports the blocks it freed.
"""

import argparse
import contextlib
import csv
import ctypes
import ctypes.util
import dataclasses
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALLOCATORS = ("jemalloc", "molehill")  # the baseline first
CLIENTS = 50
PIPELINE = 8  # enough for the server, not the benchmark, to be the bottleneck
LEAST_FREES = 5000  # fewer mean that the server did not work on molehill
SETTLE_SECONDS = 1.0  # between the end of the load and the last look at the RSS
QUIET_SHARE = 0.10  # of the server's core that others may use
BENCHMARK_SECONDS = 120  # a benchmark that takes longer hangs
MIB = 1024.0  # in KiB, the unit of /proc


class DemoError(Exception):
    """What ends the demo with one line on stderr."""


class Interrupted(DemoError):
    """A signal asked us to stop."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """One call of redis-benchmark: SETs, then GETs, of random keys."""

    group: str
    value_bytes: int
    keys: int
    requests: int  # of each kind

    def scaled(self, factor):
        return dataclasses.replace(self, requests=max(1000, int(self.requests * factor)))


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


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Children:
    """The processes of the demo; none outlives it, whatever ends it."""

    def __init__(self):
        self.running = []

    def start(self, command, cpus, **options):
        def prepare():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, cpus)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

        # Not to be interrupted between its start and the moment we know of it. A session of
        # its own: Ctrl-C reaches the demo only, which then ends its children.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            child = subprocess.Popen(
                command, preexec_fn=prepare, start_new_session=True, text=True, **options
            )
            self.running.append(child)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return child

    def end(self, child):
        """End the child if it still runs."""
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for stream in (child.stdout, child.stderr):
            if stream:
                stream.close()
        if child in self.running:
            self.running.remove(child)

    def end_all(self):
        for child in list(self.running):
            self.end(child)


class Client:
    """Just enough of the redis protocol to say a command and see a one-line answer."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.lines = self.socket.makefile("rb")

    def call(self, *words):
        parts = [f"*{len(words)}\r\n"]
        parts += [f"${len(word)}\r\n{word}\r\n" for word in words]
        self.socket.sendall("".join(parts).encode())
        answer = self.lines.readline().decode().strip()
        if answer.startswith("-"):
            raise DemoError(f"{' '.join(words)} was answered by: {answer[1:]}")
        return answer

    def close(self):
        self.lines.close()
        self.socket.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where things are, and which core does what."""

    build: pathlib.Path
    directory: pathlib.Path  # temporary
    jemalloc: str
    server_cpus: frozenset
    benchmark_cpus: frozenset

    def environment(self, allocator, preload):
        environment = dict(os.environ)
        environment.pop("LD_PRELOAD", None)
        if preload:
            environment["LD_PRELOAD"] = str(preload)
        if allocator == "molehill":
            asked = environment.get("MOLEHILL_CONF")
            stats = f"stats:{self.directory / 'stats'}"
            environment["MOLEHILL_CONF"] = f"{asked},{stats}" if asked else stats
        return environment


class Redis:
    title = "redis"
    counter = "malloc_frees"

    def __init__(self, machine):
        self.machine = machine
        self.log = machine.directory / "redis.log"
        self.program = find_program("redis-server", "redis-server")
        self.preloads = {
            "jemalloc": machine.jemalloc,
            "molehill": find_built(machine.build, "libmolehill-malloc.so.0"),
        }

    def describe(self):
        version = subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, check=True
        )
        words = dict(word.split("=", 1) for word in version.stdout.split() if "=" in word)
        return f"redis-server {words.get('v', '')}, one thread, SET and GET"

    def start(self, children, allocator):
        """The process and its port."""
        machine = self.machine
        port = free_port()
        command = [self.program, "--bind", "127.0.0.1", "--port", str(port)]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        command += ["--dir", str(machine.directory), "--loglevel", "warning"]
        with open(self.log, "w", encoding="utf-8") as output:
            child = children.start(
                command,
                machine.server_cpus,
                env=machine.environment(allocator, self.preloads[allocator]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until_up(child, port, self.log)
        return child, port


class Kv:
    title = "kv"
    counter = "frees"
    threads = 2

    def __init__(self, machine):
        self.machine = machine
        self.log = machine.directory / "kv.log"
        self.programs = {
            "jemalloc": find_built(machine.build, "kv-malloc"),
            "molehill": find_built(machine.build, "kv-molehill"),
        }

    def describe(self):
        return f"examples/kv, {self.threads} threads, a heap per connection, SET and GET"

    def start(self, children, allocator):
        machine = self.machine
        preload = machine.jemalloc if allocator == "jemalloc" else None
        with open(self.log, "w", encoding="utf-8") as output:
            child = children.start(
                [self.programs[allocator], "--port", "0", "--threads", str(self.threads)],
                machine.server_cpus,
                env=machine.environment(allocator, preload),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
            )
        line = child.stdout.readline()  # "kv on molehill: 127.0.0.1:40123, 2 threads"
        if "127.0.0.1:" not in line:
            name = self.programs[allocator].name
            raise DemoError(f"{name} did not start: {last_line(self.log)}")
        port = int(line.split("127.0.0.1:")[1].split(",")[0])
        wait_until_up(child, port, self.log)
        return child, port


def find_program(name, package):
    path = shutil.which(name)
    if not path:
        raise DemoError(f"{name} is not installed (Debian: apt-get install {package})")
    return path


def find_built(build, name):
    for path in sorted(build.glob(f"**/{name}")):
        if path.is_file():
            return path
    raise DemoError(f"there is no {name} under {build} (./dev build makes it)")


def find_jemalloc():
    name = ctypes.util.find_library("jemalloc")
    if not name:
        raise DemoError("libjemalloc.so.2 is missing (Debian: apt-get install libjemalloc2)")
    return name  # the dynamic linker looks it up as we did


def last_line(log):
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def wait_until_up(child, port, log):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise DemoError(f"the server ended at once ({child.returncode}): {last_line(log)}")
        with contextlib.suppress(OSError):
            client = Client(port)
            try:
                if client.call("PING") == "+PONG":
                    return
            finally:
                client.close()
        time.sleep(0.02)
    raise DemoError("the server does not answer")


def memory_kib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise DemoError(f"process {pid} has no {field}")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def core_seconds(cpus):
    """What these cores spent on processes, all in all, and on being taken away from us."""
    total = 0
    with open("/proc/stat", encoding="ascii") as stat:
        for line in stat:
            name, *ticks = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
                user, nice, system, steal = (int(ticks[i]) for i in (0, 1, 2, 7))
                total += user + nice + system + steal
    return total / os.sysconf("SC_CLK_TCK")


def check_loaded(pid, allocator):
    """The library is there at all; for molehill its counter proves more at the end."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    wanted = {"jemalloc": "libjemalloc", "molehill": "libmolehill"}[allocator]
    if wanted not in maps:
        raise DemoError(f"{allocator} is not loaded in the server: was preloading refused?")
    if allocator == "jemalloc" and "libmolehill" in maps:
        raise DemoError("molehill is loaded in the server that should run on jemalloc")


def wait_for_benchmark(benchmark, server_child):
    """Its output and errors. Without a server it would try to connect for ever."""
    deadline = time.monotonic() + BENCHMARK_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return benchmark.communicate(timeout=1)
        if server_child.poll() is not None:
            raise DemoError("the server ended under load")
    raise DemoError("redis-benchmark hangs: does the server still answer?")


def run_benchmark(children, machine, server_child, port, phase):
    """Requests/s and p99 in ms of each kind of request."""
    command = [find_program("redis-benchmark", "redis-tools"), "-h", "127.0.0.1"]
    command += ["-p", str(port), "-t", "set,get", "--csv", "-c", str(CLIENTS)]
    command += ["-P", str(PIPELINE), "-n", str(phase.requests)]
    command += ["-d", str(phase.value_bytes), "-r", str(phase.keys)]
    child = children.start(
        command,
        machine.benchmark_cpus,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, errors = wait_for_benchmark(child, server_child)
    finally:
        children.end(child)
    rows = list(csv.DictReader(output.splitlines()))
    if child.returncode != 0 or len(rows) != 2:
        said = (errors or output).strip().splitlines()
        raise DemoError(f"redis-benchmark failed: {said[-1] if said else child.returncode}")
    return [(float(row["rps"]), float(row["p99_latency_ms"])) for row in rows]


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


def write_results(path, rounds, phases, results):
    document = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "phases": [dataclasses.asdict(phase) for phase in phases],
    }
    document.update((title, results_of(runs)) for title, runs in results.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about 20 seconds, rough figures")
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


def measure_all(children, servers, phases, rounds):
    progress = Progress(len(servers) * rounds * len(ALLOCATORS) * len(phases))
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

    results = measure_all(children, servers, phases, arguments.rounds)
    print_tables([table(server, results[server.title]) for server in servers], arguments.rounds)
    print_warning(results)
    print_proof(servers, results)
    write_results(arguments.output, arguments.rounds, phases, results)


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
