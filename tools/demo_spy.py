# SPDX-License-Identifier: MIT
"""The demo's second act: redis under load on molehill, while the spy top-sites is attached to it
by the command molehill, and detached again."""

import re
import statistics
import subprocess
import time

from demo_load import (
    CLIENTS,
    PIPELINE,
    Client,
    DemoError,
    check_loaded,
    find_built,
    find_program,
)

WINDOWS = ("before", "during", "after")
WINDOW_SECONDS = 2.0  # of a scale of 1
LEAST_SECONDS = 0.4
LEAST_REQUESTS = 20_000  # in a window, however long that takes: some 80 samples
MOST_SECONDS = 60.0
WARM_SECONDS = 1.0  # of load before the first window
VALUE_BYTES = 1000
KEYS = 50_000
SPY_ARGUMENTS = ("top:5", "depth:6")
COMMAND_SECONDS = 60


def start_load(children, machine, port):
    """SETs until it is ended."""
    command = [find_program("redis-benchmark", "redis-tools"), "-h", "127.0.0.1"]
    command += ["-p", str(port), "-t", "set", "-c", str(CLIENTS), "-P", str(PIPELINE), "-l", "-q"]
    command += ["-d", str(VALUE_BYTES), "-r", str(KEYS), "-n", "100000"]
    return children.start(
        command,
        machine.benchmark_cpus,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class Scene:
    """The server, its load, and the command that is run beside them."""

    def __init__(self, machine, process, load, client):
        self.machine, self.process, self.load, self.client = machine, process, load, client
        self.command = find_built(machine.build, "molehill")
        self.spy = find_built(machine.build, "top-sites.so")

    def requests(self):
        """How many the server has served, and when that was."""
        if self.load.poll() is not None or self.process.poll() is not None:
            raise DemoError("the load on redis ended by itself")
        return self.client.info("total_commands_processed"), time.monotonic()

    def window(self, seconds):
        """Requests/s for so long."""
        first, began = self.requests()
        last, ended = first, began
        while last - first < LEAST_REQUESTS:
            if ended - began > MOST_SECONDS:
                raise DemoError("redis serves next to no requests")
            time.sleep(seconds)
            last, ended = self.requests()
        return (last - first) / (ended - began)

    def molehill(self, *words):
        """What the command says, and how many ms it took."""
        began = time.monotonic()
        done = subprocess.run(
            [str(self.command), *map(str, words)],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"molehill {words[0]}: {done.stderr.strip() or done.returncode}")
        return done.stdout, (time.monotonic() - began) * 1000

    def round(self, seconds):
        """The rates of three windows, attach and detach in ms, and what the spy reports."""
        run = {"before": self.window(seconds)}
        said, run["attach_ms"] = self.molehill("attach", self.process.pid, self.spy, *SPY_ARGUMENTS)
        run["during"] = self.window(seconds)
        report, run["detach_ms"] = self.molehill("detach", self.process.pid, said.split()[0])
        run["after"] = self.window(seconds)
        run["ratio"] = run["during"] * 2 / (run["before"] + run["after"])
        run["samples"] = blocks_seen(report)
        return run, report


def blocks_seen(report):
    """It is no act if the spy saw nothing, or has no names for what it saw."""
    seen = re.search(r", (\d+) blocks seen;", report)
    if not seen or int(seen[1]) == 0:
        raise DemoError(f"the spy saw nothing: {report.strip() or 'no report'}")
    if not re.search(r"^ +[a-zA-Z_]\w*\+0x[0-9a-f]+ \(redis-server", report, re.M):
        raise DemoError(f"no call site has the name of a function of redis: {report.strip()}")
    return int(seen[1])


def perform(children, redis, rounds, scale, progress):
    """Rounds of before, during, after; the last round's report."""
    machine = redis.machine
    process, port = redis.start(children, "molehill", f"control:{machine.directory}/control.%p")
    load = client = None
    try:
        check_loaded(process.pid, "molehill")
        load = start_load(children, machine, port)
        client = Client(port)
        scene = Scene(machine, process, load, client)
        time.sleep(WARM_SECONDS)
        runs = []
        for _ in range(rounds):
            progress.step("redis on molehill, a spy attached and detached under load")
            run, report = scene.round(max(LEAST_SECONDS, WINDOW_SECONDS * scale))
            runs.append(run)
    finally:
        if client:
            client.close()
        for child in (load, process):
            if child:
                children.end(child)
    return runs, report


def print_act(runs, report, figure, spread):
    """The table, and the call sites of the last round."""
    print("\nA spy attached to redis under load and detached, by the command molehill:\n")
    rows = [["", *WINDOWS, "during / mean of the others"]]
    ratios = [run["ratio"] for run in runs]
    rows.append(["  requests/s", *(spread([run[name] for run in runs], 0) for name in WINDOWS),
                 f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for label, *cells in rows:
        line = [label.ljust(widths[0])]
        print("  ".join(line + [cell.rjust(width) for cell, width in zip(cells, widths[1:])]))
    for key in ("attach", "detach"):
        median = statistics.median(run[f"{key}_ms"] for run in runs)
        print(f"  {key}: {figure(median, 1)} ms, start and end of the command included")
    print(f"\nLoad: SETs of {VALUE_BYTES} B by redis-benchmark. The spy's report:\n")
    print("".join(f"  {line}\n" if line else "\n" for line in report.splitlines()), end="")
