# SPDX-License-Identifier: MIT
"""What run_limits.py and run_overcommit.py share: programs that use up memory."""
import os
import resource
import subprocess
import sys

from _preload import BUILD, case, figures

# Python: threads fill memory in `blocks` steps each; then there is a request too large.
FILL = r"""
import sys, threading
blocks = []
def fill():
    try:
        for i in range(int(sys.argv[1])):
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
    bytes(int(sys.argv[2]))
    print("too much was there")
except MemoryError:
    print("too much is refused")
blocks.clear()
print(len([bytes(100) for i in range(100000)]))
"""


def limit_address_space():
    kib = 1048576
    resource.setrlimit(resource.RLIMIT_AS, (kib * 1024, kib * 1024))


def python():
    system = "/usr/bin/python3"
    return system if os.path.exists(system) else os.path.realpath(sys.executable)


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
