#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Add up the cases of test runs from meson's JSON logs.

usage: tally.py [--spec | --failures] LOG.json...
       tally.py --self-test

A test tells how many cases it ran by Criterion's synthesis line or by a line
`N passed, M failed, K skipped`; one that tells nothing is one case. With --spec, count the
numbered cases of the specification (Criterion tests named case_NNN_...) instead; with
--failures, print the output of the tests that failed.
The last line of output is `N passed, M failed, K skipped`; exit status 1 when any failed.
"""
import json
import re
import sys

PLAIN = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped\s*$", re.M)
SYNTHESIS = re.compile(
    r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
SKIPPED = re.compile(r"^\[SKIP\]", re.M)
CASE = re.compile(r"^\[(PASS|FAIL|SKIP)\] \S+?::case_(\d+)\w*", re.M)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def output_of(test):
    return COLOUR.sub("", (test.get("stdout") or "") + "\n" + (test.get("stderr") or ""))


def count(test):
    """(passed, failed, skipped) of one test of the log."""
    output, result = output_of(test), test.get("result", "ERROR")
    passed = failed = skipped = 0
    told = False
    for match in SYNTHESIS.finditer(output):
        told = True
        passed += int(match.group(2))
        failed += int(match.group(3))   # those that crashed included
    if told:
        skipped += len(SKIPPED.findall(output))
    else:
        plain = PLAIN.findall(output)
        if plain:
            told = True
            passed, failed, skipped = (int(number) for number in plain[-1])
    if result in ("OK", "EXPECTEDFAIL"):
        return (passed, failed, skipped) if told else (1, 0, 0)
    if result == "SKIP":
        return (passed, failed, max(skipped, 1))
    # Whatever the program says of itself, a bad end is at least one failure.
    return passed, max(failed, 1), skipped


def read(paths):
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if line.strip():
                        yield json.loads(line)
        except (OSError, ValueError) as error:
            print(f"tally.py: {path}: {error}", file=sys.stderr)
            yield {"name": path, "result": "ERROR", "stdout": ""}


def total(paths):
    sums = [0, 0, 0]
    for path in paths:
        counts = [count(test) for test in read([path])]
        # A lane in which nothing ran is no success.
        for more in counts or [(0, 1, 0)]:
            sums = [a + b for a, b in zip(sums, more)]
    return sums


def spec(paths):
    """A case passes when every test that names it, in every run, does."""
    cases = {}
    for test in read(paths):
        for result, number in CASE.findall(output_of(test)):
            cases.setdefault(int(number), []).append(result)
    failed = sorted(n for n, results in cases.items() if "FAIL" in results)
    skipped = sorted(n for n, results in cases.items()
                     if n not in failed and "PASS" not in results)
    for what, numbers in (("failed", failed), ("skipped", skipped)):
        if numbers:
            print(f"spec cases {what}:", *numbers)
    return [len(cases) - len(failed) - len(skipped), len(failed), len(skipped)]


def show_failures(paths):
    for test in read(paths):
        if count(test)[1] == 0:
            continue
        print(f"--- {test['name']}: {test.get('result')}, exit status {test.get('returncode')}")
        # What passed is of no interest; of a long output the end is.
        lines = [line for line in output_of(test).splitlines()
                 if line.strip() and not re.match(r"\[(PASS|RUN |SKIP)\]", line)]
        print("\n".join(lines[-60:]))


def self_test():
    def check(expected, **test):
        got = count(test)
        if got != expected:
            sys.exit(f"tally.py: self-test: {test} gave {got}, not {expected}")

    synthesis = "[====] Synthesis: Tested: 4 | Passing: 2 | Failing: 2 | Crashing: 1 \n"
    check((1, 0, 0), result="OK", stdout="hello")
    check((0, 1, 0), result="FAIL", stdout="hello")
    check((0, 1, 0), result="TIMEOUT")
    check((0, 0, 1), result="SKIP", stdout="")
    check((2, 2, 1), result="FAIL", stdout="[SKIP] a::b: why\n" + synthesis)
    check((2, 2, 0), result="FAIL", stdout="", stderr="\x1b[1m" + synthesis)
    check((7, 0, 2), result="OK", stdout="1 passed, 0 failed, 0 skipped\nx\n"
          "7 passed, 0 failed, 2 skipped\n")
    check((7, 1, 0), result="ERROR", stdout="7 passed, 0 failed, 0 skipped\n")
    check((3, 0, 1), result="SKIP", stdout="3 passed, 0 failed, 1 skipped\n")
    found = CASE.findall("[PASS] heap_free::case_020_second_free: (0.00s)\n[FAIL] a::b: x\n")
    if found != [("PASS", "020")]:
        sys.exit(f"tally.py: self-test: {found}")
    print("10 passed, 0 failed, 0 skipped")


def main():
    args = sys.argv[1:]
    if args == ["--self-test"]:
        self_test()
        return
    if args[:1] == ["--failures"]:
        show_failures(args[1:])
        return
    wants_spec = args[:1] == ["--spec"]
    paths = args[1:] if wants_spec else args
    if not paths:
        sys.exit(__doc__)
    passed, failed, skipped = spec(paths) if wants_spec else total(paths)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


main()
