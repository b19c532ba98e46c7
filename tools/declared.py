# SPDX-License-Identifier: MIT
"""What public headers declare, for porting.py and reference.py: a small reader of C, for the way
these headers are written. clang-format and `meson test headers` keep them so."""
import os
import re
import subprocess
from collections import namedtuple

# kind: macro, type, function, constant. file: path in include/molehill.
Name = namedtuple("Name", "name kind file text")

INCLUDE = os.path.join("include", "molehill")
WIN32 = os.path.join(INCLUDE, "win32")
MARK = re.compile(r'^# \d+ "([^"]+)"')
DEFINE = re.compile(r"#define (\w+)(\([^)]*\))?")
WORDS_OF_C = {"void", "char", "int", "short", "long", "float", "double", "signed", "unsigned",
              "const", "volatile", "struct", "enum", "union", "extern", "static", "inline"}


def strip_noise(text):
    """Without attributes, asm labels and the bodies of functions."""
    text = re.sub(r"\b__extension__\b|\b__inline__\b", "", text)
    for word in ("__attribute__", "__asm__"):
        while word in text:
            start = text.index(word)
            begin = text.index("(", start)
            depth, end = 1, begin + 1
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            text = text[:start] + " " + text[end:]
    return text


def declarations(text):
    """Top-level declarations, each one line; a function with a body loses that."""
    text = re.sub(r'extern "C" \{', "", strip_noise(text))
    text = re.sub(r"[ \t\n]+", " ", text)
    depth, start, brace = 0, 0, None
    for at, char in enumerate(text):
        if char == "{":
            if depth == 0:
                brace = at
            depth += 1
        elif char == "}":
            depth -= 1
            if depth < 0:       # of extern "C"
                depth, start, brace = 0, at + 1, None
            elif depth == 0 and text[start:brace].rstrip().endswith(")"):
                yield text[start:brace].strip()
                start, brace = at + 1, None
        elif char == ";" and depth == 0:
            yield text[start:at].strip()
            start, brace = at + 1, None


def enumerators(line):
    body = line[line.index("{") + 1:line.rindex("}")]
    return [part.split("=")[0].strip() for part in body.split(",") if part.strip()]


def names_of(line):
    """(kind, name) of each name that a declaration makes."""
    if re.match(r"(static_assert|_Static_assert|template|using)\b", line):
        return
    head = line.split("{")[0]
    if re.search(r"\benum\b", head) and "{" in line:
        yield from (("constant", name) for name in enumerators(line))
    if line.startswith("typedef"):
        tail = line[line.rindex("}") + 1:] if "{" in line else line
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", tail)
        if pointer:
            yield "type", pointer.group(1)
            return
        for part in tail.split(","):
            words = re.findall(r"\w+", part)
            if words:
                yield "type", words[-1]
        return
    call = re.search(r"(\w+)\s*\(", head)
    if call and not re.match(r"(struct|class|union|enum)\b", line):
        yield "function", call.group(1)
    elif re.match(r"(struct|class|union|enum)\b", line):
        tag = re.match(r"\w+\s+(\w+)", line)
        if tag and "{" in line and not line.startswith("enum"):
            yield "type", tag.group(1)
    elif re.match(r"(extern|const|static)\b", line):
        yield "constant", re.findall(r"\w+", re.sub(r"\[.*?\]|=.*", "", line))[-1]


def preprocessed(root, compiler, source, flags):
    result = subprocess.run([*compiler, "-E", "-dD", *flags, "-"], input=source, text=True,
                            capture_output=True, check=False, cwd=root)
    if result.returncode != 0:
        raise SystemExit(f"declared.py: {source!r}: {result.stderr}")
    return result.stdout


def collect(root, compiler, source, flags):
    """{name: Name} of everything that `source` gets from headers below include/molehill."""
    found, texts, here = {}, {}, None
    top = os.path.realpath(os.path.join(root, INCLUDE))
    for line in preprocessed(root, compiler, source, flags).splitlines():
        mark = MARK.match(line)
        if mark:
            path = os.path.realpath(os.path.join(root, mark.group(1)))
            here = os.path.relpath(path, top) if path.startswith(top + os.sep) else None
        elif here:
            define = DEFINE.match(line)
            if define:
                kind = "macro()" if define.group(2) is not None else "macro"
                found[define.group(1)] = Name(define.group(1), kind, here, line)
            elif not line.startswith("#"):
                texts.setdefault(here, []).append(line)
    for path, lines in texts.items():
        for line in declarations("\n".join(lines)):
            for kind, name in names_of(line):
                if name not in WORDS_OF_C:
                    found.setdefault(name, Name(name, kind, path, line))
    return found
