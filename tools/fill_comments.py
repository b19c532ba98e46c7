#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fill comments of C files: break their lines that are too long, and move the rest on.

usage: fill_comments.py [--check] FILE...
       fill_comments.py --self-test

clang-format would run tables and lists into each other. Here only what is too long moves: in
prose to the next line of the same paragraph, in a list ('  key   text') to a line below the
text. Rows of tables and comments behind code stay as they are, for a person to shorten; with
--check, and in the house test `lengths`, they are errors. Exit status 1 when a file changed.
"""
import re
import sys

COLUMNS = 90

ONE_LINE = re.compile(r"^(\s*)/\* (.*) \*/$")
PROSE = re.compile(r"^(\s*\* )(\S.*)$")
ITEM = re.compile(r"^(\s*\*\s{2,}\S+(?: \S+)*?\s{2,}|\s*\*\s{2,})(\S.*)$")
# A line that begins so continues no paragraph.
LEADER = re.compile(r"^[A-Z][\w ]{0,30}:( |$)|^(Why|May) ")


def split(text, room):
    """What fits, and the rest; or all of it and nothing where no blank is in reach."""
    at = text.rfind(" ", 0, room + 1)
    return (text, "") if at < 0 else (text[:at], text[at + 1:])


def continues(prefix, following):
    """Whether the following line is more of the same paragraph: its text, or None."""
    if not following.startswith(prefix):
        return None
    text = following[len(prefix):]
    if not text or text[0] == " " or LEADER.match(text) or text == "/":
        return None
    return text


def fill_line(lines, number):
    """Break lines[number], moving its end to the next line or into a new one."""
    line = lines[number]
    match = ITEM.match(line) or PROSE.match(line)
    cells = re.split(r"\s{2,}", line.lstrip(" *"))
    is_table = len(cells) > 2 or cells[0].startswith("HB-") or re.match(r"\s*\* {40}", line)
    if not match or is_table:
        return
    first, text = match.groups()
    star = line.index("*")
    below = line[:star + 1] + " " * (len(first) - star - 1)
    kept, rest = split(text, COLUMNS - len(first))
    if not rest:
        return
    lines[number] = first + kept
    more = continues(below, lines[number + 1]) if number + 1 < len(lines) else None
    if more is not None and ITEM.match(line) and ITEM.match(lines[number + 1]) is None:
        more = None
    if more is None:
        lines.insert(number + 1, below + rest)
    else:
        lines[number + 1] = below + rest + " " + more


def fill(text):
    lines, number = text.split("\n"), 0
    while number < len(lines):
        if len(lines[number]) > COLUMNS:
            one = ONE_LINE.match(lines[number])
            if one:
                indent, words = one.groups()
                lines[number:number + 1] = [f"{indent}/*", f"{indent} * {words}", f"{indent} */"]
                continue
            fill_line(lines, number)
        number += 1
    return "\n".join(lines)


WORDS = "word " * 16 + "word"     # 84 columns


def self_test():
    item = "     *   orders   "
    cases = [
        (f"/* {WORDS} */", f"/* {WORDS} */"),
        (f"/* {WORDS} more */", f"/*\n * {WORDS}\n * more\n */"),
        (f"    /* {WORDS} more */", None),
        (f" * {WORDS} more\n * next line\n */", f" * {WORDS}\n * more next line\n */"),
        (f" * {WORDS} more\n * Progress: none\n", f" * {WORDS}\n * more\n * Progress: none\n"),
        (f" * {WORDS} more\n *\n * next\n", f" * {WORDS}\n * more\n *\n * next\n"),
        (f"{item}{WORDS[:69]} more\n     *   keeps    it\n",
         f"{item}{WORDS[:69]}\n     *            more\n     *   keeps    it\n"),
        (f"{item}{WORDS[:69]} more\n     *            text\n",
         f"{item}{WORDS[:69]}\n     *            more text\n"),
        (f" *  HB-X-1   push: CAS    take: swap    {WORDS}", None),
        (f"code({WORDS});", None),
    ]
    for text, expected in cases:
        got = fill(text)
        if expected is None:
            if text.lstrip().startswith("/*"):
                expected = "    /*\n     * " + WORDS[:79] + "\n     * word more\n     */"
            else:
                expected = text
        if got != expected:
            sys.exit(f"fill_comments.py: self-test: {text!r} became {got!r}, not {expected!r}")
    return len(cases)


def main():
    args = sys.argv[1:]
    if args == ["--self-test"]:
        print(f"{self_test()} passed, 0 failed, 0 skipped")
        return
    only_check = args[:1] == ["--check"]
    changed = 0
    for path in args[only_check:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        filled = fill(text)
        if filled == text:
            continue
        changed += 1
        if only_check:
            print(f"{path}: a comment is wider than {COLUMNS} columns")
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(filled)
    sys.exit(1 if changed and only_check else 0)


main()
