#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the libraries are found and what they are in a process: by relative and absolute paths, the
core next to malloc, one core for all and of the same build; with 80 other libraries that have TLS;
linked instead of preloaded; with fork and exec beside threads; in exit handlers."""
import os
import re
import shutil
import subprocess
import sys

from _preload import BUILD, CORE, MALLOC, Scratch, case, compare, end, figures, frees

LOADING = os.path.join(BUILD, "tests", "loading")
PRINT_MAPS = "print(open('/proc/self/maps').read()); print('good')"


def run(place, args, preload, cwd=None, more=None):
    """The process, run with this LD_PRELOAD."""
    env, _ = place.environment(False, more)
    place.figures += 1
    stats = place.file(f"stats.{place.figures}")
    env["MOLEHILL_CONF"] = f"stats:{stats}"
    if preload:
        env["LD_PRELOAD"] = preload
    done = subprocess.run(args, env=env, cwd=cwd or place.path, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False)
    done.stats = stats
    return done


def good(done, what):
    case(done.returncode == 0 and done.stdout.endswith(b"good\n"),
         f"{what}: {done.returncode}: {done.stdout.decode(errors='replace')[-500:]}")
    return done


def libraries(done):
    return sorted(set(line for line in done.stdout.decode().splitlines()
                      if line.startswith("/")))


def paths(place):
    """Copies elsewhere, so that nothing but $ORIGIN can lead to the core."""
    folder = place.file("lib")
    os.mkdir(folder)
    copies = sorted(shutil.copy(path, folder) for path in (CORE, MALLOC))
    name = os.path.basename(MALLOC)
    for preload, cwd, what in (
            (os.path.join(folder, name), None, "an absolute path"),
            (os.path.join(".", name), folder, "a relative path"),
            (os.path.join("lib", name), None, "a path below"),
            (os.path.join("..", "lib", name), folder, "a path above")):
        done = run(place, [sys.executable, "-I", "-c", PRINT_MAPS], preload, cwd)
        good(done, what)
        found = sorted({line.split()[-1] for line in done.stdout.decode().splitlines()
                        if "libmolehill" in line})
        case(found == copies, f"LD_PRELOAD by {what} loads {found}")
        case(frees(done.stats) > 100, f"LD_PRELOAD by {what}: malloc is another one")


def other_build(place):
    """A core whose private version node is another build's is refused by the dynamic linker."""
    folder = place.file("other")
    os.mkdir(folder)
    malloc = shutil.copy(MALLOC, folder)
    with open(CORE, "rb") as file:
        core = file.read()
    nodes = set(re.findall(rb"MOLEHILL_PRIVATE_[0-9a-f]+\0", core))
    with open(MALLOC, "rb") as file:
        wanted = set(re.findall(rb"MOLEHILL_PRIVATE_[0-9a-f]+\0", file.read()))
    case(len(nodes) == 1 and wanted == nodes, f"malloc wants {wanted}, the core has {nodes}")
    if len(nodes) != 1:
        return
    node = nodes.pop()
    other = node[:-13] + (b"0123456789ab" if node[-13:-1] != b"0123456789ab" else b"1" * 12) + b"\0"
    path = os.path.join(folder, os.path.basename(CORE))
    for text, is_loaded in ((node, True), (other, False)):
        with open(path, "wb") as file:
            file.write(core.replace(node, text))
        done = run(place, [sys.executable, "-I", "-c", "print('good')"], malloc)
        output = done.stdout.decode(errors="replace")
        if is_loaded:
            good(done, "a core of this build")
            continue
        case(done.returncode != 0 and "good" not in output, "a core of another build was loaded")
        case(f"version `{node[:-1].decode()}' not found (required by {malloc})" in output,
             f"the dynamic linker does not say why: {output[-500:]}")


def exit_handlers(place):
    program = os.path.join(BUILD, "tests", "exit_handlers")
    for preload, what in ((None, "exit handlers"), (MALLOC, "exit handlers, malloc preloaded")):
        done = run(place, [program], preload)
        case(done.returncode == 0 and done.stdout == b"atexit: good\ndestructor: good\n",
             f"{what}: {done.returncode}: {done.stdout.decode(errors='replace')[-500:]}")
        lines = figures(done.stats)
        case(len(lines) == 1 and int(lines[0]["frees"]) > 1000 and int(lines[0]["heaps"]) == 3,
             f"{what}: left the figures {lines}")


def one_core(place):
    done = good(run(place, [LOADING, "where"], MALLOC), "where")
    case(libraries(done) == sorted(map(os.path.realpath, (CORE, MALLOC))),
         f"loaded are {libraries(done)}")
    good(run(place, [LOADING, "core"], MALLOC), "one core, malloc preloaded")
    good(run(place, [LOADING + "_linked", "core"], None), "one core, malloc linked")
    good(run(place, [LOADING + "_linked", "core"], MALLOC), "one core, linked and preloaded")


def many_tls_libraries(place):
    original = os.path.join(BUILD, "tests", "libdynamic_tls.so")
    copies = [shutil.copy(original, place.file(f"tls_{number}.so")) for number in range(80)]
    done = good(run(place, [LOADING, "tls", *copies], MALLOC), "80 libraries with TLS")
    case(b"80 libraries" in done.stdout, "not all libraries were opened")
    case(frees(done.stats) > 5000, "80 libraries with TLS: malloc is another one")
    late = os.path.join(BUILD, "tests", "late_dlopen")
    good(run(place, [late, *copies, CORE, MALLOC], None), "opened after 80 others with TLS")


def linked_operators(place):
    program = os.path.join(BUILD, "tests", "new_delete")
    without = run(place, [program], None)
    linked = run(place, [program + "_linked"], None)
    case(linked.returncode == 0 and linked.stdout == without.stdout,
         "new and delete, linked: other output than without: " + linked.stdout.decode())
    case(b": no\n" not in linked.stdout and linked.stdout.count(b": yes\n") >= 10,
         "new and delete, linked: not all is well")
    case(frees(linked.stats) > 10000, "new and delete, linked: they are others'")


def fork_and_exec(place):
    compare(place, [LOADING, "fork"], 10000, name="fork beside threads, and exec")
    done = good(run(place, [LOADING, "fork"], MALLOC), "fork")
    # Those that called exec, and the parent: each wrote its figures when it ended.
    lines = figures(done.stats)
    case(len(lines) == 21, f"{len(lines)} processes left figures, not 21")
    case(all(int(line["malloc_frees"]) >= 900 for line in lines),
         "a process used another malloc after exec")


def main():
    with Scratch() as place:
        paths(place)
        one_core(place)
        other_build(place)
        many_tls_libraries(place)
        linked_operators(place)
        fork_and_exec(place)
        exit_handlers(place)
    end()


main()
