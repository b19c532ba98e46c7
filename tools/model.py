#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the models of the lock-free protocols, models/*.pml, by spin, and the programs of
models/weak by GenMC where it is installed.

usage: model.py [--root DIR] [NAME...]
       model.py --accept          the models have been compared with the sources as they are
       model.py --self-test

The comment at a model's top names its variants, a line each; FLAG becomes -DFLAG, `-` is none:

  correct FLAG...: text    the search must be complete and find nothing, and each statement of
                           the model must be reached in one of these
  broken  FLAG...: text    the search must find a violated assertion
  stuck   FLAG...: text    the search must find threads that wait for ever

and what it was made from, see mirrors.py. The last line is `N passed, M failed, K skipped`.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

import mirrors
import sources

# Of one search. No model comes near; a search that does has failed.
DEPTH = 50_000
MEGABYTES = 2_000
SECONDS = 600

ROW = re.compile(r"^ \*\s+(correct|broken|stuck)\s+([A-Z0-9_= -]+?):\s+(\S.*)$", re.M)
WRONG = {"broken": "assertion violated", "stuck": "invalid end state"}

Variant = namedtuple("Variant", "path kind flags text")
Outcome = namedtuple("Outcome", "problem states depth seconds unreached", defaults=(0, 0, 0, ()))


def name_of(path):
    return os.path.splitext(os.path.basename(path))[0]


def variants_of(root, path):
    return [Variant(path, kind, tuple(flags.replace("-", "").split()), text)
            for kind, flags, text in ROW.findall(mirrors.head_of(sources.read(root, path)))]


# --- spin -----------------------------------------------------------------------------------


def run(command, folder, seconds):
    """(what it printed, exit status; None: it took too long)."""
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return "", None
    return done.stdout, done.returncode


def judge(output, kind):
    """What is wrong with pan's search, None if nothing is; and its states and depth."""
    summary = re.search(r"^State-vector .* depth reached (\d+).*errors: (\d+)", output, re.M)
    states = re.search(r"^\s*(\S+) states, stored", output, re.M)
    if not summary or not states:
        return "no search: " + " ".join(output.split())[-300:], 0, 0
    error = re.search(r"^pan:1: (assertion violated|invalid end state)", output, re.M)
    error = error.group(1) if error else ""
    figures = int(float(states.group(1))), int(summary.group(1))
    has_error = summary.group(2) != "0"
    if kind != "correct":
        if not has_error:
            return "accepted, though it is broken", *figures
        wanted = WRONG[kind]
        if error == wanted:
            return None, *figures
        error = error or " ".join(re.findall(r"^pan:1.*", output, re.M))[:200]
        return f"rejected for '{error}', not '{wanted}'", *figures
    if has_error:
        return f"rejected: {error or 'for some reason'}", *figures
    # All of these come with errors: 0.
    if (re.search(r"not completed|too small|out of memory|memory limit|-[mw]\d+ *reduced|aborted",
                  output) or "Full statespace search" not in output or
            len(re.findall(r"(?:assertion violations|invalid end states)\s+\+", output)) != 2):
        return "the search is incomplete", *figures
    return None, *figures


def unreached_in(table, output):
    """Lines of the model none of whose statements was reached, whichever process they are in."""
    statements, process = {}, ""
    for line in table.splitlines():
        if line.startswith(("proctype ", "init")):
            process = line.split()[-1]
        found = re.match(r"\tstate +(\d+) -.*?\] \S*?([\w.]+:\d+) => (?!-end-)", line)
        if found:
            statements.setdefault((process, found.group(1)), set()).add(found.group(2))
    missed = set()
    for process, lines in re.findall(r"^unreached in (?:proctype )?(\S+)\n((?:\t.*\n)*)", output,
                                     re.M):
        for state in re.findall(r"^\t\S+:\d+, state (\d+),", lines, re.M):
            missed |= statements.pop((process, state), set())
    return missed.difference(*statements.values())


def search(root, variant):
    begin = time.monotonic()
    defines = ["-D" + flag for flag in variant.flags]
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        output, status = run(["spin", "-a", *defines, os.path.join(root, variant.path)], folder, 60)
        if status != 0 or "rror:" in output or not os.path.exists(folder + "/pan.c"):
            return Outcome("spin refuses it: " + " ".join(output.split())[:300])
        # Optimizing takes longer than it saves; so does spin's packing of states (COLLAPSE).
        compiler = "clang" if shutil.which("clang") else "gcc"
        output, status = run([compiler, "-O0", "-w", "-DSAFETY", "-DNOFAIR",
                              f"-DMEMLIM={MEGABYTES}", "-o", "pan", "pan.c"], folder, 120)
        if status != 0:
            return Outcome("the compiler refuses it: " + " ".join(output.split())[:300])
        table = run(["./pan", "-d"], folder, 60)[0]
        output, status = run(["./pan", f"-m{DEPTH}", "-w24"], folder, SECONDS)
    if status is None:
        return Outcome(f"the search is incomplete after {SECONDS} s")
    problem, states, depth = judge(output, variant.kind)
    return Outcome(problem, states, depth, time.monotonic() - begin, unreached_in(table, output))


# --- GenMC ----------------------------------------------------------------------------------


def explore(root, variant):
    begin = time.monotonic()
    flags = ["-D" + flag for flag in variant.flags]
    output, status = run(["genmc", "--rc11", "--", "-DBY_GENMC", *flags,
                          os.path.join(root, variant.path)], root, SECONDS)
    seconds = time.monotonic() - begin
    explored = re.search(r"complete executions explored: (\d+)", output)
    executions = int(explored.group(1)) if explored else 0
    problem = None
    if status is None:
        problem = f"the search is incomplete after {SECONDS} s"
    elif variant.kind == "correct" and (status != 0 or not executions):
        problem = "rejected: " + " ".join(output.split())[-300:]
    elif variant.kind != "correct" and not re.search(r"violation|data race|[Nn]on-atomic race",
                                                     output):
        problem = "accepted, though it is broken" if status == 0 else (
            "rejected for no violation: " + " ".join(output.split())[-300:])
    return Outcome(problem, executions, 0, seconds)


# --- all of it ------------------------------------------------------------------------------


def verdict(variant, outcome):
    if outcome.problem:
        return "FAILED: " + outcome.problem
    if variant.kind == "correct":
        return "correct: checked exhaustively"
    return "rejected, as it must be"


def check_rows(path, variants):
    broken = sum(variant.kind != "correct" for variant in variants)
    if broken < 2 or broken == len(variants):
        yield f"{path}: has {len(variants) - broken} correct and {broken} broken variants"


def check(root, paths, method, what):
    """Print a line for each variant. (how many passed, problems)."""
    variants = [variant for path in paths for variant in variants_of(root, path)]
    problems = []
    for path in paths:
        problems += check_rows(path, [each for each in variants if each.path == path])
    unreached = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(lambda variant: method(root, variant), variants)
        for variant, outcome in zip(variants, outcomes):
            name = " ".join([name_of(variant.path), variant.kind, *variant.flags])
            print(f"{name:44} {outcome.states:8} {what}  depth {outcome.depth:4} "
                  f"{outcome.seconds:6.1f} s  {verdict(variant, outcome)} ({variant.text})",
                  flush=True)
            if outcome.problem:
                problems.append(f"{name}: {outcome.problem}")
            elif variant.kind == "correct":
                before = unreached.setdefault(variant.path, set(outcome.unreached))
                before &= set(outcome.unreached)
    for path, statements in unreached.items():
        problems += [f"{path}: no correct variant reaches {place}" for place in sorted(statements)]
    return len(variants), problems


def models_of(root, names):
    """Paths of the models, spin's and GenMC's, that have these names; without names all."""
    names = [name_of(name) for name in names]
    found = [path for path in sources.files(root, "models", endings=(".pml", ".c"))
             if not names or name_of(path) in names]
    spin = [path for path in found if path.endswith(".pml") and
            (variants_of(root, path) or not is_included(root, path))]
    return spin, [path for path in found if path.endswith(".c")]


def is_included(root, path):
    return any(f'#include "{os.path.basename(path)}"' in sources.read(root, other)
               for other in sources.files(root, "models", endings=(".pml",)))


def check_all(root, names):
    spin, weak = models_of(root, names)
    if not spin and not weak:
        sys.exit("model.py: no such model: " + " ".join(names or ["any"]))
    problems = [] if names else list(mirrors.problems_of(root))
    count = skipped = 0
    if spin and not shutil.which("spin"):
        print("SKIPPED: spin is not installed: the models are not checked")
        skipped += len(spin)
    else:
        count, more = check(root, spin, search, "states")
        problems += more
    if weak and not shutil.which("genmc"):
        print("SKIPPED: genmc is not installed: models/weak is not checked under weak memory")
        skipped += 1
    elif weak:
        more_count, more = check(root, weak, explore, "executions")
        count += more_count
        problems += more
    report(count, problems, skipped)


def report(count, problems, skipped=0):
    for problem in problems:
        print(f"model.py: {problem}")
    print(f"{max(count - len(problems), 0)} passed, {len(problems)} failed, {skipped} skipped")
    sys.exit(1 if problems else 0)


TOY = """/* SPDX-License-Identifier: MIT */
/*
 *   correct  -:           adds
 *   broken   TWICE:       adds too much
 *   stuck    NEVER MORE:  waits for what nobody does
 */
byte count;
active proctype toy()
{
    count = count + 1;
#ifdef TWICE
    count = count + 1;
#endif
#ifdef NEVER
    count == 0;
#endif
    assert(count == 1)
}
"""
ENDLESS = "    do\n    :: deep < 60000 -> deep++\n    :: else -> break\n    od;\n"


def self_test():
    """Each case: (toy model, part of a problem that must be found; None: none is)."""
    cases = [
        (TOY, None),
        (TOY.replace("count == 1)", "count == 2)"), "toy correct: rejected: assertion violated"),
        (TOY.replace("count == 1)", "count <= 2)"), "toy broken TWICE: accepted"),
        (TOY.replace("count == 0;", "skip;"), "toy stuck NEVER MORE: accepted"),
        (TOY.replace("stuck ", "broken"), "rejected for 'invalid end state', not 'assertion"),
        (TOY.replace("active proctype", "active prototype"), "toy correct: spin refuses it"),
        (TOY.replace("count == 1)", "count = = 1)"), "toy broken TWICE: spin refuses it"),
        (TOY.replace("{\n", "{\n    c_code { no such type; };\n"),
         "toy correct: the compiler refuses it"),
        (TOY.replace("byte count;", "byte count; int deep;")
            .replace("    assert", ENDLESS + "    assert"), "correct: the search is incomplete"),
        (TOY.replace("{\n", "{\n    if\n    :: count == 7 ->\ncount = 9\n:: else\nfi;\n"),
         "no correct variant reaches toy.pml:12"),
        (TOY.replace("broken", "cracked"), "has 1 correct and 1 broken variants"),
    ]
    for model, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            plant(root, {"models/toy.pml": model})
            problems = quietly(check, root, ["models/toy.pml"], search, "states")[1]
            expect(problems, expected, model)
    return len(cases)


def quietly(function, *arguments):
    kept, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")
    try:
        return function(*arguments)
    finally:
        sys.stdout.close()
        sys.stdout = kept


def plant(root, files):
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
            file.write(text)


def expect(problems, expected, what):
    if expected is None and problems:
        sys.exit(f"model.py: self-test: {problems} in {what}")
    if expected is not None and not any(expected in problem for problem in problems):
        sys.exit(f"model.py: self-test: {expected!r} is not in {problems} of {what}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    root = os.path.abspath(arguments.root)
    if arguments.accept:
        print(mirrors.accept(root))
    elif not arguments.self_test:
        check_all(root, arguments.names)
    elif shutil.which("spin"):
        report(self_test(), [])
    else:
        print("SKIPPED: spin is not installed: no self-test")
        report(0, [], 1)


main()
