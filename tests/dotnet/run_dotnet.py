#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""C# programs that import the Win32 heap functions, run by Mono. Each case is a process of its
own, named as Criterion names its tests. The controls are cases that must fail, in these words,
since something that makes them work was taken away."""
import os
import shutil
import subprocess
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "programs"))
from _preload import BUILD, MALLOC, Scratch     # pylint: disable=wrong-import-position

ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))
LINKS = os.path.join(BUILD, "dotnet")
MAP = os.path.join(LINKS, "molehill.dllmap.config")
WIN32 = os.path.join(BUILD, "src", "libmolehill-win32.so.0")
OWN_CORE = os.path.join(BUILD, "tests", "libown_core.so")

CASES = ["Program.cs", "Check.cs", "HeapCases.cs", "LinkCases.cs", "TaskCases.cs",
         "MallocSpy.cs", "ThreadCases.cs"]
DECLARATIONS = ["NativeMethods.cs"]
RESOLVER = ["ResolverCases.cs", "Check.cs", os.path.join("..", "..", "dotnet",
                                                         "MolehillResolver.cs")]

# A row: the test's name; the folder of the program, and what to run there; more environment; and
# what a control must say.
Row = namedtuple("Row", "name folder case env says", defaults=("good",))
FOUND = {"LD_LIBRARY_PATH": LINKS}
PRELOAD = {"LD_PRELOAD": WIN32}
BOTH = {"LD_PRELOAD": f"{WIN32}:{MALLOC}"}
NOTHING = {}
RETURNING = ",".join(filter(None, [os.environ.get("MOLEHILL_CONF"), "unhandled:return"]))
ROWS = [
    Row("case_122_realloc_by_the_programs_map", "mapped", "ReAllocKeepsAndClears", FOUND),
    Row("case_122_realloc_by_an_assemblys_map", "split", "ReAllocKeepsAndClears", FOUND),
    Row("realloc_by_monos_own_map", "plain", "ReAllocKeepsAndClears",
        dict(FOUND, MONO_CONFIG=MAP)),
    Row("case_123_realloc_under_ld_preload", "plain", "ReAllocKeepsAndClears", PRELOAD),
    Row("realloc_under_ld_preload_with_malloc", "plain", "ReAllocKeepsAndClears", BOTH),
    # 8 under compat:windows, as the case says; by default what the program finds is ENOMEM, 12.
    Row("case_124_last_error_is_not_stale", "mapped", "ErrorIsNotStale", FOUND),
    Row("case_124_last_error_under_ld_preload", "plain", "ErrorIsNotStale", PRELOAD),
    Row("success_keeps_the_error", "mapped", "SuccessKeepsError", FOUND),
    Row("errors_of_windows_by_mh_configure", "mapped", "Configured",
        dict(FOUND, MOLEHILL_CONF="")),
    Row("case_125_two_gibibytes_fail_cleanly", "mapped", "TwoGibibytes", FOUND),
    Row("sizes_from_two_gibibytes", "mapped", "LargeSizes", FOUND),
    Row("case_126_links_have_one_process_heap", "plain", "OneProcessHeap", FOUND),
    Row("case_126_links_are_one_library", "plain", "OneLibrary", FOUND),
    Row("case_126_one_process_heap_by_the_map", "mapped", "OneProcessHeap", FOUND),
    Row("members_that_are_no_flags", "mapped", "EnumMembers", FOUND),
    Row("tag_shift_stays_in_place", "mapped", "TagShiftStaysInPlace", FOUND),
    Row("case_153_exceptions_return_zero", "mapped", "GenerateExceptionsReturnsZero",
        dict(FOUND, MOLEHILL_CONF=RETURNING)),
    Row("task_allocator", "plain", "TaskAllocator", FOUND),
    Row("a_spy_in_c_sharp", "mapped", "SpyInCSharp", FOUND),
    Row("blocks_cross_threads", "mapped", "BlocksCrossThreads", FOUND),
    Row("blocks_cross_threads_with_malloc", "plain", "BlocksCrossThreads", BOTH),
    Row("the_resolver", "resolver", "", FOUND),
    Row("control_nothing_leads_there", "plain", "ReAllocKeepsAndClears", NOTHING,
        "EntryPointNotFoundException: HeapCreate"),
    Row("control_a_map_in_one_case", "one_case", "ReAllocKeepsAndClears", FOUND,
        "EntryPointNotFoundException: HeapCreate"),
    Row("control_a_map_to_another_library", "astray", "ReAllocKeepsAndClears", FOUND,
        "EntryPointNotFoundException: HeapCreate"),
    Row("control_a_copy_for_a_link", "plain", "OneLibrary", {"LD_LIBRARY_PATH": "copied"},
        "CaseFailed: libole32.so is another library"),
    Row("control_a_core_of_its_own", "plain", "OneProcessHeap", {"LD_LIBRARY_PATH": "own_core"},
        "CaseFailed: Heap6 is another process heap"),
]

counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}


def report(result, name, why=""):
    counts[result] += 1
    print(f"[{result}] dotnet::{name}: {why}", flush=True)


def end():
    print("{PASS} passed, {FAIL} failed, {SKIP} skipped".format(**counts), flush=True)
    sys.exit(1 if counts["FAIL"] else 0)


def compile_cs(place, output, sources, *options):
    kind = "library" if output.endswith(".dll") else "exe"
    path = place.file(output)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    done = subprocess.run(
        ["mcs", "-nologo", "-warnaserror", "-langversion:6", f"-target:{kind}", f"-out:{path}",
         *options, *(os.path.join(HERE, source) for source in sources)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    if done.returncode != 0:
        report("FAIL", "compiles", f"{output}: {done.stdout}")
        end()
    return path


def programs(place):
    """The folders that the rows name."""
    with open(MAP, encoding="utf-8") as file:
        text = file.read()
    compile_cs(place, "plain/cases.exe", CASES + DECLARATIONS)
    for folder, config in (("mapped", text), ("one_case", text.replace('"i:', '"')),
                           ("astray", text.replace("libmolehill-win32.so", "libmolehill.so.0"))):
        shutil.copytree(place.file("plain"), place.file(folder))
        place.file(f"{folder}/cases.exe.config", config)
    library = compile_cs(place, "split/NativeMethods.dll", DECLARATIONS)
    place.file("split/NativeMethods.dll.config", text)
    compile_cs(place, "split/cases.exe", CASES, f"-reference:{library}")
    compile_cs(place, "resolver/cases.exe", RESOLVER + DECLARATIONS,
               "-define:NET5_0_OR_GREATER")


def directories(place):
    """Those of links, with one that is none."""
    for folder, path in (("copied", WIN32), ("own_core", OWN_CORE)):
        shutil.copytree(LINKS, place.file(folder), symlinks=True)
        for name in os.listdir(LINKS):
            target = os.readlink(os.path.join(LINKS, name)) if name.startswith("lib") else ""
            if target:
                os.remove(place.file(f"{folder}/{name}"))
                os.symlink(os.path.join(LINKS, target), place.file(f"{folder}/{name}"))
        os.remove(place.file(f"{folder}/libole32.so"))
        shutil.copyfile(path, place.file(f"{folder}/libole32.so"))


def names_of_libraries():
    with open(os.path.join(ROOT, "src/win32/names.list"), encoding="utf-8") as file:
        return [word for line in file if line.startswith("library ") for word in line.split()[1:]]


def run(place, row):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "LD_LIBRARY_PATH", "MONO_CONFIG", "MONO_PATH")}
    env.update({"LC_ALL": "C", "HOME": place.path, "MONO_DISABLE_SHARED_AREA": "1"})
    env.update(row.env)
    if "LD_LIBRARY_PATH" in env:
        env["LD_LIBRARY_PATH"] = place.file(env["LD_LIBRARY_PATH"])    # absolute ones stay
    args = names_of_libraries() if row.folder == "resolver" else [row.case]
    done = subprocess.run(["mono", place.file(f"{row.folder}/cases.exe"), *args], env=env,
                          cwd=place.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=240, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")


def judge(row, code, said, errors):
    """What is wrong, or nothing."""
    is_control = row.says != "good"
    if code != (1 if is_control else 0):
        return f"exit status {code}: {said.strip()} {errors[-2000:]}"
    if not (said.startswith(row.says) if is_control else said == "good\n"):
        return f"it says {said!r}, not {row.says!r}"
    return ""


def main():
    missing = [tool for tool in ("mono", "mcs") if not shutil.which(tool)]
    for row in ROWS if missing else []:
        report("SKIP", row.name, f"{missing[0]} is not installed")
    if missing:
        end()
    known = set(CASES + DECLARATIONS + RESOLVER)
    unknown = [name for name in os.listdir(HERE) if name.endswith(".cs") and name not in known]
    if unknown:
        report("FAIL", "sources", f"compiled by nothing: {unknown}")
    with Scratch() as place:
        programs(place)
        directories(place)
        for row in ROWS:
            wrong = judge(row, *run(place, row))
            report("FAIL" if wrong else "PASS", row.name, wrong)
    end()


main()
