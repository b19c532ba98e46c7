#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What leads .NET to libmolehill-win32 is complete: a link, and no copy, for each way programs
spell the libraries; Mono's map in any case; the resolver's names. It is the list here, not
src/win32/names.list, that says what complete is.

usage: check_links.py [--self-test]     (MOLEHILL_BUILD names the build directory)
"""
import os
import re
import shutil
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SPELLINGS = ["kernel32", "Kernel32", "KERNEL32", "kernelbase", "KernelBase", "ole32", "Ole32",
             "OLE32", "combase"]
LIBRARY, CORE = "libmolehill-win32.so.0", "libmolehill.so.0"
TARGETS = {f"lib{name}{ending}": LIBRARY for name in SPELLINGS for ending in (".so", ".dll.so")}
TARGETS |= {"libmolehill-win32.so": LIBRARY, LIBRARY: LIBRARY, CORE: CORE}
MAPPED = {f"i:{name.lower()}{ending}" for name in SPELLINGS for ending in ("", ".dll")}


def link_problems(folder, libraries):
    """`libraries`: the folder that the links must lead to."""
    try:
        names = {name for name in os.listdir(folder) if name.startswith("lib")}
    except FileNotFoundError:
        return [f"{folder}: no such folder"]
    problems = [f"{name}: not there" for name in sorted(set(TARGETS) - names)]
    problems += [f"{name}: must not be there" for name in sorted(names - set(TARGETS))]
    for name in sorted(names & set(TARGETS)):
        path, target = os.path.join(folder, name), os.path.join(libraries, TARGETS[name])
        if not os.path.islink(path):
            problems.append(f"{name}: not a symbolic link")
        elif os.path.isabs(os.readlink(path)):
            problems.append(f"{name}: not a relative link")
        elif os.path.realpath(path) != os.path.realpath(target) or not os.path.exists(path):
            problems.append(f"{name}: leads to {os.path.realpath(path)}")
    return problems


def map_problems(text):
    rows = re.findall(r'<dllmap dll="([^"]*)" target="([^"]*)"/>', text)
    problems = [f"map: {name} leads to {target}" for name, target in rows
                if target != "libmolehill-win32.so"]
    names = [name for name, _ in rows]
    problems += [f"map: {name} is not there" for name in sorted(MAPPED - set(names))]
    problems += [f"map: {name} is not asked for" for name in sorted(set(names) - MAPPED)]
    return problems + (["map: a name twice"] if len(set(names)) < len(names) else [])


def resolver_problems(text):
    match = re.search(r"string\[\] Names = \{(.*?)\};", text, re.S)
    names = re.findall(r'"([^"]*)"', match.group(1)) if match else []
    problems = [] if set(names) == {name.lower() for name in SPELLINGS} else [
        f"resolver: its names are {names}"]
    return problems + ([] if f'"{LIBRARY}"' in text else ["resolver: another library"])


def all_problems(links, libraries, data):
    """Of the links and of the folder with the map and the resolver."""
    problems = link_problems(links, libraries)
    for name, check in (("molehill.dllmap.config", map_problems),
                        ("MolehillResolver.cs", resolver_problems)):
        try:
            with open(os.path.join(data, name), encoding="utf-8") as file:
                problems += check(file.read())
        except FileNotFoundError:
            problems.append(f"{name}: not there")
    return problems


def plant(folder, name, what):
    """Replace a link, or remove it."""
    path = os.path.join(folder, "links", name)
    if os.path.lexists(path):
        os.remove(path)
    if what == "copy":
        shutil.copyfile(os.path.join(folder, LIBRARY), path)
    elif what:
        os.symlink(what.replace("FOLDER", folder), path)


def self_test():
    """A good folder, then one fault at a time."""
    rows = "".join(f'<dllmap dll="{name}" target="libmolehill-win32.so"/>\n' for name in MAPPED)
    ole32 = '<dllmap dll="i:ole32" '
    names = ", ".join(f'"{name}"' for name in sorted({name.lower() for name in SPELLINGS}))
    resolver = f'"{LIBRARY}" string[] Names = {{ {names} }};'
    faults = [("libole32.so", "copy"), ("libole32.so", ""), ("libuser32.so", f"../{LIBRARY}"),
              ("libole32.so", f"../{CORE}"), ("libole32.so", "../nothing"),
              ("libole32.so", f"FOLDER/{LIBRARY}"), (LIBRARY, "")]
    texts = [(map_problems, rows, ""), (map_problems, ole32, '<dllmap dll="ole32" '),
             (map_problems, f'{ole32}target="libmolehill-win32', f'{ole32}target="libmolehill'),
             (map_problems, ole32, '<dllmap dll="i:kernel32" '),
             (resolver_problems, '"ole32"', '"user32"'), (resolver_problems, LIBRARY, CORE)]
    good = {map_problems: rows, resolver_problems: resolver}
    missed = [f"{check.__name__}: {check(text)}" for check, text in good.items() if check(text)]
    missed += [f"{old} -> {new}" for check, old, new in texts
               if not check(good[check].replace(old, new))]
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "links"))
        for name in (LIBRARY, CORE):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(name)
        for fault in [("", ""), *faults]:
            for name in os.listdir(os.path.join(folder, "links")):
                os.remove(os.path.join(folder, "links", name))
            for name, target in TARGETS.items():
                plant(folder, name, f"../{target}")
            if fault[0]:
                plant(folder, *fault)
            if bool(link_problems(os.path.join(folder, "links"), folder)) != bool(fault[0]):
                missed.append(f"links: {fault}")
    for line in missed:
        print(f"self-test: {line}")
    return len(missed)


def main():
    failed = self_test() if sys.argv[1:] == ["--self-test"] else 0
    build = os.environ["MOLEHILL_BUILD"]
    links = os.path.join(build, "dotnet")
    problems = link_problems(links, os.path.join(build, "src"))
    with open(os.path.join(links, "molehill.dllmap.config"), encoding="utf-8") as file:
        problems += map_problems(file.read())
    with open(os.path.join(ROOT, "dotnet/MolehillResolver.cs"), encoding="utf-8") as file:
        problems += resolver_problems(file.read())
    for line in problems:
        print(line)
    failed += bool(problems)
    print(f"{2 - min(failed, 2)} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
