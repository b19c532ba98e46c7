#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Add up the cases of test runs from meson's JSON logs.

usage: tally.py [--brief | --spec | --failures] LOG.json...
       tally.py --self-test

A test tells how many cases it ran by Criterion's synthesis line or by a line
`N passed, M failed, K skipped`; one that tells nothing is one case. Why cases were
skipped is printed first, a line a reason; --brief leaves that out. With --spec, count the
numbered cases of the specification (tests named case_NNN_...) of each mode instead, from logs
spec-MODE-SUITE.json: every number has to be there; with
--failures, print the output of the tests that failed.
The last line of output is `N passed, M failed, K skipped`; exit status 1 when any failed.
"""
import contextlib
import io
import json
import os
import re
import sys
import tempfile

PLAIN = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped\s*$", re.M)
SYNTHESIS = re.compile(
    r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
# Said by Criterion; by race programs (`NAME: SKIPPED: why`), and scripts (without NAME).
SKIPPED = re.compile(r"^\[SKIP\] (\S+?): (.*?)\s*$", re.M)
SKIPPED_PLAIN = re.compile(r"^(?:\w+: )?SKIPPED: (.*?)\s*$", re.M)
DISABLED = "left out by the lane's pattern, or disabled"
MOST_NAMES = 4
UNEXPLAINED = "NO REASON GIVEN"
CASE = re.compile(r"^\[(PASS|FAIL|SKIP)\] \S+?::(?:\w*?_)??case_(\d+)\w*", re.M)
SPEC_CASES = 153
MODES = {"compat": "compat:windows"}
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
    if not told:
        plain = PLAIN.findall(output)
        if plain:
            told = True
            passed, failed, skipped = (int(number) for number in plain[-1])
    # Each reason is a case, also where the program forgot to count it.
    skipped = max(skipped, len(given_reasons(test)))
    if result in ("OK", "EXPECTEDFAIL"):
        return (passed, failed, skipped) if told else (1, 0, skipped)
    if result == "SKIP":
        return (passed, failed, max(skipped, 1))
    # Whatever the program says of itself, a bad end is at least one failure.
    return passed, max(failed, 1), skipped


def given_reasons(test):
    """(reason, who) of each skipped case that says why."""
    output, name = output_of(test), test.get("name", "?").split(" / ")[-1]
    found = [(DISABLED if why.endswith(" is disabled") else why, who)
             for who, why in SKIPPED.findall(output)]
    return found + [(why, name) for why in SKIPPED_PLAIN.findall(output)]


def reasons(test):
    """(reason, who) of each skipped case: as many as count() says."""
    found = given_reasons(test)
    missing = count(test)[2] - len(found)
    why = UNEXPLAINED
    if test.get("result") == "SKIP":
        why += f" (exit status {test.get('returncode', '?')})"
    return found + [(why, test.get("name", "?").split(" / ")[-1])] * missing


def some(names):
    """The names, or the first of them and how many more there are."""
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def skip_lines(paths):
    """`skipped  5 x REASON (LANE: TESTS; LANE: TESTS)`, the most frequent first."""
    groups = {}
    for path in paths:
        lane = os.path.splitext(os.path.basename(path))[0]
        for test in read([path]):
            for why, who in reasons(test):
                groups.setdefault(why, []).append((lane, who))
    lines = []
    for why, places in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        lanes = {}
        for lane, who in places:
            lanes.setdefault(lane, {})[who] = None
        where = "; ".join(f"{lane}: {some(list(names))}" for lane, names in lanes.items())
        lines.append(f"skipped {len(places):2} x {why} ({where})")
    return lines


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


def cases_of(paths):
    """{number: results} of the specification's cases, and the tests that ended badly."""
    cases, bad = {}, []
    for test in read(paths):
        if test.get("result", "ERROR") not in ("OK", "SKIP", "EXPECTEDFAIL"):
            bad.append(test.get("name", "?"))
        for result, number in CASE.findall(output_of(test)):
            cases.setdefault(int(number), set()).add(result)
    return cases, bad


def spec_of(mode, paths):
    """Print a mode's line. A case passes when every test that names it does, and one did."""
    cases, bad = cases_of(paths)
    wanted = range(1, SPEC_CASES + 1)
    groups = {
        "failed": [n for n in wanted if "FAIL" in cases.get(n, ())],
        "skipped": [n for n in wanted if cases.get(n) == {"SKIP"}],
        "without a test": [n for n in wanted if n not in cases],
        "of no such number": sorted(set(cases) - set(wanted)),
    }
    missing = sum(len(numbers) for numbers in groups.values())
    passed = SPEC_CASES - missing + len(groups["of no such number"])
    print(f"{mode}: {passed} of {SPEC_CASES} cases passed")
    for what, numbers in groups.items():
        if numbers:
            print(f"{mode}: {what}:", *numbers)
    for name in bad:
        print(f"{mode}: ended badly: {name}")
    return passed, missing + len(bad)


def spec(paths):
    """Of each mode, which is the second part of a log's name."""
    modes = {}
    for path in paths:
        modes.setdefault(os.path.basename(path).split("-")[1], []).append(path)
    sums = [spec_of(MODES.get(mode, mode), modes[mode]) for mode in sorted(modes, reverse=True)]
    return [sum(passed for passed, _ in sums), sum(failed for _, failed in sums), 0]


def show_failures(paths):
    for test in read(paths):
        if count(test)[1] == 0:
            continue
        status = test.get("returncode")
        print(f"--- {test['name']}: {test.get('result')}, exit status {status}")
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
    check((3, 0, 2), result="OK", stdout="a: SKIPPED: x\na: SKIPPED: x\n"
          "3 passed, 0 failed, 1 skipped\n")
    found = CASE.findall("[PASS] heap_free::case_020_second: (0.00s)\n[FAIL] a::b: x\n")
    if found != [("PASS", "020")]:
        sys.exit(f"tally.py: self-test: {found}")
    return 11 + self_test_reasons(synthesis) + self_test_spec()


def self_test_spec():
    whole = "".join(f"[PASS] a::case_{n:03}_x: (0s)\n" for n in range(1, SPEC_CASES + 1))
    rows = [
        (153, 0, "OK", whole),
        (152, 1, "OK", whole.replace("[PASS] a::case_007", "[SKIP] a::case_007")),
        (152, 1, "OK", whole + "[FAIL] a::on_process_heap_case_009_x: (0s)\n"),
        (152, 1, "OK", whole.replace("case_010", "cause_010")),
        (153, 1, "OK", whole + "[PASS] a::case_154_x: (0s)\n"),
        (153, 1, "ERROR", whole),
        (0, 154, "ERROR", ""),
    ]
    for passed, failed, result, output in rows:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "spec-default-api.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"name": "a", "result": result, "stdout": output}, file)
            with contextlib.redirect_stdout(io.StringIO()) as said:
                got = spec([path])
        if got != [passed, failed, 0]:
            sys.exit(f"tally.py: self-test: {got}, not {passed}, {failed}: {said.getvalue()}")
    return len(rows)


def self_test_reasons(synthesis):
    lanes = {
        "gcc": [
            {"name": "m:race / fork", "result": "OK", "stdout": "fork: MOLE_SEED=1\n"
             "fork: SKIPPED: no ptrace: denied\n3 passed, 0 failed, 1 skipped\n"},
            {"name": "m:programs / run_git", "result": "OK",
             "stdout": "SKIPPED: git is not installed\n0 passed, 0 failed, 1 skipped\n"},
            {"name": "m:house / silent", "result": "SKIP", "returncode": 77},
            {"name": "m:race / shy", "result": "OK",
             "stdout": "1 passed, 0 failed, 2 skipped\n"},
        ],
        "tsan": [
            {"name": "m:race / fork", "result": "OK", "stdout":
             "fork: SKIPPED: no ptrace: denied\n3 passed, 0 failed, 1 skipped\n"},
            {"name": "m:unit / unit", "result": "OK", "stdout": "",
             "stderr": "[SKIP] a::b: \x1b[1mno ptrace: denied\n"
             "[SKIP] a::c: Test is disabled\n[SKIP] d::e: Suite is disabled\n"
             "[PASS] a::d: SKIPPED: no\n" + synthesis},
        ],
    }
    expected = [
        "skipped  3 x no ptrace: denied (gcc: fork; tsan: fork, a::b)",
        f"skipped  2 x {UNEXPLAINED} (gcc: shy)",
        f"skipped  2 x {DISABLED} (tsan: a::c, d::e)",
        f"skipped  1 x {UNEXPLAINED} (exit status 77) (gcc: silent)",
        "skipped  1 x git is not installed (gcc: run_git)",
    ]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for lane, tests in lanes.items():
            paths.append(os.path.join(folder, lane + ".json"))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.writelines(json.dumps(test) + "\n" for test in tests)
        got, sums = skip_lines(paths), total(paths)
    if got != expected or sums[2] != 9:
        sys.exit("tally.py: self-test: " + "\n".join(["reasons:", *got, str(sums)]))
    if (some(list("abcd")), some(list("abcde"))) != ("a, b, c, d", "a, b, c, d and 1 more"):
        sys.exit("tally.py: self-test: " + some(list("abcde")))
    return len(expected) + 1


def main():
    args = sys.argv[1:]
    if args == ["--self-test"]:
        print(f"{self_test()} passed, 0 failed, 0 skipped")
        return
    mode = args.pop(0) if args[:1] in (["--brief"], ["--spec"], ["--failures"]) else ""
    if not args:
        sys.exit(__doc__)
    if mode == "--failures":
        show_failures(args)
        return
    if not mode:
        for line in skip_lines(args):
            print(line)
    passed, failed, skipped = spec(args) if mode == "--spec" else total(args)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


main()
