#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Strict overcommit (vm.overcommit_memory=2): programs work as they do without the library, and
what is more than the system commits is refused. The setting is the machine's: it is put back
whatever happens to this script, one script at a time changes it, and meson runs nothing beside."""
import fcntl
import os
import signal
import subprocess
import sys
import time

from _limits import FILL, exhaust, python
from _preload import Scratch, case, compare, end, figures, skip

MODE = "/proc/sys/vm/overcommit_memory"
RATIO = "/proc/sys/vm/overcommit_ratio"
KBYTES = "/proc/sys/vm/overcommit_kbytes"
LEAST_ROOM = 2 << 30
SECONDS = 60  # to wait for others


class Impossible(Exception):
    """Why strict overcommit cannot be had here."""


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def settings():
    return read(MODE), read(RATIO), read(KBYTES)


def memory():
    """Of /proc/meminfo, in bytes. CommitLimit is what it is, or would be, when strict."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {name: int(rest.split()[0]) * 1024 for name, rest in lines.items()}


def until(is_so):
    limit = time.monotonic() + SECONDS
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.02)
    return is_so()


class Overcommit:
    """The setting, for whoever has the lock. A process of its own puts back what was set, also
    when this one is killed, and keeps the lock until it has."""

    def __init__(self):
        if not all(os.access(path, os.W_OK) for path in (MODE, RATIO, KBYTES)):
            raise Impossible("it may not be written")
        # Open for writing only to lock it: sysctl files change by write, not by open.
        lock = os.open(MODE, os.O_RDWR)
        if not until(lambda: self.is_locked(lock)):
            os.close(lock)
            raise Impossible("somebody else has changed it")
        self.old = settings()
        mode, ratio, kbytes = self.old
        amount = f"echo {kbytes} >{KBYTES}" if kbytes != "0" else f"echo {ratio} >{RATIO}"
        self.restorer = subprocess.Popen(
            ["sh", "-c", f"trap '' HUP INT TERM; read end; echo {mode} >{MODE}; {amount}"],
            stdin=subprocess.PIPE, start_new_session=True, pass_fds=[lock])
        os.close(lock)

    @staticmethod
    def is_locked(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def prepare(self):
        """How much may be committed, once it is strict. Returns the limit."""
        write(RATIO, "95")
        now = memory()
        if now["CommitLimit"] - now["Committed_AS"] < LEAST_ROOM:
            raise Impossible("it would leave the machine too little memory")
        return now["CommitLimit"]

    def put_back(self):
        self.restorer.stdin.close()
        self.restorer.wait(timeout=SECONDS)
        case(settings() == self.old, f"overcommit was not restored: {settings()}")


def hold():
    """Set it and wait to be killed."""
    overcommit = Overcommit()
    try:
        overcommit.prepare()
        write(MODE, "2")
        print("strict", flush=True)
        time.sleep(SECONDS)
    finally:
        overcommit.put_back()


def killed_in_the_middle():
    """The setting comes back when the script that changed it is killed."""
    before = settings()
    with subprocess.Popen([sys.executable, __file__, "--hold"],
                          stdout=subprocess.PIPE) as holder:
        case(holder.stdout.readline() == b"strict\n" and read(MODE) == "2",
             "it was not set, or not for long")
        holder.send_signal(signal.SIGKILL)
    case(until(lambda: settings() == before),
         f"killed, it leaves overcommit as {settings()}, not {before}")


def strict_programs(place, overcommit):
    limit = overcommit.prepare()
    # More than the limit, less than the machine has: refused only when strict, and never touched.
    too_much = limit + memory()["MemTotal"] // 100
    fill = [python(), "-I", "-c", FILL, "400", str(too_much)]
    lenient = place.run(fill, True, {"PYTHONMALLOC": "malloc"})
    case(b"too much was there" in lenient.stdout or overcommit.old[0] == "2",
         "it is refused anyway: " + lenient.stderr.decode(errors="replace")[-500:])
    write(MODE, "2")
    done = compare(place, fill, 1000, {"PYTHONMALLOC": "malloc"}, "python3 under strict overcommit")
    case(b"too much is refused" in done.stdout, "more was had than the system commits")
    lines = figures(place.file(f"stats.{place.figures}"))
    case(len(lines) == 1 and int(lines[0]["committed_bytes"]) > 8 << 20,
         "it was not the library's memory")
    # The address space is limited as well: not all of the machine's memory is for us.
    exhaust(place, "strict overcommit")


def main():
    if sys.argv[1:] == ["--hold"]:
        hold()
        return
    with Scratch() as place:
        try:
            overcommit = Overcommit()
        except Impossible as error:
            skip(f"strict overcommit: {error}")
            end()
        is_possible = False
        try:
            strict_programs(place, overcommit)
            is_possible = True
        except (Impossible, OSError) as error:
            skip(f"strict overcommit: {error}")
        finally:
            overcommit.put_back()
        if is_possible:
            killed_in_the_middle()
    end()


main()
