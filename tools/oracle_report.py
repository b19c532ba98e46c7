# SPDX-License-Identifier: MIT
"""The comparer of tools/oracle.py: two reports of one program, line by line, and the table of
the differences that may be."""
import collections
import re
import tomllib

MOST_ROWS = 12
MOST_PROBLEMS = 5       # told of one comparison
CONTEXT = 4             # lines told before a difference
KEYS = ("call", "class", "wine", "molehill", "evidence")
EVIDENCE = re.compile(r"\b(C-\d+|case \d+)\b")
STATED = "as stated"
SPEC = "spec: "         # in the arguments: what molehill's outcome must be, whatever Wine's is

Row = collections.namedtuple("Row", "call input wine molehill evidence")


class Table:
    """What may differ, and what of it was met."""

    def __init__(self, text):
        self.problems = []
        self.rows = {}
        self.met = collections.Counter()
        for number, row in enumerate(tomllib.loads(text).get("difference", []), 1):
            self.add(number, row)
        if len(self.rows) > MOST_ROWS:
            self.problems.append(f"{len(self.rows)} rows, {MOST_ROWS} are the most")

    def add(self, number, row):
        if sorted(row) != sorted(KEYS):
            self.problems.append(f"row {number} has {sorted(row)}, not {sorted(KEYS)}")
            return
        row = Row(*(row[key] for key in KEYS))
        if not EVIDENCE.search(row.evidence):
            self.problems.append(f"row {number} names no C-n and no case as evidence")
        if row[:2] in self.rows:
            self.problems.append(f"row {number} is of {row[0]}, {row[1]} once more")
        if row.wine == row.molehill or row.input == "ordinary":
            self.problems.append(f"row {number} is of nothing in particular")
        self.rows[row[:2]] = row

    def allows(self, line, wine, molehill):
        row = self.rows.get((line.call, line.input))
        if not row or row.wine != wine:
            return False
        if molehill != row.molehill and row.molehill != STATED:
            return False
        self.met[row[:2]] += 1
        return True

    def stale(self):
        return [f"stale: nothing differs as the row of {call}, {input_} says"
                for call, input_ in self.rows if not self.met[call, input_]]


Line = collections.namedtuple("Line", "number call input arguments outcome")


def parse(text):
    """(lines, whether the report is whole) of what a program printed."""
    lines = []
    for row in text.replace("\r\n", "\n").split("\n"):
        parts = row.split("\t")
        if len(parts) == 2 and parts[0] == "end":
            return lines, parts[1] == str(len(lines))
        if len(parts) != 5:
            return lines, False
        lines.append(Line(*parts))
    return lines, False


def is_as_stated(line):
    return SPEC not in line.arguments or line.arguments.rpartition(SPEC)[2] == line.outcome


def say(line, outcome=None):
    arguments = f" ({line.arguments})" if line.arguments else ""
    return f"{line.number} {line.call} [{line.input}]{arguments} -> {outcome or line.outcome}"


def differ(name, lines, index, wine, molehill, problems):
    if len(problems) >= MOST_PROBLEMS:
        return
    before = [f"      {say(line)}" for line in lines[max(0, index - CONTEXT):index]]
    problems.append("\n".join([f"{name}, line {index + 1}: {say(lines[index])}", *before,
                               f"    Wine:     {wine}", f"    molehill: {molehill}"]))


def compare(name, wine_text, molehill_text, table, counts):
    """(number of lines, of differences, problems). `counts`: of lines by call and class."""
    wine, wine_is_whole = parse(wine_text)
    molehill, molehill_is_whole = parse(molehill_text)
    problems, differences, bad = [], 0, 0
    for index, (theirs, ours) in enumerate(zip(wine, molehill)):
        counts[ours.call, ours.input] += 1
        if theirs == ours and is_as_stated(ours):
            continue
        if theirs[:4] != ours[:4]:
            differ(name, wine, index, say(theirs), say(ours), problems)
            problems.append(f"{name}: from there on the two programs ask different questions")
            break
        if is_as_stated(ours) and table.allows(ours, theirs.outcome, ours.outcome):
            differences += 1
        else:
            bad += 1
            differ(name, wine, index, theirs.outcome, ours.outcome, problems)
    if bad > MOST_PROBLEMS:
        problems.append(f"{name}: {bad} differences that are in no row, in all")
    for who, lines, is_whole in (("Wine", wine, wine_is_whole),
                                 ("molehill", molehill, molehill_is_whole)):
        if not is_whole:
            problems.append(f"{name}: on {who} it ends early, after "
                            + (say(lines[-1]) if lines else "nothing"))
    if not problems and len(wine) != len(molehill):
        problems.append(f"{name}: {len(wine)} lines on Wine, {len(molehill)} on molehill")
    return min(len(wine), len(molehill)), differences, problems


# What --time must show, unless the machine is busy: (what, whether so, what is wanted).
TIMES = [
    ("HeapAlloc, HeapFree of 64 bytes", lambda wine, ours: wine >= 6 * ours,
     "at least 6 times as fast as Wine's"),
    ("HeapWalk of 1 000 000 blocks", lambda wine, ours: ours < 100, "less than 100 ms"),
]


def judge_times(times, load, processors):
    """(problems, remarks). `times`: of Wine and of molehill, by what was measured."""
    missed = []
    for what, is_so, wanted in TIMES:
        if what not in times:
            return [f"{what}: not measured"], []
        wine, ours = times[what]
        if not is_so(wine, ours):
            missed.append(f"{what}: {ours:.1f}, Wine's {wine:.1f}; wanted: {wanted}")
    if load < processors:
        return missed, []
    busy = f"; the machine was busy: load {load:.1f}, {processors} processors"
    return [], [each + busy for each in missed] or ["the times are good" + busy]


# --- self-test ------------------------------------------------------------------------------

TABLE = """
[[difference]]
call = "HeapReAlloc"
class = "null-block"
wine = "NULL; error kept"
molehill = "NULL; error 0"
evidence = "C-18"
[[difference]]
call = "HeapSetInformation"
class = "refused"
wine = "TRUE"
molehill = "as stated"
evidence = "case 68"
"""
USUAL = ["HeapReAlloc\tnull-block\t\tNULL; error {}", "HeapSize\tordinary\tslot 7\t{}",
         "HeapSetInformation\trefused\tclass 0; spec: {}\t{}"]


def report(*outcomes, rows=None, end="end\t{}\n"):
    first, second, third = outcomes
    rows = rows or [USUAL[0].format(first), USUAL[1].format(second),
                    USUAL[2].format("FALSE; error 31", third)]
    text = "".join(f"{number}\t{row}\n" for number, row in enumerate(rows, 1))
    return text + end.format(len(rows))


WINE = report("kept", "27", "TRUE")
GOOD = report("0", "27", "FALSE; error 31")
COMPARED = [
    # Wine's report, molehill's, what must be among the problems
    (WINE, GOOD, None),
    (WINE.replace("\n", "\r\n"), GOOD, None),
    (WINE, report("0", "26", "FALSE; error 31"), "line 2: 2 HeapSize [ordinary] (slot 7) -> 27"),
    (WINE, report("87", "27", "FALSE; error 31"), "molehill: NULL; error 87"),
    (WINE, report("0", "27", "FALSE; error 32"), "molehill: FALSE; error 32"),
    (report("8", "27", "TRUE"), GOOD, "Wine:     NULL; error 8"),
    (WINE, GOOD.replace("slot 7", "slot 8"), "different questions"),
    (WINE, GOOD.replace("end\t3\n", ""), "on molehill it ends early, after 3 HeapSet"),
    (WINE.replace("end\t3\n", ""), GOOD, "on Wine it ends early"),
    (WINE, GOOD.replace("end\t3", "end\t4"), "on molehill it ends early"),
    (WINE, "", "after nothing"),
    ("", "", "after nothing"),
    (WINE, "1\tHeapReAlloc\tnull-block\t\tNULL; error 0\nend\t1\n", "3 lines on Wine, 1"),
    (WINE, report("0", "27", "TRUE"), "molehill: TRUE"),
    (WINE, WINE.replace("kept", "0"), "molehill: TRUE"),
    (WINE, GOOD.replace("error 0", "error kept"), "stale"),
]
ROW = TABLE[:TABLE.index("[[", 5)]
TABLES = [
    (TABLE, None),
    (ROW.replace("C-18", "it is said"), "no C-n"),
    (ROW + ROW, "once more"),
    (ROW.replace('"null-block"', '"ordinary"'), "nothing in particular"),
    (ROW.replace("error 0", "error kept"), "nothing in particular"),
    (ROW.replace("evidence", "reason"), "row 1 has"),
    ("".join(ROW.replace("null-block", f"class-{i}") for i in range(13)), "13 rows"),
]

PAIR, WALK = (row[0] for row in TIMES)
TIMED = [
    # pair on Wine and molehill, walk on both, load of 2 processors, problems, remarks
    ((60.0, 10.0), (50.0, 99.9), 1.9, None, None),
    ((59.0, 10.0), (50.0, 30.0), 1.9, "64 bytes: 10.0, Wine's 59.0; wanted: at least 6", None),
    ((60.0, 10.0), (900.0, 100.0), 0.0, "blocks: 100.0, Wine's 900.0; wanted: less", None),
    ((59.0, 10.0), (50.0, 30.0), 2.0, None, "64 bytes: 10.0, Wine's 59.0; wanted: at least 6"),
    ((60.0, 10.0), (50.0, 100.0), 7.5, None, "less than 100 ms; the machine was busy: load 7.5"),
    ((60.0, 10.0), (50.0, 30.0), 2.0, None, "good; the machine was busy"),
    ((60.0, 10.0), None, 1.0, "HeapWalk of 1 000 000 blocks: not measured", None),
    (None, (50.0, 30.0), 9.0, "64 bytes: not measured", None),
]


def self_test():
    for wine, molehill, expected in COMPARED:
        table = Table(TABLE)
        problems = compare("self", wine, molehill, table, collections.Counter())[2]
        problems += [] if problems else table.stale()
        expect(problems, expected, (wine, molehill))
    for text, expected in TABLES:
        expect(Table(text).problems, expected, text)
    for pair, walk, load, *expected in TIMED:
        times = {what: both for what, both in ((PAIR, pair), (WALK, walk)) if both}
        for said, wanted in zip(judge_times(times, load, 2), expected):
            expect(said, wanted, (pair, walk, load))
    return len(COMPARED) + len(TABLES) + len(TIMED)


def expect(problems, expected, what):
    if expected is None and problems:
        raise SystemExit(f"oracle.py: self-test: {problems} in {what}")
    if expected is not None and not any(expected in problem for problem in problems):
        raise SystemExit(f"oracle.py: self-test: {expected!r} is not in {problems} of {what}")
