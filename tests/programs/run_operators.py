#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""C++ operators where libstdc++ is not, or comes later, and in a program that replaces some."""
import os
import resource
import signal

from _preload import BUILD, Scratch, case, compare, end

OPERATORS = os.path.join(BUILD, "tests", "operators")
THROWING = ["_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t"]
FAILED = b"molehill: operator new(%d) failed, and nobody can throw bad_alloc\n"


def limit_address_space():
    kib = 1048576
    resource.setrlimit(resource.RLIMIT_AS, (kib * 1024, kib * 1024))


def dies(done, size, what):
    case(done.returncode == -signal.SIGABRT, f"{what}: ends with {done.returncode}")
    case(done.stderr == FAILED % size, f"{what}: writes {done.stderr.decode()[-500:]}")
    case(b"FAILED" not in done.stdout and b"good" not in done.stdout,
         f"{what}: {done.stdout.decode()[-500:]}")


def without_libstdcxx(place):
    for what, least in (("all", 90), ("nothrow", 0)):
        done = place.run([OPERATORS, what], True)
        case(done.returncode == 0 and done.stdout == b"good\n" and done.stderr == b"",
             f"{what}: {done.returncode}: {done.stdout.decode()}{done.stderr.decode()}")
        case(done.frees >= least, f"{what}: only {done.frees} frees through the library")
    for name in THROWING:
        dies(place.run([OPERATORS, "absurd", name], True), (1 << 63) - 1 - 4096, name)
    done = place.run([OPERATORS, "exhaust"], True, preexec_fn=limit_address_space)
    dies(done, 1 << 20, "operator new until the end")
    counts = done.stdout.split()
    case(bool(counts) and int(counts[-1]) >= 256, f"there was no memory after {counts[-1:]} MiB")


def late_libstdcxx(place):
    library = os.path.join(BUILD, "tests", "liblate_operators.so")
    compare(place, [OPERATORS, "late", library], 1, name="libstdc++ opened by a program of C")


def replaced(place):
    done = compare(place, [os.path.join(BUILD, "tests", "replaced_new")], 500,
                   name="operator new replaced")
    numbers = [int(word) for line in done.stdout.decode().splitlines()[:2]
               for word in line.split() if word.isdigit()]
    case(len(numbers) == 4 and numbers[0] == numbers[1] == 24 and numbers[2] > 500,
         f"it is not what all go through: {done.stdout.decode()}")


def main():
    with Scratch() as place:
        without_libstdcxx(place)
        late_libstdcxx(place)
        replaced(place)
    end()


main()
