# SPDX-License-Identifier: MIT
"""What the tests of the control socket share: the program busy with such a socket, the command
molehill, and requests written by hand."""
import os
import re
import socket
import subprocess

from _preload import BUILD, MALLOC

COMMAND = os.path.join(BUILD, "src", "molehill")
BUSY = os.path.join(BUILD, "tests", "busy")
SECONDS = 60


def module(name):
    return os.path.join(BUILD, "tests", f"spy_{name}.so")


def environment(conf):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "MOLEHILL_CONF")}
    env["LC_ALL"] = "C"
    env["LD_PRELOAD"] = MALLOC
    if conf:
        env["MOLEHILL_CONF"] = conf
    return env


class Busy:
    """The program with a control socket at `path`, in which %p may stand."""

    def __init__(self, place, path, threads=0, conf="", folder=None, **more):
        """`folder`: where copies of the program and the libraries are."""
        env = environment(f"control:{path}{conf}" if path else conf)
        if folder:
            env["LD_PRELOAD"] = os.path.join(folder, os.path.basename(MALLOC))
        self.process = subprocess.Popen(
            [os.path.join(folder, "busy") if folder else BUSY, str(threads)], env=env,
            cwd=place.path, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **more)
        place.processes.append(self.process)
        self.pid = self.process.pid
        self.path = path.replace("%p", str(self.pid))
        if self.process.stdout.readline() != "up\n":
            raise RuntimeError(f"busy does not start: {self.process.stderr.read()}")

    def tell(self, line):
        """Its answer to one line."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        """What it says on stderr, after a normal exit; the status before it if not 0."""
        _, errors = self.process.communicate("end\n", timeout=SECONDS)
        status = self.process.returncode
        return errors if status == 0 else f"{status}: {errors}"

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=SECONDS)


def molehill(*words, cwd=None, command=COMMAND, **more):
    return subprocess.run([command, *map(str, words)], capture_output=True, text=True,
                          timeout=SECONDS, check=False, cwd=cwd, **more)


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)      # waits for a place in the queue, which it would not with a timeout
    peer.settimeout(SECONDS)
    return peer


def answer(peer):
    """(kind, text) as the protocol has it; what came as it is when it is not that."""
    data = b""
    while more := peer.recv(65536):
        data += more
    peer.close()
    head = re.match(rb"(ok|error) (\d+)\n", data)
    if not head or int(head[2]) != len(data) - head.end():
        return "wrong", data
    return head[1].decode(), data[head.end():].decode(errors="replace")


def ask(path, request):
    """The answer to these bytes; they need not all be taken."""
    peer = connect(path)
    try:
        peer.sendall(request)
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    return answer(peer)
