#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The spy top-sites: what it says of a program whose functions count what they allocate, exactly
when it sees every block, nearly when it sees a sample; by names that the program exports, that are
in its file only, or that were stripped; and that it refuses what it cannot do."""
import collections
import os
import re
import shutil
import subprocess

from _control import SECONDS, environment, molehill
from _preload import BUILD, Scratch, case, end, need

SPY = os.path.join(BUILD, "src", "top-sites.so")
PROGRAM = os.path.join(BUILD, "tests", "sites")
HEAD = (r"top-sites: \d+\.\d s, 1 of (\d+) bytes sampled, (\d+) blocks seen; "
        r"about (.*) allocated, (.*) of it live")
ROW = r" *(\d+) +(.*) allocated +(.*) live +(\d+) blocks"
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NAMES = {"in_the_file_only": "(anonymous namespace)::in_the_file_only(unsigned long)",
         "grab": "grabber::grab(unsigned long)", "grow": "grow"}
Figures = collections.namedtuple("Figures", "bytes live blocks")
# How far off a sample of one byte in 65536 may be: more than seven times its standard deviation.
SAMPLED = 0.15


class Program:
    def __init__(self, place, path):
        self.process = subprocess.Popen(
            [path], env=environment(f"control:{place.file('%p')}"), cwd=place.path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        place.processes.append(self.process)
        self.process.stdout.readline()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def work(self):
        """What its functions say they did: name -> Figures, as asked for and as usable."""
        self.tell("work")
        asked, usable = {}, {}
        while (line := self.process.stdout.readline().split()) != ["done"]:
            name, numbers = line[0], list(map(int, line[1:]))
            asked[name] = Figures(numbers[0], numbers[1], numbers[4])
            usable[name] = Figures(numbers[2], numbers[3], numbers[4])
        return asked, usable

    def end(self):
        self.process.communicate("end\n", timeout=SECONDS)
        case(self.process.returncode == 0, f"the program ends with {self.process.returncode}")


def size(text):
    number, unit = text.split()
    return float(number) * UNITS[unit]


def parse(report):
    """Sampled bytes, blocks seen; and the rows: (Figures, names of the frames)."""
    lines = report.splitlines()
    head = re.fullmatch(HEAD, lines[0])
    case(head is not None, f"the report begins with {lines[0]!r}")
    rows = []
    for line in lines[1:]:
        row = re.fullmatch(ROW, line)
        if row:
            rows.append((Figures(size(row[2]), size(row[3]), int(row[4])), []))
        elif line:
            rows[-1][1].append(line.strip())
    return int(head[1]), int(head[2]), rows


def spied(place, path, *arguments, fork=False):
    """What the program did with the spy attached: what it says, what the spy says."""
    program = Program(place, path)
    said = molehill("attach", program.process.pid, SPY, *arguments)
    case(said.stdout.endswith(" top-sites\n"), f"attach: {said}")
    if fork:
        program.tell("fork")
        case(program.process.stdout.readline() == "7\n", "a child under the spy does not end well")
    counted = program.work()
    done = molehill("detach", program.process.pid, "top-sites")
    case(done.returncode == 0 and done.stderr == "", f"detach: {done}")
    program.end()
    return counted, parse(done.stdout)


def sum_of(rows, name):
    """All that was allocated from the function."""
    mine = [row for row, names in rows
            if any(re.fullmatch(re.escape(name) + r"\+0x[0-9a-f]+ \(sites\w*\)", frame)
                   for frame in names[:1])]
    return Figures(*map(sum, zip(*mine))) if mine else Figures(0, 0, 0)


def compare(counted, rows, share, what):
    for name, own in counted.items():
        seen = sum_of(rows, NAMES[name])
        for key in ("bytes", "live", "blocks"):
            a, b = getattr(own, key), getattr(seen, key)
            case(abs(a - b) <= share * a, f"{what}: {name} has {a} {key}, the spy says {b}")


def exact_and_sampled(place):
    (_, counted), (sample, seen, rows) = spied(place, PROGRAM, "sample:1", "top:50", "depth:3",
                                               fork=True)
    case(sample == 1 and seen >= sum(own.blocks for own in counted.values()),
         f"sample:1 has seen {seen} blocks")
    compare(counted, rows, 0.002, "every block")
    case(sum_of(rows, "shrink_to").blocks == 0, "blocks that shrink are told of as allocated")
    case(all(len(names) <= 3 for _, names in rows), "depth:3 is not kept")
    (counted, _), (sample, seen, rows) = spied(place, PROGRAM, "sample:65536", "top:50")
    case(sample == 65536 and seen > 1000, f"sample:{sample} has seen {seen} blocks")
    figures = {name: own for name, own in counted.items() if own.bytes > 65536 * 2500}
    case(len(figures) == 2, f"too little is allocated: {counted}")
    compare(figures, rows, SAMPLED, "a sample")


def order(place):
    for arguments, key in (((), "bytes"), (("by:live",), "live")):
        _, (_, _, rows) = spied(place, PROGRAM, "sample:4096", "top:4", *arguments)
        values = [getattr(row, key) for row, _ in rows]
        case(len(values) == 4 and values == sorted(values, reverse=True),
             f"{arguments}: the order is {values}")


def stripped(place):
    """No name, but an offset in the file, for what is not exported."""
    path = place.file("sites_bare")
    shutil.copy(PROGRAM, path)
    subprocess.run([need("strip"), path], check=True, timeout=60)
    (counted, _), (_, _, rows) = spied(place, path, "sample:4096", "top:50")
    for name in ("grab", "grow"):
        case(sum_of(rows, NAMES[name]).bytes > counted[name].bytes / 2, f"{name} has no name")
    case(sum_of(rows, NAMES["in_the_file_only"]).blocks == 0, "it is not stripped")
    case(any(re.fullmatch(r"sites_bare\+0x[0-9a-f]+", names[0]) for _, names in rows if names),
         f"no offset in {rows}")


def refused(place):
    program = Program(place, PROGRAM)
    for words in (["sample:0"], ["sample:"], ["sample:x"], ["sample:-1"], ["sample:1x"],
                  ["top:0"], ["top:1001"], ["depth:25"], ["depth:0"], ["by:size"], ["top"],
                  ["top:3", "nonsense"], ["sample:99999999999999999999"], ["x" * 600]):
        done = molehill("attach", program.process.pid, SPY, *words)
        case(done.returncode == 1 and done.stderr.count("\n") == 1
             and "did not start: " in done.stderr, f"{words}: {done}")
    program.end()


def main():
    with Scratch() as place:
        exact_and_sampled(place)
        order(place)
        stripped(place)
        refused(place)
    end()


main()
