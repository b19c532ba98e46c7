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
import install_programs as texts

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
    checks.program("C, static core", cc, ".c", texts.APP,
                   cflags + [library("libmolehill.a"), "-pthread"])
    checks.program("malloc, static", cc, ".c", texts.MALLOC,
                   cflags + [library("libmolehill-malloc.a"), library("libmolehill.a"),
                             "-pthread"])
    checks.program("bare Win32 names, static", cc, ".c", texts.BARE,
                   [library("libmolehill-win32.a"), library("libmolehill.a"), "-pthread"])
    checks.program("molehill-malloc.o, C", cc, ".c", texts.MALLOC, one_object)
    checks.program("molehill-malloc.o, C, -static", cc, ".c", texts.MALLOC,
                   [*one_object, "-static"])
    checks.program("molehill-malloc.o, C++", cxx, ".cc", texts.CXX, one_object)
    checks.program("molehill-malloc.o, C++, -static", cxx, ".cc", texts.CXX,
                   [*one_object, "-static", *THROWING])
    for package, compiler, suffix, source in (
            ("molehill", cc, ".c", texts.APP), ("molehill", cxx, ".cc", texts.APP),
            ("molehill-malloc", cc, ".c", texts.MALLOC), ("molehill-win32", cc, ".c", texts.BARE),
            ("molehill-win32", cxx, ".cc", texts.BARE),
            ("molehill-win32", cc, ".c", texts.WINDOWS),
            ("molehill-win32", cxx, ".cc", texts.WINDOWS)):
        flags = checks.pkg_config("--static", "--cflags", "--libs", package)
        checks.program(f"pkg-config --static {package}, {suffix}", compiler, suffix, source,
                       [*flags, "-static"])


def shared_rows(checks, cc, cxx, library_dir):
    """The shared libraries, linked and preloaded."""
    found = {"LD_LIBRARY_PATH": library_dir}
    flags = checks.pkg_config("--cflags", "--libs", "molehill")
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    checks.program("C, shared", cc + strict, ".c", texts.APP, flags, **found)
    checks.program("C++, shared", cxx + strict, ".cc", texts.APP, flags, **found)

    # These find their core by RUNPATH, so only the first library needs a path.
    malloc = os.path.join(library_dir, "libmolehill-malloc.so.0")
    checks.program("malloc, preloaded", cc, ".c", texts.MALLOC, flags, LD_PRELOAD=malloc, **found)
    code, output = checks.run(["/bin/echo", "fine"], LD_PRELOAD=malloc)
    checks.note("malloc preloaded by its path alone", code == 0 and output == "fine\n", output)
    checks.program("malloc, linked", cc, ".c", texts.MALLOC,
                   checks.pkg_config("--cflags", "--libs", "molehill-malloc"), **found)
    checks.program("malloc, linked, C++", cxx, ".cc", texts.CXX,
                   checks.pkg_config("--cflags", "--libs", "molehill-malloc"), **found)
    checks.program("bare Win32 names", cc, ".c", texts.WIN32, ["-ldl"], **found)
    bare = checks.pkg_config("--cflags", "--libs", "molehill-win32")
    checks.program("bare Win32 names, linked", cc, ".c", texts.BARE, bare, **found)
    checks.program("bare Win32 names, linked, C++", cxx, ".cc", texts.BARE, bare, **found)
    checks.program("a Windows source", cc + strict, ".c", texts.WINDOWS, bare, **found)
    checks.program("a Windows source, C++", cxx + strict, ".cc", texts.WINDOWS, bare, **found)


def dotnet_rows(checks, cc, library_dir):
    """The links for .NET, Mono's map, the resolver."""
    said = checks.pkg_config("--variable=dotnetdir", "molehill-win32")
    links = os.path.join(library_dir, "molehill", "dotnet")
    checks.note("pkg-config knows the links", len(said) == 1 and
                os.path.realpath(said[0]) == os.path.realpath(links), str(said))
    data = glob.glob(os.path.join(checks.tree, "**/share/molehill/dotnet"), recursive=True)
    problems = check_links.all_problems(links, library_dir, "".join(data))
    checks.note("links, map and resolver for .NET", not problems, "\n".join(problems))
    checks.program("bare Win32 names, by links alone", cc, ".c", texts.LINKED, ["-ldl"],
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
    if not compiled(checks, "a spy", [*strict, "-shared", "-fPIC"],
                    texts.SPY, spy) or not compiled(
            checks, "a static program",
            [*strict, "-static", "-pthread", os.path.join(library_dir, "molehill-malloc.o")],
            texts.STATIC, static):
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
