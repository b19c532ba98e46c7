# SPDX-License-Identifier: MIT
"""What the demo's acts share: the servers, the processes, the load, and what the machine says of
them."""

import contextlib
import csv
import ctypes
import ctypes.util
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

CLIENTS = 50
PIPELINE = 8  # enough for the server, not the benchmark, to be the bottleneck
BENCHMARK_SECONDS = 120  # a benchmark that takes longer hangs


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

    def info(self, key):
        """A number that the command INFO tells."""
        head = self.call("INFO", "stats")
        text = self.lines.read(int(head[1:]) + 2).decode() if head.startswith("$") else ""
        for line in text.splitlines():
            if line.startswith(key + ":"):
                return int(line[len(key) + 1 :])
        raise DemoError(f"INFO tells no {key}")

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

    def environment(self, allocator, preload, conf=""):
        environment = dict(os.environ)
        environment.pop("LD_PRELOAD", None)
        if preload:
            environment["LD_PRELOAD"] = str(preload)
        if allocator == "molehill":
            asked = environment.get("MOLEHILL_CONF")
            stats = f"stats:{self.directory / 'stats'}"
            environment["MOLEHILL_CONF"] = ",".join(filter(None, (asked, stats, conf)))
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

    def start(self, children, allocator, conf=""):
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
                env=machine.environment(allocator, self.preloads[allocator], conf),
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
