#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""memcached with several threads: every answer checked, and all of them the same as without the
library. It manages its values' memory itself; what it asks malloc for are connections and the
answers to `stats`, so it gets thousands of those."""
import os
import pwd
import signal
import threading

from _preload import Scratch, case, connect, end, figures, free_port, frees, need

CONNECTIONS = 6


def read_stats(stream, told):
    """The lines of an answer to stats, without those that tell where the server listens."""
    while True:
        line = stream.readline()
        if not line.startswith((b"STAT tcpport", b"STAT inter")):
            told.append(line)
        if line in (b"END\r\n", b""):
            return


def use(connection, number, wrong, told):
    """Set, get and delete values by one connection; `told` gets every answer."""
    stream = connection.makefile("rb")
    for n in range(600):
        key = f"key-{number}-{n}"
        value = (key * (n % 60 + 1)).encode()
        connection.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value))
        told.append(stream.readline())
        connection.sendall(b"get %s\r\n" % key.encode())
        head = stream.readline()
        told.append(head)
        if told[-2] != b"STORED\r\n" or not head.startswith(b"VALUE "):
            wrong.append(key)
            return
        got = stream.read(len(value) + 2)
        told += [got, stream.readline()]
        if got[:-2] != value:
            wrong.append(key)
        if n % 3 == 0:
            connection.sendall(b"delete %s\r\n" % key.encode())
            told.append(stream.readline())
            if told[-1] != b"DELETED\r\n":
                wrong.append(key)
        connection.sendall(b"stats settings\r\n")
        read_stats(stream, told)
    connection.close()


def session(place, memcached, preloads):
    """One server, used and ended. Returns it and what each connection was told."""
    port = free_port()
    user = pwd.getpwuid(os.getuid()).pw_name
    process = place.start([memcached, "-p", str(port), "-l", "127.0.0.1", "-U", "0",
                           "-t", "3", "-m", "64", "-u", user], preloads)
    connections = [connect(port, process) for _ in range(CONNECTIONS)]
    case(all(connections), "memcached does not come up")
    told = [[] for _ in connections]
    if not all(connections):
        return process, told
    wrong = []
    threads = [threading.Thread(target=use, args=(connection, number, wrong, told[number]))
               for number, connection in enumerate(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    case(not wrong, f"wrong answers, the first for {wrong[:3]}")
    case(process.poll() is None, "memcached died")
    # Its threads end in order then, and with them come the figures of what they freed.
    process.send_signal(signal.SIGUSR1)
    case(process.wait(timeout=30) == 0, f"memcached ends with {process.returncode}")
    return process, told


def first_difference(told, expected):
    for got, wanted in zip(told, expected):
        if got != wanted:
            return f"{got!r}, not {wanted!r}"
    return f"{len(told)} answers, not {len(expected)}"


def main():
    memcached = need("memcached")
    with Scratch() as place:
        _, expected = session(place, memcached, False)
        process, told = session(place, memcached, True)
        for number in range(CONNECTIONS):
            case(len(expected[number]) > 10000, f"connection {number} was told little")
            case(told[number] == expected[number], f"connection {number} is told otherwise: "
                 + first_difference(told[number], expected[number]))
        case(frees(process.stats) >= 3000,
             f"memcached made only {frees(process.stats)} frees through the library")
        print("memcached:", figures(process.stats))
    end()


main()
