#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command molehill where it needs no process: usage, --help, --version, its exit status, the
process it cannot find; and its man page, which says as much."""
import os
import re
import shutil
import socket
import subprocess

from _control import COMMAND, molehill
from _preload import Scratch, case, end, skip

ROOT = os.environ.get("MOLEHILL_SOURCE") or os.path.realpath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
PAGE = os.path.join(ROOT, "src", "cli", "molehill.1")
WRONG = ([], [""], ["--nonsense"], ["attach"], ["attach", "1"], ["detach", "1"], ["detach"],
         ["detach", "1", "2", "3"], ["list"], ["list", "1", "2"], ["--help", "1"],
         ["--version", "1"], ["LIST", "1"])


def usages():
    helped = molehill("--help")
    case(helped.returncode == 0 and helped.stderr == "", f"--help: {helped}")
    usage = helped.stdout.split("\n\n")[0] + "\n"
    case(usage.startswith("usage: molehill attach PROCESS SPY.so [ARGUMENT...]\n"),
         f"--help begins with {usage}")
    case(max(map(len, helped.stdout.splitlines())) <= 90, "--help is too wide")
    case(molehill("-h").stdout == helped.stdout, "-h is not --help")
    for words in WRONG:
        done = molehill(*words)
        case(done.returncode == 2 and done.stdout == "" and done.stderr == usage,
             f"{words}: status {done.returncode}, {done.stdout!r} {done.stderr!r}")
    said = molehill("--version")
    with open(os.path.join(ROOT, "meson.build"), encoding="utf-8") as file:
        version = re.search(r"^  version: '(.+)',$", file.read(), re.M)[1]
    case((said.returncode, said.stdout) == (0, f"molehill {version}\n"), f"--version: {said}")
    for option in ("--help", "--version"):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([COMMAND, option], stdout=full, stderr=subprocess.PIPE,
                                  check=False, timeout=60)
        case(done.returncode == 3, f"{option} to a full disk: status {done.returncode}")


def unreachable(place):
    """Each said in one line that names what was asked for."""
    deaf = place.file("deaf")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(deaf)
    done = subprocess.run(["true"], check=False)
    gone = subprocess.Popen(["true"])
    gone.wait()
    case(done.returncode == 0, "true is false")
    for name, part in ((str(gone.pid), "there is none"), ("0", "there is none"),
                       ("99999999999999999999", "there is none"), ("", "not the path"),
                       (str(os.getpid()), "has no control socket"),
                       (place.file("none"), "there is no socket"), (deaf, "nobody listens there"),
                       (place.file("file", ""), "nobody listens there"),
                       ("x" * 200, "not the path of a socket"), ("-1", "there is no socket")):
        done = molehill("list", name)
        case(done.returncode == 3 and done.stdout == "" and done.stderr.count("\n") == 1
             and done.stderr.startswith("molehill: ") and part in done.stderr
             and name in done.stderr, f"{name}: status {done.returncode}, {done.stderr!r}")


def wrong_answers(place):
    """Who listens there and answers nonsense is not believed."""
    path = place.file("nonsense")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        for answer in (b"", b"ok", b"ok 3\n", b"ok 3\nab", b"ok 3\nabcd", b"fine 0\n", b"ok -1\n",
                       b"ok 1 \nx", b"\0\0\0", b"error\n", b"x" * 100000):
            with subprocess.Popen([COMMAND, "list", path], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) as command:
                place.processes.append(command)
                peer, _ = listener.accept()
                request = peer.recv(100)
                peer.sendall(answer)
                peer.close()
                said = command.communicate(timeout=60)
            case(request == b"list\n", f"it asks {request!r}")
            case(command.returncode == 3
                 and said == ("", f"molehill: {path}: no whole answer came\n"),
                 f"{answer[:20]!r}: status {command.returncode}, {said}")


def manual(place):
    """Formats without a warning, and has every word of --help's usage."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    for word in ("attach", "detach", "list"):
        case(f".It Cm {word} " in page, f"the page has no {word}")
    for status in range(4):
        case(f"\n.It {status}\n" in page, f"the page has no exit status {status}")
    env = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", MANROFFSEQ="")
    if shutil.which("man"):
        command = ["man", "--warnings=w", "-E", "UTF-8", "-l", PAGE]
    elif shutil.which("mandoc"):
        command = ["mandoc", "-Tutf8", "-Wwarning", PAGE]
    else:
        skip("neither man nor mandoc is installed: the page is not formatted")
        return

    def run(path):
        return subprocess.run([*command[:-1], path], env=env, capture_output=True, text=True,
                              timeout=60, check=False)

    done = run(PAGE)
    said = re.sub(r".\x08", "", done.stdout)
    case(done.returncode == 0 and done.stderr == "", f"the page: {done.stderr}")
    case("molehill attach process spy.so [argument ...]" in said and "EXIT STATUS" in said,
         f"the page reads {said[:500]}")
    wrong = run(place.file("wrong.1", page.replace(".El", ".Zz\n\\fQ", 1)))
    case(wrong.stderr != "" or wrong.returncode != 0, "a wrong page is not found to be wrong")


def main():
    with Scratch() as place:
        usages()
        unreachable(place)
        wrong_answers(place)
        manual(place)
    end()


main()
