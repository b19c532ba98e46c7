#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Install into an empty directory and use what is there as a client would: pkg-config, C, C++,
static linking, the preloaded malloc, the bare Win32 names and what leads .NET to them.

usage: check_install.py --cc 'CC ARGS' --cxx 'CXX ARGS'    (MOLEHILL_BUILD: build directory)
"""
import argparse
import glob
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import check_links

APP = r"""
#include <molehill/heapapi.h>
#include <molehill/molehill.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    char *text = (char *)HeapAlloc(heap, HEAP_ZERO_MEMORY, 27);
    if (text == NULL || HeapSize(heap, 0, text) != 27)
        return 1;
    strcpy(text, "a small heap");
    puts(text);
    if (!HeapFree(heap, 0, text) || !HeapDestroy(heap))
        return 2;
    return 0;
}
"""

# Bare names, found at run time as P/Invoke and dlsym do.
WIN32 = r"""
#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
    void *library = dlopen("libmolehill-win32.so.0", RTLD_NOW);
    if (library == NULL)
        return puts(dlerror()), 1;
    void *(*process_heap)(void) = (void *(*)(void))dlsym(library, "GetProcessHeap");
    void *(*alloc)(void *, unsigned, size_t) =
        (void *(*)(void *, unsigned, size_t))dlsym(library, "HeapAlloc");
    if (process_heap == NULL || alloc == NULL || alloc(process_heap(), 0, 5) == NULL)
        return 2;
    puts("a small heap");
    return 0;
}
"""

# The same by the names that .NET programs import; the folder of links is all that the loader knows.
LINKED = WIN32.replace("libmolehill-win32.so.0", "libkernel32.dll.so").replace(
    "    puts(", """    if (dlopen("libOle32.so", RTLD_NOW) != library)
        return 3;
    puts(""")

# A block of malloc's own, counted by molehill: that is how the program knows who served it.
MALLOC = r"""
#include <molehill/molehill.h>

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    struct mh_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    mh_stats_get(&before);
    for (int i = 0; i < 1000; i++) {
        char *volatile block = malloc(100);
        free(block);
    }
    mh_stats_get(&after);
    if (after.malloc_frees < before.malloc_frees + 1000)
        return 1;
    puts("a small heap");
    return 0;
}
"""

# It stays until its input ends, on a malloc that is part of it.
STATIC = r"""
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    free(malloc(1));
    return getchar() != EOF;
}
"""

# The bare names, linked; in C++ too.
BARE = r"""
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif
void *GetProcessHeap(void);
void *HeapAlloc(void *, unsigned, size_t);
size_t HeapSize(void *, unsigned, const void *);
int HeapFree(void *, unsigned, void *);
void *CoTaskMemAlloc(size_t);
extern const unsigned char IID_IMalloc[16];
#ifdef __cplusplus
}
#endif

int main(void)
{
    void *block = HeapAlloc(GetProcessHeap(), 0, 27);
    if (HeapSize(GetProcessHeap(), 0, block) != 27 || !HeapFree(GetProcessHeap(), 0, block))
        return 1;
    if (!CoTaskMemAlloc(0) || IID_IMalloc[0] != 2 || IID_IMalloc[8] != 0xC0 ||
        IID_IMalloc[15] != 0x46)
        return 2;
    puts("a small heap");
    return 0;
}
"""

# A source for Windows, in C and C++, as such sources spell their includes.
WINDOWS = r"""
#include <Windows.h>
#include <ObjBase.h>
#include <malloc.h>
#include <stdio.h>

int main(void)
{
    IMalloc *pMalloc = NULL;
    LPVOID lpBlock = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, 27);

    if (lpBlock == NULL || _msize(lpBlock) != 27 || FAILED(CoGetMalloc(1, &pMalloc)))
        return 1;
    CoTaskMemFree(lpBlock);
    if (GlobalFree(GlobalAlloc(GPTR, 5)) != NULL)
        return 2;
    puts("a small heap");
    return 0;
}
"""

# new and delete are molehill's, and a new that fails throws. This much refers to nothing else of
# the C++ library that throws bad_alloc.
CXX = r"""
#include <molehill/molehill.h>

#include <cstdint>
#include <cstdio>
#include <new>

int main()
{
    struct mh_stats before = {}, after = {};
    before.size = after.size = sizeof(before);
    mh_stats_get(&before);
    for (int i = 0; i < 1000; i++) {
        char *volatile block = new char[100];
        delete[] block;
    }
    mh_stats_get(&after);
    if (after.malloc_frees < before.malloc_frees + 1000)
        return 1;
    volatile std::size_t bytes = PTRDIFF_MAX / 2;
    try {
        char *volatile block = new char[bytes];
        delete[] block;
        return 2;
    } catch (const std::bad_alloc &) {
        std::puts("a small heap");
    }
    return 0;
}
"""

# A spy in a shared object, which tells that it was there.
SPY = r"""
#include <molehill/spy_module.h>

static struct mh_spy spy;
const unsigned mh_spy_module_version = MH_SPY_MODULE_VERSION;

const struct mh_spy *mh_spy_module_start(const char *args, void **heap, char *error,
                                         size_t error_bytes)
{
    (void)args;
    (void)heap;
    (void)error;
    (void)error_bytes;
    spy.size = sizeof spy;
    spy.name = "small";
    return &spy;
}

void mh_spy_module_stop(void (*write)(void *to, const char *text, size_t bytes), void *to)
{
    write(to, "a small spy\n", 12);
}
"""

# What README tells those to add who link molehill-malloc.o into a static C++ program.
THROWING = ["-Wl,-u,_ZSt17__throw_bad_allocv", "-Wl,-u,_ZSt15get_new_handlerv"]


class Checks:
    def __init__(self, tree, folder, environment):
        self.tree, self.folder, self.environment = tree, folder, environment
        self.command = None     # molehill, installed
        self.passed = self.failed = 0

    def note(self, what, good, output=""):
        self.passed += good
        self.failed += not good
        print(("ok    " if good else "FAIL  ") + what + ("" if good else "\n" + output))
        return good

    def run(self, command, **more):
        env = dict(self.environment, **more)
        result = subprocess.run(command, env=env, cwd=self.folder, text=True, check=False,
                                capture_output=True)
        return result.returncode, result.stdout + result.stderr

    def pkg_config(self, *args):
        code, output = self.run(["pkg-config", *args])
        return shlex.split(output) if code == 0 else ["--pkg-config-failed", output]

    def program(self, what, compiler, suffix, source, flags, **more):
        """Compile, run, and expect the program to print its one line."""
        path = os.path.join(self.folder, "app" + suffix)
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        exe = os.path.join(self.folder, "app")
        code, output = self.run([*compiler, path, "-o", exe, *flags])
        if code != 0:
            self.note(what + ": compiles", False, output)
            return
        code, output = self.run([exe], **more)
        self.note(what, code == 0 and output == "a small heap\n",
                  f"exit status {code}, output {output!r}")


def static_rows(checks, cc, cxx, library_dir):
    """Static archives, the one object, and what pkg-config says for them. -static: as a whole."""
    def library(name):
        return os.path.join(library_dir, name)

    cflags = checks.pkg_config("--cflags", "molehill")
    one_object = [*cflags, library("molehill-malloc.o"), "-pthread"]
    checks.program("C, static core", cc, ".c", APP,
                   cflags + [library("libmolehill.a"), "-pthread"])
    checks.program("malloc, static", cc, ".c", MALLOC,
                   cflags + [library("libmolehill-malloc.a"), library("libmolehill.a"),
                             "-pthread"])
    checks.program("bare Win32 names, static", cc, ".c", BARE,
                   [library("libmolehill-win32.a"), library("libmolehill.a"), "-pthread"])
    checks.program("molehill-malloc.o, C", cc, ".c", MALLOC, one_object)
    checks.program("molehill-malloc.o, C, -static", cc, ".c", MALLOC, [*one_object, "-static"])
    checks.program("molehill-malloc.o, C++", cxx, ".cc", CXX, one_object)
    checks.program("molehill-malloc.o, C++, -static", cxx, ".cc", CXX,
                   [*one_object, "-static", *THROWING])
    for package, compiler, suffix, source in (
            ("molehill", cc, ".c", APP), ("molehill", cxx, ".cc", APP),
            ("molehill-malloc", cc, ".c", MALLOC), ("molehill-win32", cc, ".c", BARE),
            ("molehill-win32", cxx, ".cc", BARE),
            ("molehill-win32", cc, ".c", WINDOWS), ("molehill-win32", cxx, ".cc", WINDOWS)):
        flags = checks.pkg_config("--static", "--cflags", "--libs", package)
        checks.program(f"pkg-config --static {package}, {suffix}", compiler, suffix, source,
                       [*flags, "-static"])


def shared_rows(checks, cc, cxx, library_dir):
    """The shared libraries, linked and preloaded."""
    found = {"LD_LIBRARY_PATH": library_dir}
    flags = checks.pkg_config("--cflags", "--libs", "molehill")
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    checks.program("C, shared", cc + strict, ".c", APP, flags, **found)
    checks.program("C++, shared", cxx + strict, ".cc", APP, flags, **found)

    # These find their core by RUNPATH, so only the first library needs a path.
    malloc = os.path.join(library_dir, "libmolehill-malloc.so.0")
    checks.program("malloc, preloaded", cc, ".c", MALLOC, flags, LD_PRELOAD=malloc, **found)
    code, output = checks.run(["/bin/echo", "fine"], LD_PRELOAD=malloc)
    checks.note("malloc preloaded by its path alone", code == 0 and output == "fine\n", output)
    checks.program("malloc, linked", cc, ".c", MALLOC,
                   checks.pkg_config("--cflags", "--libs", "molehill-malloc"), **found)
    checks.program("malloc, linked, C++", cxx, ".cc", CXX,
                   checks.pkg_config("--cflags", "--libs", "molehill-malloc"), **found)
    checks.program("bare Win32 names", cc, ".c", WIN32, ["-ldl"], **found)
    bare = checks.pkg_config("--cflags", "--libs", "molehill-win32")
    checks.program("bare Win32 names, linked", cc, ".c", BARE, bare, **found)
    checks.program("bare Win32 names, linked, C++", cxx, ".cc", BARE, bare, **found)
    checks.program("a Windows source", cc + strict, ".c", WINDOWS, bare, **found)
    checks.program("a Windows source, C++", cxx + strict, ".cc", WINDOWS, bare, **found)


def dotnet_rows(checks, cc, library_dir):
    """The links for .NET, Mono's map, the resolver."""
    said = checks.pkg_config("--variable=dotnetdir", "molehill-win32")
    links = os.path.join(library_dir, "molehill", "dotnet")
    checks.note("pkg-config knows the links", len(said) == 1 and
                os.path.realpath(said[0]) == os.path.realpath(links), str(said))
    data = glob.glob(os.path.join(checks.tree, "**/share/molehill/dotnet"), recursive=True)
    problems = check_links.all_problems(links, library_dir, "".join(data))
    checks.note("links, map and resolver for .NET", not problems, "\n".join(problems))
    checks.program("bare Win32 names, by links alone", cc, ".c", LINKED, ["-ldl"],
                   LD_LIBRARY_PATH=links)


def compiled(checks, what, command, source, path):
    with open(path + ".c", "w", encoding="utf-8") as file:
        file.write(source)
    code, output = checks.run([*command, path + ".c", "-o", path])
    return checks.note(what + " compiles", code == 0, output)


def spied(checks, program, requests, **more):
    """What the command says of these requests to the program, which waits for its input's end."""
    socket = os.path.join(checks.folder, "socket")
    env = dict(checks.environment, MOLEHILL_CONF="control:" + socket, **more)
    with subprocess.Popen([program], env=env, stdin=subprocess.PIPE) as process:
        while process.poll() is None and not os.path.exists(socket):
            time.sleep(0.01)
        said = [checks.run([checks.command, what, socket, which]) for what, which in requests]
        process.stdin.close()
    return said


def command_rows(checks, cc, library_dir):
    """The command, its man page, the spy that comes with it, and one of the client's."""
    commands = glob.glob(os.path.join(checks.tree, "**/bin/molehill"), recursive=True)
    if not checks.note("the command", len(commands) == 1, str(commands)):
        return
    checks.command = commands[0]
    code, output = checks.run([checks.command, "--version"])
    checks.note("molehill --version", code == 0 and output.startswith("molehill "), output)
    pages = glob.glob(os.path.join(checks.tree, "**/man1/molehill.1*"), recursive=True)
    checks.note("a man page", len(pages) == 1, str(pages))
    spy, static = os.path.join(checks.folder, "spy"), os.path.join(checks.folder, "static")
    strict = [*cc, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
              *checks.pkg_config("--cflags", "molehill")]
    if not compiled(checks, "a spy", [*strict, "-shared", "-fPIC"], SPY, spy) or not compiled(
            checks, "a static program",
            [*strict, "-static", "-pthread", os.path.join(library_dir, "molehill-malloc.o")],
            STATIC, static):
        return
    said = spied(checks, "cat", (
        ("attach", os.path.join(library_dir, "molehill", "top-sites.so")), ("attach", spy),
        ("detach", "top-sites"), ("detach", "small")),
        LD_PRELOAD=os.path.join(library_dir, "libmolehill-malloc.so.0"))
    checks.note("spies attached and detached",
                [code for code, _ in said] == [0] * 4 and said[0][1] == "1 top-sites\n"
                and said[2][1].startswith("top-sites: ") and said[3][1] == "a small spy\n",
                str(said))
    said = spied(checks, static, (("attach", spy),))
    checks.note("a static program refuses spies",
                said == [(1, "molehill: a static program loads no spies\n")], str(said))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    args = parser.parse_args()
    cc, cxx = shlex.split(args.cc), shlex.split(args.cxx)
    build = os.environ["MOLEHILL_BUILD"]

    with tempfile.TemporaryDirectory(prefix="molehill-install-") as folder:
        tree = os.path.join(folder, "tree")
        meson = shutil.which("meson")
        installed = subprocess.run(
            [meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", tree],
            text=True, capture_output=True, check=False)
        libraries = glob.glob(os.path.join(tree, "**/libmolehill.so"), recursive=True)
        if installed.returncode != 0 or not libraries:
            print(installed.stdout + installed.stderr)
            sys.exit("check_install.py: meson install installed no libmolehill.so")
        library_dir = os.path.dirname(libraries[0])
        environment = dict(
            os.environ, PKG_CONFIG_SYSROOT_DIR=tree, PKG_CONFIG_PATH="",
            PKG_CONFIG_LIBDIR=os.path.join(library_dir, "pkgconfig"))
        environment.pop("LD_PRELOAD", None)
        checks = Checks(tree, folder, environment)
        command_rows(checks, cc, library_dir)
        shared_rows(checks, cc, cxx, library_dir)
        static_rows(checks, cc, cxx, library_dir)
        dotnet_rows(checks, cc, library_dir)

    print(f"{checks.passed} passed, {checks.failed} failed, 0 skipped")
    sys.exit(1 if checks.failed else 0)


main()
