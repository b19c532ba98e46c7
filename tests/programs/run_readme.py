#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README.md's examples do what it says: they are taken from its text, compiled and run as it
tells, and their output compared with what it shows. Addresses and counters differ. And the
documents tell of the commands that ./dev has, and of no others."""
import os
import re
import shutil
import subprocess

from _preload import BUILD, Scratch, case, end, need, skip

ROOT = os.environ.get("MOLEHILL_SOURCE") or os.path.realpath(
    os.path.join(os.path.dirname(__file__), "..", ".."))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def section(text, heading):
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def fenced(text, language):
    return re.search(rf"^```{language}\n(.*?)^```$", text, re.M | re.S).group(1)


def indented(text):
    """The blocks of lines that begin with four spaces."""
    blocks = re.findall(r"(?:^    .*\n)+", text, re.M)
    return ["".join(line[4:] + "\n" for line in block.splitlines()) for block in blocks]


def without_addresses(text):
    return re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text)


def run(place, script):
    """As in the source folder, after ./dev build, but with files of our own."""
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "MOLEHILL_CONF")}
    script = "ulimit -c 0\n" + script
    return subprocess.run(["sh", "-c", script], cwd=place.path, env=dict(env, PWD=place.path),
                          capture_output=True, text=True, timeout=120, check=False)


def program(place, text, name, least):
    source = fenced(text, "c")
    command, shown = indented(text.split("```")[2])
    place.file(f"{name}.c", source)
    done = run(place, command)
    case(done.returncode == 0 and done.stderr == "",
         f"the {name} program ends with {done.returncode}: {done.stderr}")
    case(without_addresses(done.stdout) == without_addresses(shown),
         f"the {name} program prints {done.stdout!r}, README shows {shown!r}")
    case(source.count("\n") <= 32 and least in without_addresses(shown), "another example")


def dotnet_program(place, text):
    missing = [tool for tool in ("mono", "mcs") if not shutil.which(tool)]
    if missing:
        skip(f"{missing[0]} is not installed")
        return
    command, shown = indented(text.split("```")[2])
    place.file("heap.cs", fenced(text, "csharp"))
    done = run(place, command)
    case(done.returncode == 0 and done.stderr == "",
         f"the C# program ends with {done.returncode}: {done.stderr}")
    case(done.stdout == shown, f"the C# program prints {done.stdout!r}, README shows {shown!r}")


def preload_script(place, text):
    script = fenced(text, "sh")
    death = script.splitlines()[-1].split("# ", 1)[1]
    done = run(place, script)
    lines = done.stdout.splitlines()
    case(lines[:1] == [str(sum(len(str(n)) for n in range(100000)))],
         f"the preloaded python3 prints {lines[:1]}")
    case(len(lines) == 2 and all(re.search(rf" {name}=[1-9][0-9]*", lines[1])
                                 for name in ("frees", "refills", "committed_bytes")),
         f"the counters are {lines[1:]}")
    said = [without_addresses(line) for line in done.stderr.splitlines()
            if line.startswith("molehill:")]
    case(said == [without_addresses(death)], f"the double free says {said}, README {death!r}")
    case(done.returncode == 134, f"the double free ends with {done.returncode}, no abort")


def commands():
    """Each of `./dev --help` is in CONTRIBUTING.md's table; none but those is in any document."""
    done = subprocess.run(["sh", os.path.join(ROOT, "dev"), "--help"], capture_output=True,
                          text=True, check=False)
    known = set(re.findall(r"^  ([a-z]\S*)", done.stdout, re.M))
    case({"build", "test", "bench", "fresh-test"} <= known, f"./dev --help has {known}")
    table = set(re.findall(r"^\| `\./dev ([a-z-]+)", read("docs/CONTRIBUTING.md"), re.M))
    case(table == known, f"CONTRIBUTING.md and ./dev --help differ in {sorted(table ^ known)}")
    for path in ("README.md", "docs/ARCHITECTURE.md", "docs/scaling.md", "docs/traces.md",
                 "models/README.md", "perf/README.md"):
        unknown = set(re.findall(r"\./dev ([a-z][a-z-]*)", read(path))) - known
        case(not unknown, f"{path} tells of {sorted(unknown)}")


def main():
    need("cc", "python3")
    readme = read("README.md")
    commands()
    with Scratch() as place:
        os.symlink(os.path.join(ROOT, "include"), place.file("include"))
        os.mkdir(place.file("build"))
        os.symlink(BUILD, place.file(os.path.join("build", "gcc")))
        program(place, section(readme, "A heap of one's own"), "heap", "ADDRESS")
        program(place, section(readme, "Observers"), "spy", "500500")
        program(place, section(readme, "Exceptions"), "raise", "C0000017")
        preload_script(place, section(readme, "Under a program as it is"))
        dotnet_program(place, section(readme, "From .NET"))
    end()


main()
