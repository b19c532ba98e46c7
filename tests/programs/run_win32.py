#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of tests/win32, which know nothing of molehill: compiled with one -I in each
language there is, linked, run, their output compared; and compiled for Windows by mingw-w64,
whose headers must agree with molehill's on every value."""
import ctypes
import os
import re
import shutil
import subprocess
import sys

from _preload import BUILD, Scratch, case, end, need, skip

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import porting  # noqa: E402

PROGRAMS = os.path.join(ROOT, "tests", "win32")
HEADERS = os.path.join(ROOT, "include", "molehill", "win32")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LIBRARIES = [f"-L{BUILD}/src", "-lmolehill-win32", "-lmolehill", f"-Wl,-rpath,{BUILD}/src"]
COMPILERS = {".c": ("gcc", "clang"), ".cpp": ("g++", "clang++")}
STANDARDS = {".c": ("c99", "c11", "gnu17"), ".cpp": ("c++98", "c++11", "c++17", "c++20")}
MINGW = {".c": "x86_64-w64-mingw32-gcc", ".cpp": "x86_64-w64-mingw32-g++"}
VALUES = re.compile(r"(ERROR|E|S|CO_E|RPC_E|CLASS_E|REGDB_E|STATUS|HEAP|PROCESS_HEAP|GMEM|LMEM|"
                    r"FACILITY|SEVERITY|MEMCTX|COINIT|MEMORY)_\w+|[GL](PTR|HND)|NONZERO\w+|"
                    r"MAX\w+|NO_?ERROR|TRUE|FALSE|ANYSIZE_ARRAY|EXCEPTION_\w+|HeapCompat\w+|"
                    r"HeapEnable\w+")
# Not compared: 32 bits wide here; and what mingw-w64 10 does not have yet.
NOT_THERE = {"WCHAR", "HEAP_OPTIMIZE_RESOURCES_INFORMATION",
             "PHEAP_OPTIMIZE_RESOURCES_INFORMATION"}

# What must be found: (header, from, to, program that then fails).
MISTAKES = [
    ("guiddef.h", "l, w1, w2, {", "l, w2, w1, {", "malloc_trace"),
    ("guiddef.h", "{b1, b2,", "{b2, b1,", "macro_values"),
    ("guiddef.h", "defined(INITGUID)", "0", "malloc_trace"),
    ("winnt.h", "__atomic_sub_fetch", "__atomic_fetch_sub", "leak_spy"),
    ("winnt.h", "mh_expected_ = (expected)", "mh_expected_ = (value)", "macro_values"),
    ("winnt.h", "memset((to), (value), (bytes))", "memset((to), (bytes), (value))",
     "global_memory"),
    ("winnt.h", "LONG HighPart;\n    };", "DWORD HighPart;\n    };", "macro_values"),
    ("winerror.h", "FACILITY_WIN32 << 16", "FACILITY_ITF << 16", "macro_values"),
    ("basetyps.h", "INTERFACE *This,", "", "malloc_trace"),
    ("basetyps.h", "#define PURE = 0\n", "#define PURE\n", None),
]


def run(command, **more):
    return subprocess.run(command, text=True, capture_output=True, check=False, **more)


def compile_all(sources):
    """Every language, both compilers, nothing but one -I."""
    for path in sources:
        ending = os.path.splitext(path)[1]
        for compiler in filter(shutil.which, COMPILERS[ending]):
            for standard in STANDARDS[ending]:
                done = run([compiler, f"-std={standard}", *STRICT, "-I", HEADERS,
                            "-fsyntax-only", path])
                case(done.returncode == 0, f"{compiler} -std={standard}: {done.stderr[-2000:]}")
            done = run([compiler, *STRICT, "-D_WIN32", "-D_WIN64", "-I", HEADERS,
                        "-fsyntax-only", path])
            case(done.returncode == 0, f"{compiler} with _WIN32: {done.stderr[-2000:]}")


def build(place, path, headers=HEADERS):
    """(result of the compiler, program)"""
    name, ending = os.path.splitext(os.path.basename(path))
    program = place.file(name)
    done = run([COMPILERS[ending][0], *STRICT[:2], "-I", headers, path, "-o", program, *LIBRARIES])
    return done, program


def output_of(place, program, conf):
    return run([program], env=place.environment(False, {"MOLEHILL_CONF": conf})[0])


def run_all(place, sources):
    for path in sources:
        done, program = build(place, path)
        case(done.returncode == 0, f"{path} is not built: {done.stderr[-2000:]}")
        with open(os.path.splitext(path)[0] + ".txt", encoding="utf-8") as file:
            expected = file.read()
        done = output_of(place, program, "compat:windows")
        case(done.returncode == 0 and done.stdout == expected,
             f"{path}: ends with {done.returncode}: {done.stdout}{done.stderr}")
        # By the documents, HeapAlloc leaves the last error alone.
        expected = expected.replace("last error 8\n", "last error 0\n")
        done = output_of(place, program, "compat:documents")
        case(done.returncode == 0 and done.stdout == expected,
             f"{path}, documents: ends with {done.returncode}: {done.stdout}{done.stderr}")


def find_mistakes(place, sources):
    """The programs tell when a macro is wrong."""
    tree = place.file("include")
    by_name = {os.path.splitext(os.path.basename(path))[0]: path for path in sources}
    for header, old, new, name in MISTAKES:
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "include"), tree)
        path = os.path.join(tree, "molehill", "win32", header)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        case(old in text, f"{header} has no {old!r}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
        headers = os.path.dirname(path)
        if name is None:
            source = place.file("pure.cpp", "#include <objbase.h>\nDECLARE_INTERFACE(IMole)\n"
                                "{\n    STDMETHOD(Dig)(THIS) PURE;\n};\n"
                                "struct Mole : IMole {};\nMole mole;\n")
            results = [run(["g++", "-fsyntax-only", "-I", where, source]).returncode
                       for where in (headers, HEADERS)]
            case(results[0] == 0 and results[1] != 0, "a class of pure methods has objects")
            continue
        done, program = build(place, by_name[name], headers)
        with open(os.path.splitext(by_name[name])[0] + ".txt", encoding="utf-8") as file:
            expected = file.read()
        is_found = done.returncode != 0
        if not is_found:
            done = output_of(place, program, "compat:windows")
            is_found = done.returncode != 0 or done.stdout != expected
        case(is_found, f"{name} works though {header} says {new!r}")


# What docs/porting.md tells porters to write: exceptions, and interfaces of their own.
EXCEPTIONS = """
#include <windows.h>
#include <stdio.h>

int main(void)
{
    HANDLE heap = HeapCreate(HEAP_GENERATE_EXCEPTIONS, 0, 0);
    volatile int caught = 0;
    MH_TRY {
        HeapAlloc(heap, 0, (SIZE_T)-1);
        return 1;
    } MH_EXCEPT {
        switch (GetExceptionCode()) {
        case STATUS_NO_MEMORY:
            caught = 1;
            break;
        case EXCEPTION_ACCESS_VIOLATION:
            return 2;
        }
    } MH_END_TRY;
    return caught ? 0 : 3;
}
"""
INTERFACE = """
#include <windows.h>
#include <initguid.h>

DEFINE_GUID(IID_IMole, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
MIDL_INTERFACE("00000001-0002-0003-0405-060708090a0b") IMole : public IUnknown
{
    virtual int STDMETHODCALLTYPE Dig() = 0;
};
MH_UUID_OF(IMole, IID_IMole);

struct Mole : IMole {
    STDMETHODIMP QueryInterface(REFIID riid, void **ppv)
    {
        IMole *pThis = this;
        *ppv = riid == __uuidof(pThis) ? this : NULL;
        return *ppv ? S_OK : E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() { return 2; }
    STDMETHODIMP_(ULONG) Release() { return 1; }
    int STDMETHODCALLTYPE Dig() { return 7; }
};

int main()
{
    Mole mole;
    IMole *pMole = NULL;
    IMalloc *pMalloc = NULL;
    IMallocSpy *pSpy = NULL;
    if (mole.QueryInterface(IID_PPV_ARGS(&pMole)) != S_OK || pMole->Dig() != 7)
        return 1;
    if (mole.QueryInterface(IID_PPV_ARGS(&pSpy)) != E_NOINTERFACE || pSpy != NULL)
        return 2;
    CoGetMalloc(MEMCTX_TASK, &pMalloc);
    return pMalloc->QueryInterface(IID_PPV_ARGS(&pMole)) == E_NOINTERFACE ? 0 : 3;
}
"""
# What other headers may be used with these, which make words like IN and interface macros.
CROWD = """
#include <windows.h>
#include <objbase.h>
#include <tchar.h>
#include <malloc.h>
#ifdef __cplusplus
#include <bits/stdc++.h>
#else
#include <complex.h>
#include <math.h>
#include <stdatomic.h>
#include <threads.h>
#endif
#include <dlfcn.h>
#include <immintrin.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
int main(void) { return 0; }
"""


def ported(place):
    for name, text in (("exceptions.c", EXCEPTIONS), ("exceptions.cpp", EXCEPTIONS),
                       ("interface.cpp", INTERFACE), ("crowd.c", CROWD), ("crowd.cpp", CROWD)):
        done, program = build(place, place.file(name, text))
        case(done.returncode == 0, f"{name} is not built: {done.stderr[-2000:]}")
        if done.returncode != 0:
            continue
        done = output_of(place, program, "compat:documents")
        case(done.returncode == 0, f"{name} ends with {done.returncode}: {done.stderr}")


def bare_names():
    """libmolehill-win32 has what a program finds by name."""
    library = ctypes.CDLL(os.path.join(BUILD, "src", "libmolehill-win32.so.0"))
    for name in ("GlobalAlloc", "LocalAlloc", "GlobalReAlloc"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("GlobalSize", "LocalSize", "_msize"):
        getattr(library, name).restype = ctypes.c_size_t
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for alloc, size in ((library.GlobalAlloc, library.LocalSize),
                        (library.LocalAlloc, library.GlobalSize)):
        block = alloc(0x40, ctypes.c_size_t(27))
        case(block and size(block) == 27, f"{alloc.__name__}: {block}")
        case(library._msize(block) == 27, "_msize by its bare name")
        library.GlobalFree.argtypes = [ctypes.c_void_p]
        case(library.GlobalFree(block) == 0, "GlobalFree by its bare name")


def refusals(place):
    """_WIN32 is not made known; a _UNICODE program is told why it cannot be compiled."""
    for compiler, ending in (("gcc", ".c"), ("g++", ".cpp")):
        source = place.file("win32" + ending, "#include <windows.h>\n#include <objbase.h>\n"
                            "#if defined(_WIN32) || defined(_WIN64)\n#error known\n#endif\n")
        done = run([compiler, "-I", HEADERS, "-fsyntax-only", source])
        case(done.returncode == 0, f"_WIN32: {done.stderr}")
        source = place.file("wide" + ending, "#define _UNICODE\n#include <tchar.h>\n")
        done = run([compiler, "-I", HEADERS, "-fsyntax-only", source])
        case(done.returncode != 0 and "docs/porting.md" in done.stderr, "_UNICODE is accepted")


def for_windows(place, sources):
    """They are Windows programs: Windows' compiler takes them, with its own headers."""
    for path in sources:
        compiler = MINGW[os.path.splitext(path)[1]]
        if not shutil.which(compiler):
            skip(f"{compiler} is not installed, {os.path.basename(path)} not tried with it")
            continue
        done = run([compiler, *STRICT[:2], "-Werror", path, "-o", place.file("program.exe"),
                    "-lole32", "-luuid"])
        case(done.returncode == 0, f"{compiler}: {done.stderr[-2000:]}")


def same_values(place):
    """Every constant and every type is as mingw-w64 has it, where that has it."""
    if not shutil.which(MINGW[".c"]):
        skip(f"{MINGW['.c']} is not installed, values not compared with its headers")
        return
    found = porting.collect(ROOT, ["gcc"], ["g++"])
    names = {name: entry.kind for name, (entry, note) in found.items() if note != "C++"}
    constants = [name for name, kind in names.items()
                 if kind in ("macro", "constant") and VALUES.fullmatch(name)]
    types = [name for name, kind in names.items() if kind == "type" and name not in NOT_THERE]
    include = "#include <windows.h>\n#include <objbase.h>\n#include <tchar.h>\n"
    ours = include + "#include <stdio.h>\nint main(void)\n{\n" + "".join(
        f'printf("{name} %d\\n", (int)({name}));\n' for name in constants) + "".join(
        f'printf("sizeof({name}) %d\\n", (int)sizeof({name}));\n'
        for name in types) + "return 0;\n}\n"
    done, program = build(place, place.file("values.c", ours))
    case(done.returncode == 0, f"values: {done.stderr[-2000:]}")
    lines = run([program]).stdout.splitlines()
    case(len(lines) > 250, f"only {len(lines)} values")
    theirs = include
    for line in lines:
        name, value = line.split()
        test = f'_Static_assert((int)({name}) == (int)({value}), "{name}");\n'
        is_macro = names.get(name) == "macro"
        theirs += f"#ifdef {name}\n{test}#endif\n" if is_macro else test
    done = run([MINGW[".c"], "-fsyntax-only", place.file("theirs.c", theirs)])
    wrong = [line for line in done.stderr.splitlines() if "error:" in line]
    case(done.returncode == 0, "mingw-w64 differs: " + "; ".join(wrong[:20]))


def main():
    need("gcc", "g++")
    sources = sorted(os.path.join(PROGRAMS, name) for name in os.listdir(PROGRAMS)
                     if name.endswith((".c", ".cpp")))
    case(len(sources) >= 5, f"only {len(sources)} programs")
    with Scratch() as place:
        compile_all(sources)
        run_all(place, sources)
        ported(place)
        bare_names()
        refusals(place)
        find_mistakes(place, sources)
        for_windows(place, sources)
        same_values(place)
    end()


main()
