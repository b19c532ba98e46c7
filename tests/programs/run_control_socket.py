#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The control socket itself (docs/control.md): where it is, whose, who may connect, requests that
are wrong, peers that say nothing, and what becomes of it at exit, after a kill, after fork."""
import fcntl
import os
import select
import shutil
import socket
import stat
import subprocess
import sys

from _control import BUSY, COMMAND, Busy, answer, ask, connect, environment, molehill
from _preload import CORE, MALLOC, Scratch, case, end, need, skip

NOBODY = 65534
LISTED = "ID   NAME             ON             SINCE                FILE\n"

SECURE = r"""
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>
void *mh_GetProcessHeap(void);
int main(int argc, char **argv)
{
    mh_GetProcessHeap();
    printf("secure %lu socket %d\n", getauxval(AT_SECURE), access(argv[argc - 1], F_OK) == 0);
    return 0;
}
"""


def modes(place):
    """0600, whatever the umask."""
    for mask in (0, 0o022, 0o077):
        busy = Busy(place, place.file(f"mode.{mask}"), umask=mask)
        found = os.lstat(busy.path)
        case(stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
             and found.st_uid == os.geteuid(), f"umask {mask:o}: mode {found.st_mode:o}")
        case(busy.end() == "", "busy says something")
        case(not os.path.lexists(busy.path), "the socket is there after a normal exit")


def requests(place):
    busy = Busy(place, place.file("requests"))
    for request, kind, part in (
            (b"list\n", "ok", LISTED),
            (b"list\tmore\n", "ok", LISTED),
            (b"list\nlist\n", "ok", LISTED),
            (b"\n", "error", "no such request: \n"),
            (b"LIST\n", "error", "no such request: LIST\n"),
            (b"x" * 8191 + b"\n", "error", "no such request: " + "x" * 40 + "\n"),
            (b"x" * 8192, "error", "too long"),
            (b"x" * 1_000_000, "error", "too long"),
            (b"list\0\n", "error", "NUL"),
            (bytes(range(255, 0, -1)), "error", "no such request"),
            (b"attach\n", "error", "not an absolute path"),
            (b"attach\tspy.so\t\n", "error", "not an absolute path: spy.so"),
            (b"attach\t/" + b"x" * 5000 + b"\t\n", "error", "not an absolute path"),
            (b"detach\n", "error", "no spy  is attached"),
            (b"detach\t0\n", "error", "no spy 0 is attached"),
            (b"detach\t%s%n\n", "error", "no spy %s%n is attached")):
        got = ask(busy.path, request)
        case(got[0] == kind and part in got[1] and (kind == "ok" or got[1].count("\n") == 1),
             f"{request[:40]!r} is answered by {got}")
    case(busy.end() == "", "busy says something")


def silent_peers(place):
    """One who says nothing, or half a line, or reads nothing, does not keep others out."""
    busy = Busy(place, place.file("silent"))
    for said in (b"", b"li"):
        peer = connect(busy.path)
        peer.sendall(said)
        case(ask(busy.path, b"list\n") == ("ok", LISTED), f"no answer behind {said!r}")
        got = answer(peer)
        case(got == ("error", "no request came in time\n"), f"{said!r}: {got}")
    for _ in range(50):
        connect(busy.path).close()
        peer = connect(busy.path)
        peer.sendall(b"list\n")
        peer.close()
    case(ask(busy.path, b"list\n") == ("ok", LISTED), "no answer behind those who hung up")
    case(busy.end() == "", "busy says something")


def for_nobody(place):
    """Copies that every user can run; and how to run as a user who is nobody. None: impossible."""
    folder = place.file("public")
    os.mkdir(folder)
    for path in (COMMAND, BUSY, CORE, MALLOC):
        os.chmod(shutil.copy(path, folder), 0o755)
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        if molehill("--version", command=os.path.join(folder, "molehill"), **who).returncode == 0:
            return folder, who
    except OSError as error:
        print(error)
    skip("no program can be run as another user here: other users' requests are not tested")
    return None, None


def other_user(place):
    """The file's mode keeps others out; root too, by the check of who connects; and the command
    does not speak to a socket of somebody else's."""
    if os.geteuid() != 0:
        skip("not root: no other user can be had, their requests are not tested")
        return
    os.chmod(place.path, 0o711)
    folder, who = for_nobody(place)
    if not folder:
        return
    command = os.path.join(folder, "molehill")
    busy = Busy(place, place.file("user.%p"))
    script = ("import sys, os; sys.path.insert(0, sys.argv[1]);"
              "from _control import ask; os.setgroups([]); os.setresuid(*[65534] * 3)\n"
              "try: print(ask(sys.argv[2], b'list\\n'))\n"
              "except OSError as error: print(type(error).__name__)")

    def as_nobody():
        done = subprocess.run([sys.executable, "-c", script, os.path.dirname(__file__), busy.path],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() + done.stderr[-200:]

    case(as_nobody() == "PermissionError", f"mode 0600 lets nobody in: {as_nobody()}")
    os.chmod(busy.path, 0o666)
    case(as_nobody() == repr(("error", "only user 0 is listened to\n")),
         f"nobody is answered: {as_nobody()}")
    for name, part in ((busy.path, "is user 0's, this is user 65534"),
                       (busy.pid, "Permission denied")):
        done = molehill("list", name, command=command, **who)
        case(done.returncode == 3 and part in done.stderr, f"the command of nobody: {done}")
    case(busy.end() == "", "busy says something")
    os.chmod(place.path, 0o777)
    busy = Busy(place, place.file("nobodys"), folder=folder, **who)
    got = ask(busy.path, b"list\n")
    case(got == ("error", "only user 65534 is listened to\n"), f"root is answered by {got}")
    done = molehill("list", busy.pid, command=command, **who)
    case(done.returncode == 0 and done.stdout == LISTED, f"nobody and his own: {done}")
    case(busy.end() == "", "busy says something")
    os.chmod(place.path, 0o700)


def taken_places(place):
    """A socket left behind is replaced; one in use, or anything else, is left alone."""
    path = place.file("taken")
    for _ in range(3):
        Busy(place, path).kill()
        case(os.path.lexists(path), "a killed process leaves no socket: nothing is tested")
    first = Busy(place, path)
    second = Busy(place, path)
    refused = molehill("list", second.pid)
    case(refused.returncode == 3 and f"process {second.pid} has no control socket"
         in refused.stderr, f"the second process: {refused}")
    line = f"molehill: no control socket at {path}: Address already in use\n"
    case(second.end() == line, "who comes second does not say so")
    case(ask(path, b"list\n") == ("ok", LISTED), "the first is not there any more")
    case(first.end() == "" and not os.path.lexists(path), "the first does not end well")
    for what in ("file", "link", "folder"):
        other = place.file(f"other.{what}")
        if what == "file":
            place.file(f"other.{what}", "precious")
        elif what == "link":
            os.symlink(place.file("other.file"), other)
        else:
            os.mkdir(other)
        said = Busy(place, other).end()
        case(said == f"molehill: no control socket at {other}: Address already in use\n",
             f"a {what} at the path: {said}")
        case(os.path.lexists(other), f"the {what} is gone")
    with open(place.file("other.file"), encoding="ascii") as file:
        case(file.read() == "precious", "the file was written to")


def crowded(place):
    """A socket in use whose queue is full is in use."""
    path = place.file("crowded")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        peers = []
        while len(peers) < 100:
            peers.append(socket.socket(socket.AF_UNIX))
            peers[-1].setblocking(False)
            if peers[-1].connect_ex(path) != 0:
                break
        case(len(peers) < 100, "the queue does not fill: nothing is tested")
        said = Busy(place, path).end()
        case(said == f"molehill: no control socket at {path}: Address already in use\n",
             f"the queue of the socket is full: {said}")
        for peer in peers:
            peer.close()


def replaced(place):
    """What is not the socket we made is not removed at exit."""
    busy = Busy(place, place.file("replaced"))
    os.rename(busy.path, place.file("elsewhere"))
    place.file("replaced", "precious")
    case(busy.end() == "" and os.path.isfile(busy.path), "somebody else's file was removed")


def wrong_paths(place):
    """Those that the configuration refuses, and those that the system refuses."""
    for path in ("x", "", "/", "/x%q", "/x%", "/" + "x" * 107):
        conf = f"control:{path}" if path else "control:"
        said = Busy(place, "", conf=conf).end()
        case(said.startswith(f"molehill: MOLEHILL_CONF ignored, it has an unknown key or value: "
                             f"{conf}") and said.count("\n") == 1, f"{conf}: {said}")
    for path, why in (("/" + "%p" * 53, "File name too long"),
                      (place.file("no/socket"), "No such file or directory")):
        said = Busy(place, path).end()
        case(said == f"molehill: no control socket at {path}: {why}\n", f"{path}: {said}")


def forked(place):
    """The child has no control: it neither removes the socket nor keeps it open."""
    path = place.file("forked")
    busy = Busy(place, path, threads=1)
    case(busy.tell("fork") == "7", "the child does not end as it should")
    case(ask(path, b"list\n") == ("ok", LISTED), "a child's end ends control")
    child = int(busy.tell("stay"))
    case(len(os.listdir(f"/proc/{child}/task")) == 1, "the child has threads")
    case(ask(path, b"list\n") == ("ok", LISTED), "a child at work ends control")
    refused = molehill("list", child)
    case(refused.returncode == 3 and f"process {child} has no control socket" in refused.stderr,
         f"the child by its id: {refused}")
    leaked = [name for name in os.listdir(f"/proc/{child}/fd") if int(name) > 2]
    case(leaked == [], f"the child has open files of ours: {leaked}")
    raw = int(busy.tell("raw"))
    refused = molehill("list", raw)
    case(refused.returncode == 3 and f"is process {busy.pid}'s, not {raw}'s" in refused.stderr,
         f"a child made without hooks: {refused}")
    os.kill(raw, 9)
    busy.process.kill()
    busy.process.wait()
    again = Busy(place, path)
    case(ask(path, b"list\n") == ("ok", LISTED), "the child keeps the parent's socket open")
    case(again.end() == "", "the next process has no control")
    os.kill(child, 9)


def closed_files(place):
    """A program that closes files it does not know loses control, and nothing else."""
    busy = Busy(place, place.file("closed"))
    case(busy.tell("close") == "0", "the files are not closed")
    # A connection was awaited already: that one is still had.
    for _ in range(2):
        try:
            ask(busy.path, b"list\n")
        except OSError:
            break
    for name, why in ((busy.path, "nobody listens there"), (busy.pid, "has no control socket")):
        refused = molehill("list", name)
        case(refused.returncode == 3 and why in refused.stderr, f"after close: {refused}")
    peer = connect(place.file("own"))
    peer.sendall(b"list\n")
    stolen = select.select([peer], [], [], 0.5)[0]
    case(not stolen, "the control thread takes what is the program's")
    if not stolen:
        case(busy.tell("accept") == "0" and peer.recv(100) == b"mine\n",
             "the program's own socket is disturbed")
    peer.close()
    case(busy.end() == "" and not os.path.lexists(busy.path), "busy does not end well")


BY_CALL = """
import ctypes, os, sys
path = sys.argv[2]
def configure(path):
    result = ctypes.CDLL(sys.argv[1]).mh_configure(b"control:" + path.encode())
    print(result, os.path.exists(path), flush=True)
configure(path)
configure(path + "2")
configure("x")
child = os.fork()
if not child:
    configure(path + "3")
    sys.exit(0)
os.waitpid(child, 0)
print(os.path.exists(path), os.path.exists(path + "3"))
"""


def by_call(place):
    """mh_configure opens it as well; once, and once more in a fork's child."""
    path = place.file("call")
    done = subprocess.run([sys.executable, "-c", BY_CALL, CORE, path], env=environment(""),
                          capture_output=True, text=True, timeout=60, check=False)
    case(done.stdout == "0 True\n0 False\n-1 False\n0 True\nTrue False\n",
         f"mh_configure: {done.stdout} {done.stderr[-300:]}")
    case(done.stderr == f"molehill: there is a control socket already; none at {path}2\n",
         f"the second: {done.stderr}")
    case(not os.path.lexists(path), "the socket is left behind")


def raised_privileges(place):
    """Ignored. The copy that is not raised shows that it would not be."""
    compiler = need("cc")
    library = os.path.dirname(MALLOC)
    plain, raised = place.file("plain"), place.file("raised")
    for program in (plain, raised):
        subprocess.run([compiler, place.file("secure.c", SECURE), "-o", program, f"-L{library}",
                        "-Wl,--no-as-needed", "-lmolehill-malloc", "-lmolehill",
                        f"-Wl,-rpath,{library}"], check=True, timeout=60)
    path = place.file("secure.socket")
    env = environment(f"control:{path}")
    del env["LD_PRELOAD"]

    def run(program):
        done = subprocess.run([program, path], env=env, capture_output=True, text=True,
                              timeout=60, check=False)
        return done.stdout + done.stderr

    case(run(plain) == "secure 0 socket 1\n", f"the plain copy: {run(plain)}")
    try:
        os.chown(raised, -1, NOBODY)
        os.chmod(raised, 0o2755)
    except OSError as error:
        skip(f"no program can be given other privileges here ({error}): AT_SECURE is not tested")
        return
    said = run(raised)
    if said.startswith("secure 0"):
        skip("privileges are not raised here (nosuid?): AT_SECURE is not tested")
        return
    case(said == "secure 1 socket 0\n", f"the raised copy: {said}")


def locked_directory(place):
    """Who makes a socket holds the directory's lock, and goes on without where it cannot."""
    path = place.file("locked")
    directory = os.open(place.path, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    said = Busy(place, path).end()
    case(said == f"molehill: no control socket at {path}: Device or resource busy\n",
         f"the directory is locked by another: {said}")
    os.close(directory)


def many_at_once(place):
    """Of processes that start together with one path, left behind by another, one has it."""
    path = place.file("many")
    env = environment(f"control:{path}")
    for _ in range(10):
        Busy(place, path).kill()
        started = [subprocess.Popen([BUSY, "0"], env=env, text=True, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for _ in range(6)]
        place.processes += started
        for process in started:
            process.stdout.readline()
        case(ask(path, b"list\n") == ("ok", LISTED), "nobody listens")
        said = [process.communicate("end\n", timeout=60)[1] for process in started]
        case(sorted(said)[0] == "" and said.count("") == 1, f"{said.count('')} have it: {said}")
        case(not os.path.lexists(path), "the socket is left behind")


def main():
    with Scratch() as place:
        modes(place)
        requests(place)
        silent_peers(place)
        other_user(place)
        taken_places(place)
        crowded(place)
        replaced(place)
        wrong_paths(place)
        forked(place)
        closed_files(place)
        by_call(place)
        raised_privileges(place)
        locked_directory(place)
        many_at_once(place)
    end()


main()
