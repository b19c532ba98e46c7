#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is asked for and cannot be done is said, in one line: MOLEHILL_CONF with unknown keys, with
a file that cannot be written, in a program with raised privileges; options of the benchmarks."""
import os
import subprocess

from _preload import BUILD, Scratch, case, end, figures, need, skip

SECURE = r"""
#include <stdio.h>
#include <sys/auxv.h>
void *mh_GetProcessHeap(void);
int main(void)
{
    return printf("secure %lu\n", getauxval(AT_SECURE)) < 0 || !mh_GetProcessHeap();
}
"""
NOGROUP = 65534
# Not a program of coreutils: those close stderr before they end.
PROGRAM = [os.path.join(BUILD, "tests", "exit_handlers")]
SAYS = "atexit: good\ndestructor: good\n"


def run(args, conf):
    env = dict(os.environ, LC_ALL="C", MOLEHILL_CONF=conf)
    env.pop("LD_PRELOAD", None)
    return subprocess.run(args, env=env, capture_output=True, text=True, timeout=60, check=False)


def unwritable_stats(place):
    for path in ("/nonexistent/x", place.path, "/dev/full"):
        done = run(PROGRAM, f"stats:{path}")
        case(done.returncode == 0 and done.stdout == SAYS,
             f"stats:{path}: ends with {done.returncode}: {done.stdout}")
        case(done.stderr == f"molehill: the counters cannot be written to {path}\n",
             f"stats:{path}: says {done.stderr!r}")
    done = run(PROGRAM, f"stats:{place.file('good')}")
    case(done.stderr == "" and len(figures(place.file("good"))) == 1, "stats is not written")


def unknown_keys(place):
    """All of it is ignored then, what comes before included; it says from where on."""
    stats = place.file("ignored")
    good = f"stats:{stats},"
    for conf, bad in (("foo:3", "foo:3"), (good + "foo:3", "foo:3"),
                      (good + "compat:wine", "compat:wine"),
                      (f"purger:never,{good}", f"purger:never,{good}"),
                      (good + "calls", "calls"), (f"Stats:{stats}", f"Stats:{stats}"),
                      ("stats:", "stats:"), ("stats:/" + "x" * 5000, "stats:/" + "x" * 90)):
        done = run(PROGRAM, conf)
        start = f"molehill: MOLEHILL_CONF ignored, it has an unknown key or value: {bad}"
        case(done.returncode == 0 and done.stdout == SAYS,
             f"{conf[:60]}: ends with {done.returncode}: {done.stdout}")
        case(done.stderr.startswith(start) and done.stderr.count("\n") == 1
             and done.stderr.endswith("\n"), f"{conf[:60]}: says {done.stderr!r}")
        case(not os.path.exists(stats), f"{conf[:60]}: was not ignored")


def raised_privileges(place):
    """Nothing is read, and nothing said. The copy that is not raised shows that it would be."""
    compiler = need("cc")
    library = os.path.join(BUILD, "src")
    plain, raised = place.file("plain"), place.file("raised")
    for program in (plain, raised):
        subprocess.run([compiler, place.file("secure.c", SECURE), "-o", program, f"-L{library}",
                        "-lmolehill", f"-Wl,-rpath,{library}"], check=True, timeout=60)
    stats = place.file("secure.stats")
    done = run([plain], f"stats:{stats}")
    case(done.stdout == "secure 0\n" and len(figures(stats)) == 1, "the plain copy: no stats")
    os.remove(stats)
    try:
        os.chown(raised, -1, NOGROUP)
        os.chmod(raised, 0o2755)
    except OSError as error:
        skip(f"no program can be given other privileges here ({error}): AT_SECURE is not tested")
        return
    for conf in (f"stats:{stats}", f"foo:3,stats:{stats}"):
        done = run([raised], conf)
        if done.stdout == "secure 0\n":
            skip("privileges are not raised here (nosuid?): AT_SECURE is not tested")
            return
        case(done.returncode == 0 and done.stdout == "secure 1\n",
             f"{conf} with AT_SECURE: ends with {done.returncode}: {done.stdout}{done.stderr}")
        case(done.stderr == "" and not os.path.exists(stats),
             f"{conf} was read with AT_SECURE: {done.stderr}")


def benchmark_options():
    program = os.path.join(BUILD, "perf", "pair-malloc")
    if not os.path.exists(program):
        skip("the benchmarks are not built: their options are not tested")
        return
    args = [program, "pair", "glibc", "1", "1000", "reps=1", "budget_ms=1"]
    done = run(args + ["min=8", "max=64", "batch=4"], "")
    case(done.returncode == 0 and done.stdout.startswith("pair glibc 1 8-64 1000 "),
         f"known options: {done.returncode}: {done.stdout}{done.stderr}")
    for option in ("foo=3", "minimum=8", "mi=8", "min", "live=7", "no_serialize=1"):
        done = run(args + ["min=8", option], "")
        case(done.returncode == 1 and done.stdout == ""
             and done.stderr == f"perf: no such option: {option}\n",
             f"{option}: {done.returncode}: {done.stdout}{done.stderr}")


def main():
    with Scratch() as place:
        unwritable_stats(place)
        unknown_keys(place)
        raised_privileges(place)
        benchmark_options()
    end()


main()
