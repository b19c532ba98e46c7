#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The pages of docs/reference, one a function, from the comments in include/molehill and the table
in docs/differences.md.

usage: reference.py [--update] [--self-test] [--root DIR]

Without --update it only tells which pages are not as it would write them, and what the comments
leave out: each function has a comment, that names every parameter, says what is returned and what
threads may call it.
"""
import argparse
import os
import re
import shutil
import sys
import tempfile
from collections import namedtuple

import sources

PAGES = "docs/reference"
DIFFERENCES = "docs/differences.md"
HEADERS = "include/molehill"
INTERFACES = {"IMalloc": "objidl.h", "IMallocSpy": "objidl.h"}
FIELDS = {"returns": "Returns", "errors": "Errors", "threads": "Threads", "progress": "Progress"}
UNSHOWN = {"spec"}      # sections of a description that does not come with the sources
# Functions that are parts of a macro, which has the description.
PARTS = {"mh_exception_enter": "MH_TRY", "mh_exception_leave": "MH_TRY"}
NOTE = "<!-- Written by tools/reference.py; what it says is said in the header. -->\n\n"

Function = namedtuple("Function", "name header declaration parameters is_void text fields")
ITEM = re.compile(r"^ {2,3}(\S+)(?: {2,}(\S.*)|)$")


def comment_lines(comment):
    """The lines of a block comment without its frame."""
    body = comment.strip()[2:-2]
    return [re.sub(r"^ \* ?", "", line).rstrip() for line in body.splitlines()] \
        if "\n" in body else [body.strip()]


def without_sections(lines):
    """Without what is said of the description's sections, which are not in the sources."""
    text = re.sub(r'\n"spec" below [^\n]*(\n[^\n]+)*|\bSpec \d([^.\n]|\.(?=\d))*\.',
                  "", "\n".join(lines))
    return text.split("\n")


def parse(lines):
    """[(kind, text or (name, [lines]))] of a comment: text, item, code, gap."""
    found = []
    for line in without_sections(lines):
        item = ITEM.match(line)
        indent = len(line) - len(line.lstrip())
        last = found[-1] if found else ("gap", "")
        if not line.strip():
            found.append(("gap", ""))
        elif item:
            found.append(("item", (item.group(1), [item.group(2)] if item.group(2) else [])))
        elif indent > 3 and last[0] == "item":
            last[1][1].append(line)
        elif indent >= 2:
            found.append(("code", line[2:]))
        else:
            found.append(("text", line.strip()))
    return found


def item_text(lines):
    """One paragraph; or several, where each begins further left than it goes on."""
    if not lines:
        return ""
    if not lines[0].startswith(" "):
        return " ".join(line.strip() for line in lines)
    least = min(len(line) - len(line.lstrip()) for line in lines)
    parts = []
    for line in lines:
        if len(line) - len(line.lstrip()) == least:
            parts.append(line.strip())
        else:
            parts[-1] += " " + line.strip()
    return "<br>".join(parts)


def declared_in(header, text):
    """[(comment lines or None, declaration)] of the functions of a header."""
    pattern = re.compile(r"/\*(?:[^*]|\*(?!/))*\*/\n?|(?:extern )?MH_API [^;]*;\n?|\n|[^\n]*\n")
    comment = None
    for match in pattern.finditer(text):
        piece = match.group()
        if piece.startswith("/*"):
            comment = comment_lines(piece)
        elif piece.startswith(("MH_API ", "extern MH_API ")):
            plain = re.sub(r"MH_WIN32_SYMBOL\(\w+\)|MH_API|WINAPI|;", " ", piece)
            plain = re.sub(r"\s+", " ", sources.without_comments(plain)).strip()
            if "(" in plain:
                yield comment, plain
        else:
            comment = None


def parameters_of(declaration):
    inside = declaration[declaration.index("(") + 1:declaration.rindex(")")]
    parts, depth = [""], 0
    for char in inside:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    names = []
    for part in parts:
        pointer = re.search(r"\(\*(\w+)\)", part)
        name = pointer.group(1) if pointer else re.findall(r"\w+", part)[-1]
        if part.strip() != "void":
            names.append(name)
    return names


def functions(root):
    for path in sources.files(root, HEADERS, endings=(".h",)):
        header = os.path.relpath(path, HEADERS)
        if os.path.dirname(header):
            continue
        for comment, declaration in declared_in(header, sources.read(root, path)):
            name = re.search(r"(\w+) ?\(", declaration).group(1)
            parsed = parse(comment or [])
            fields = {item[0]: item_text(item[1]) for kind, item in parsed if kind == "item"}
            text = [entry for entry in parsed if entry[0] != "item"]
            yield Function(name, header, declaration, parameters_of(declaration),
                           declaration.startswith("void ") and "*" not in declaration.split("(")[0],
                           text, fields)


def interface(root, name):
    """An interface as a Function, its methods as parameters."""
    text = sources.read(root, os.path.join(HEADERS, INTERFACES[name]))
    struct = re.search(r"struct " + name + r" : public IUnknown \{\n(.*?)\n\};", text, re.S)
    methods = re.findall(r"virtual (.*?) = 0;", re.sub(r"\s+", " ", struct.group(1)))
    methods = [method.replace("STDMETHODCALLTYPE ", "") for method in methods]
    comment = next(comment_lines(piece) for piece in re.findall(r"/\*\n.*?\*/", text, re.S)
                   if f" * {name}: " in piece)
    start = next(at for at, line in enumerate(comment) if line.startswith(name + ": "))
    end = next((at for at, line in enumerate(comment)
                if at > start and re.match(r"IMallocSpy: ", line)), len(comment))
    comment[start] = comment[start][len(name) + 2:]
    comment[start] = comment[start][0].upper() + comment[start][1:]
    parsed = parse(comment[start:end])
    fields = {item[0]: item_text(item[1]) for kind, item in parsed if kind == "item"}
    names = [re.search(r"(\w+)\(", method).group(1) for method in methods]
    return Function(name, INTERFACES[name], "\n".join(methods), names, True,
                    [entry for entry in parsed if entry[0] != "item"], fields)


def differences(root):
    """[(number, names, {column: text})] of the table."""
    rows = []
    for line in sources.read(root, DIFFERENCES).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 6 and re.fullmatch(r"[A-Z]-\d+", cells[0]):
            rows.append((cells[0], re.findall(r"`(\w+)`", cells[1]), cells[2:]))
    return rows


class Writer:
    def __init__(self, root):
        self.functions = sorted(functions(root), key=lambda one: one.name.lower())
        self.interfaces = [interface(root, name) for name in sorted(INTERFACES)]
        self.rows = differences(root)
        self.openings = {one.header: parse(opening(root, one.header)) for one in self.functions}
        names = [one.name for one in self.functions + self.interfaces]
        self.names = re.compile(r"(?<![\w`/])(" + "|".join(sorted(names, key=len, reverse=True))
                                + r")(?![\w`])")

    def marked(self, text, of=""):
        """Text of a comment as Markdown: names of functions are links; code is left alone."""
        parts = re.split(r"(`[^`]*`)", text)
        return "".join(part if part.startswith("`") else self.marked_prose(part, of)
                       for part in parts)

    def marked_prose(self, text, of):
        text = re.sub(r"([*|<>])", r"\\\1", text).replace("\\<br\\>", "<br>")
        text = re.sub(r"(?<![\w`])([A-Z]+_[A-Z0-9_]+\*?|mh_\w+)(?![\w`(])",
                      lambda m: m.group() if self.names.fullmatch(m.group()) else f"`{m.group()}`",
                      text.replace("\\*", "\\*"))
        return self.names.sub(lambda m: f"`{m.group(1)}`" if m.group(1) == of
                              else f"[{m.group(1)}]({m.group(1)}.md)", text)

    def body(self, parsed, of=""):
        """A comment's text, items and code as Markdown."""
        out, previous = [], "gap"
        for kind, what in parsed:
            if kind == "code" and previous != "code":
                out.append("\n```\n")
            if previous == "code" and kind != "code":
                out.append("```\n")
            if kind == "item":
                head = "\n" if previous == "text" else ""
                out.append(f"{head}- **{what[0]}** {self.marked(item_text(what[1]), of)}\n")
            elif kind == "code":
                out.append(what + "\n")
            else:
                out.append((self.marked(what, of) if kind == "text" else "") + "\n")
            previous = kind
        if previous == "code":
            out.append("```\n")
        return re.sub(r"\n{3,}", "\n\n", "".join(out)).strip("\n") + "\n"

    def differences_of(self, one):
        rows = [row for row in self.rows if one.name in row[1]]
        if not rows:
            if one.name.startswith("mh_"):
                return "An addition of molehill's: Windows has nothing of the kind.\n"
            return "None is known, but for what [holds for all](../differences.md).\n"
        out = []
        for number, _, (documents, windows, here, why) in rows:
            parts = [f"Documents: {documents}." if documents != "–" else "",
                     f"Windows: {windows}.".replace("– (", "not known (") if windows != "–" else "",
                     f"Here: {here}.", f"Why: {why}." if why != "–" else ""]
            out.append(f"- **{number}.** " + " ".join(filter(None, parts)) + "\n")
        return "".join(out)

    def page(self, one):
        out = [f"# {one.name}\n\n", NOTE, "```c\n", f"#include <molehill/{one.header}>\n\n"]
        is_interface = one.name in INTERFACES
        out += [one.declaration.replace("\n", ";\n") + ";\n```\n\n", self.body(one.text, one.name)]
        rows = [(name, self.marked(one.fields.get(name, ""), one.name)) for name in one.parameters
                if one.name not in PARTS]
        if rows:
            out.append(f"\n| {'method' if is_interface else 'parameter'} | |\n|---|---|\n")
            out += [f"| `{name}` | {text} |\n" for name, text in rows]
        out.append("\n")
        out += [f"**{title}:** {self.marked(one.fields[field], one.name)}\n\n"
                for field, title in FIELDS.items() if field in one.fields]
        if one.name in PARTS:
            out.append(f"A part of `{PARTS[one.name]}`; programs do not call it.\n\n")
        anchor = "#" + one.header.replace(".", "")
        out.append(f"What holds for all of `{one.header}`: [there](README.md{anchor}).\n\n"
                   "## Differences from Windows\n\n")
        return "".join(out) + self.differences_of(one)

    def index(self):
        out = ["# Reference\n\n", NOTE,
               "A page for each function, made of the headers' comments. What holds for all "
               "functions of a header\nis here. [differences.md](../differences.md) has all "
               "differences from Windows in one table.\n"]
        for header in sorted(self.openings):
            out.append(f"\n## {header}\n\n" + self.body(self.openings[header]) + "\n")
            out += [f"- [{one.name}]({one.name}.md): {first_sentence(self, one)}\n"
                    for one in self.functions + self.interfaces if one.header == header]
        spies = [one for one in self.interfaces if one.header not in self.openings]
        if spies:
            out.append("\n## Interfaces\n\n")
            out += [f"- [{one.name}]({one.name}.md): {first_sentence(self, one)}\n"
                    for one in spies]
        return "".join(out)

    def pages(self):
        made = {f"{one.name}.md": self.page(one) for one in self.functions + self.interfaces}
        made["README.md"] = self.index()
        return made


def first_sentence(writer, one):
    lines = []
    for kind, what in one.text:
        if kind == "text":
            lines.append(what)
        elif lines:
            break
    sentence = re.match(r".*?[.:](?= |$)", " ".join(lines) + " ")
    return writer.marked((sentence.group() if sentence else "").rstrip(":."), one.name)


def opening(root, header):
    """The comment at the top of a header, below the licence."""
    text = sources.read(root, os.path.join(HEADERS, header))
    return comment_lines(re.findall(r"/\*(?:[^*]|\*(?!/))*\*/", text)[1])


def gaps(writer):
    """What the comments and the table leave out."""
    for one in writer.functions:
        if one.name in PARTS:
            continue
        where = f"{HEADERS}/{one.header}: {one.name}"
        missing = [name for name in one.parameters
                   if not one.fields.get(name)]
        missing += [] if one.is_void else ["returns"] if "returns" not in one.fields else []
        missing += [] if "threads" in one.fields else ["threads"]
        yield from (f"{where}: its comment has no {name!r}" for name in missing)
        yield from (f"{where}: its comment has {name!r}, which is nothing known"
                    for name in one.fields
                    if name not in {*one.parameters, *FIELDS, *UNSHOWN})
    for one in writer.interfaces:
        yield from (f"{HEADERS}/{one.header}: {one.name} does not describe {name}"
                    for name in one.parameters if not one.fields.get(name))
    known = {one.name for one in writer.functions + writer.interfaces}
    for number, names, _ in writer.rows:
        if not names:
            yield f"{DIFFERENCES}: {number} names no function"
        yield from (f"{DIFFERENCES}: {number} names {name}, which is none"
                    for name in names if name not in known)
    numbers = [number for number, _, _ in writer.rows]
    for number in [f"C-{n}" for n in range(1, 26)]:
        if numbers.count(number) != 1:
            yield f"{DIFFERENCES}: {number} is there {numbers.count(number)} times"


def check(root):
    writer = Writer(root)
    problems = list(gaps(writer))
    pages, folder = writer.pages(), os.path.join(root, PAGES)
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    problems += [f"{PAGES}/{name}: no function has that page"
                 for name in sorted(there - set(pages))]
    for name, text in sorted(pages.items()):
        if name not in there:
            problems.append(f"{PAGES}/{name}: is not there; reference.py --update writes it")
        elif sources.read(root, os.path.join(PAGES, name)) != text:
            problems.append(f"{PAGES}/{name}: is stale; reference.py --update writes it anew")
    return len(pages), problems


def update(root):
    folder = os.path.join(root, PAGES)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, text in Writer(root).pages().items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def self_test(root):
    """Plant what must be found, in a copy."""
    cases = [
        (f"{HEADERS}/heapapi.h", " *   returns   TRUE, or FALSE when nothing was freed\n", "",
         "HeapFree: its comment has no 'returns'"),
        (f"{HEADERS}/heapapi.h", "lpMem     a live block; NULL does nothing", "lpMem     any",
         "HeapFree.md: is stale"),
        (f"{HEADERS}/heapapi.h", "HeapFree(HANDLE hHeap", "HeapFree(HANDLE hMole",
         "HeapFree: its comment has no 'hMole'"),
        (f"{HEADERS}/molehill.h", "int mh_stats_get(", "int mh_stats_have(",
         "mh_stats_have.md: is not there"),
        (f"{HEADERS}/objidl.h", " *   PreFree           gets U, returns A\n", "",
         "IMallocSpy does not describe PreFree"),
        (DIFFERENCES, "| C-17 | `HeapLock`", "| C-17 | `HeapMole`", "C-17 names HeapMole"),
        (DIFFERENCES, "| C-18 |", "| C-1 |", "C-18 is there 0 times"),
        (f"{PAGES}/HeapSize.md", "# HeapSize", "# HeapSizes", "HeapSize.md: is stale"),
    ]
    for path, old, new, expected in cases:
        with tempfile.TemporaryDirectory() as copy:
            for folder in ("include", "docs"):
                shutil.copytree(os.path.join(root, folder), os.path.join(copy, folder))
            text = sources.read(copy, path)
            if old not in text:
                sys.exit(f"self-test: no {old!r} in {path}")
            with open(os.path.join(copy, path), "w", encoding="utf-8") as file:
                file.write(text.replace(old, new))
            problems = check(copy)[1]
            if not any(expected in line for line in problems):
                sys.exit(f"self-test: {expected!r} is not found: {problems}")
    return len(cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--update", action="store_true", help="write the pages")
    parser.add_argument("--self-test", action="store_true", help="find planted errors too")
    args = parser.parse_args()
    root = os.path.abspath(args.root)
    if args.update:
        update(root)
    count, problems = check(root)
    for line in problems:
        print(line)
    planted = self_test(root) if args.self_test and not problems else 0
    print(f"reference: {count} pages, {planted} planted cases, {len(problems)} problems")
    sys.exit(1 if problems or count < 40 else 0)


main()
