# SPDX-License-Identifier: MIT
"""What the scripts share: run a program with libmolehill-malloc preloaded or without, learn how
many blocks it freed through the library, and count cases."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("MOLEHILL_BUILD") or os.path.realpath(
    os.path.join(os.path.dirname(__file__), "..", "..", "build", "gcc"))
CORE = os.path.join(BUILD, "src", "libmolehill.so.0")
MALLOC = os.path.join(BUILD, "src", "libmolehill-malloc.so.0")

_counts = {"passed": 0, "failed": 0, "skipped": 0}


def case(is_right, what):
    """One case; `what` says in words what failed."""
    _counts["passed" if is_right else "failed"] += 1
    if not is_right:
        print(f"FAILED: {what}", flush=True)


def skip(what):
    _counts["skipped"] += 1
    print(f"SKIPPED: {what}", flush=True)


def end():
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**_counts), flush=True)
    sys.exit(1 if _counts["failed"] else 0)


def need(*programs):
    """End with a skip unless the programs are there. Returns their paths."""
    paths = [shutil.which(program) for program in programs]
    for program, path in zip(programs, paths):
        if not path:
            skip(f"{program} is not installed")
            end()
    return paths if len(paths) > 1 else paths[0]


class Scratch:
    """An empty directory, gone afterwards; processes started in it too."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="molehill-")
        self.processes = []
        self.figures = 0
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name, text=None):
        path = os.path.join(self.path, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return path

    def environment(self, preloads, more=None):
        env = {key: value for key, value in os.environ.items()
               if key not in ("LD_PRELOAD", "MOLEHILL_CONF")}
        env["LC_ALL"] = "C"
        env.update(more or {})
        stats = None
        if preloads:
            self.figures += 1
            stats = self.file(f"stats.{self.figures}")
            env["LD_PRELOAD"] = MALLOC
            env["MOLEHILL_CONF"] = f"stats:{stats}"
        return env, stats

    def run(self, args, preloads, env=None, **more):
        """Run to the end. Returns the finished process with `frees` added."""
        env, stats = self.environment(preloads, env)
        more.setdefault("timeout", 120)
        more.setdefault("cwd", self.path)
        done = subprocess.run(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              **more)
        done.frees = frees(stats)
        return done

    def start(self, args, preloads, env=None, **more):
        """Start a server. The figures are there once it has ended: frees(process.stats)."""
        env, stats = self.environment(preloads, env)
        process = subprocess.Popen(args, env=env, cwd=self.path, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **more)
        process.stats = stats
        self.processes.append(process)
        return process


def figures(stats):
    """The lines of counters that processes left behind, one dictionary each."""
    if not stats or not os.path.exists(stats):
        return []
    with open(stats, encoding="utf-8") as file:
        return [dict(word.split("=", 1) for word in line.split() if "=" in word)
                for line in file if line.startswith("molehill:")]


def frees(stats):
    return sum(int(line.get("malloc_frees", 0)) for line in figures(stats))


def compare(place, args, least_frees, env=None, name=None, **more):
    """The program answers the same with the library, which it used a lot. Returns the answer."""
    name = name or os.path.basename(args[0])
    without = place.run(args, False, env, **more)
    preloaded = place.run(args, True, env, **more)
    case(preloaded.returncode == without.returncode,
         f"{name}: exit status {preloaded.returncode}, {without.returncode} without: "
         f"{preloaded.stderr.decode(errors='replace')[-500:]}")
    case(without.returncode == 0,
         f"{name}: fails anyway: {without.stderr.decode(errors='replace')[-500:]}")
    case(preloaded.stdout == without.stdout, f"{name}: other output than without")
    case(preloaded.stderr == without.stderr,
         f"{name}: other messages: {preloaded.stderr.decode(errors='replace')[-500:]}")
    case(preloaded.frees >= least_frees,
         f"{name}: only {preloaded.frees} frees through the library")
    print(f"{name}: {preloaded.frees} frees")
    return preloaded


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port, process, seconds=20):
    """A connection to a server that is still starting; None: it did not come up."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except OSError:
            time.sleep(0.05)
    return None
