#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Little address space (ulimit -v) and strict overcommit: programs work as they do without the
library, and what cannot be had is refused clearly."""
import os
import resource
import subprocess
import sys

from _preload import BUILD, Scratch, case, compare, end, figures, need, skip

MODE = "/proc/sys/vm/overcommit_memory"
RATIO = "/proc/sys/vm/overcommit_ratio"

FILL = r"""
import threading
blocks = []
def fill():
    try:
        for i in range(4000):
            blocks.append(bytes(4096 * (i % 8 + 1)))
    except MemoryError:
        pass
threads = [threading.Thread(target=fill) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(blocks), sum(map(len, blocks)))
try:
    bytes(3 << 30)
    print("3 GiB were there")
except MemoryError:
    print("3 GiB are refused")
blocks.clear()
print(len([bytes(100) for i in range(100000)]))
"""


def limit_address_space():
    kib = 1048576
    resource.setrlimit(resource.RLIMIT_AS, (kib * 1024, kib * 1024))


def python():
    system = "/usr/bin/python3"
    return system if os.path.exists(system) else os.path.realpath(sys.executable)


def small_address_space(place):
    args = [python(), "-I", "-c", FILL]
    done = compare(place, args, 10000, {"PYTHONMALLOC": "malloc"}, "python3 under ulimit -v",
                   preexec_fn=limit_address_space)
    case(b"3 GiB are refused" in done.stdout, "3 GiB were had under ulimit -v")
    exhaust(place, "ulimit -v")
    sqlite = need("sqlite3")
    sql = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30000) "
           "SELECT count(*), sum(length(hex(zeroblob(i % 500)))) FROM n;")
    compare(place, [sqlite, "-batch", ":memory:", sql], 1000, name="sqlite3 under ulimit -v",
            preexec_fn=limit_address_space)


def exhaust(place, where):
    """Use up all memory, from heaps and from malloc; see exhaust.c."""
    program = os.path.join(BUILD, "tests", "exhaust")
    for size in ("0", "900", "20000", "65536", "3000000"):
        # The address space is limited anyway: not all of the machine's memory is for us.
        env, stats = place.environment(True)
        done = subprocess.run([program, size], env=env, timeout=120, cwd=place.path,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              preexec_fn=limit_address_space)
        case(done.returncode == 0 and done.stdout == b"good\n",
             f"{where}: using up memory by {size} bytes ends with {done.returncode}: "
             f"{done.stdout.decode(errors='replace')[-500:]}")
        lines = figures(stats)
        case(len(lines) == 1 and int(lines[0]["committed_bytes"]) > 256 << 20,
             f"{where}: it was not the library's memory")
        print(f"{where}: {done.stderr.decode(errors='replace').strip()}")


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def commit_room():
    """Bytes that could still be committed if overcommit were strict now."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    fields = {name: int(rest.split()[0]) * 1024 for name, rest in lines.items()}
    return fields["CommitLimit"] - fields["Committed_AS"]


class Overcommit:
    """A process of its own puts back what was set, also if this one is killed."""

    def __init__(self):
        self.old, self.old_ratio = read(MODE), read(RATIO)
        script = f"read end; echo {self.old} >{MODE}; echo {self.old_ratio} >{RATIO}"
        self.restorer = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE,
                                         start_new_session=True)

    def set_strict(self):
        write(RATIO, "95")
        if commit_room() < 2 << 30:
            raise OSError("it would leave the machine too little memory")
        write(MODE, "2")

    def put_back(self):
        self.restorer.stdin.close()
        self.restorer.wait(timeout=30)
        case((read(MODE), read(RATIO)) == (self.old, self.old_ratio),
             "overcommit was not restored")


def strict_overcommit(place):
    fill = FILL.replace("3 << 30", "1 << 60").replace("range(4000)", "range(400)")
    if not os.access(MODE, os.W_OK) or not os.access(RATIO, os.W_OK):
        skip("strict overcommit cannot be set here")
        return
    overcommit = Overcommit()
    try:
        overcommit.set_strict()
        compare(place, [python(), "-I", "-c", fill], 1000, {"PYTHONMALLOC": "malloc"},
                "python3 under strict overcommit")
        exhaust(place, "strict overcommit")
    except OSError as error:
        skip(f"strict overcommit cannot be set here: {error}")
    finally:
        overcommit.put_back()


def main():
    with Scratch() as place:
        small_address_space(place)
        strict_overcommit(place)
    end()


main()
