#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""memcached with several threads, every answer checked. It manages its values' memory itself, so
this is about compatibility only."""
import os
import pwd
import signal
import threading

from _preload import Scratch, case, connect, end, figures, free_port, need


def use(connection, number, wrong):
    """Set, get and delete values by one connection."""
    stream = connection.makefile("rb")
    for n in range(600):
        key = f"key-{number}-{n}"
        value = (key * (n % 60 + 1)).encode()
        connection.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value))
        if stream.readline() != b"STORED\r\n":
            wrong.append(key)
        connection.sendall(b"get %s\r\n" % key.encode())
        head = stream.readline()
        if not head.startswith(b"VALUE ") or stream.read(len(value) + 2)[:-2] != value:
            wrong.append(key)
            return
        stream.readline()
        if n % 3 == 0:
            connection.sendall(b"delete %s\r\n" % key.encode())
            if stream.readline() != b"DELETED\r\n":
                wrong.append(key)
    connection.close()


def main():
    memcached = need("memcached")
    port = free_port()
    user = pwd.getpwuid(os.getuid()).pw_name
    with Scratch() as place:
        process = place.start([memcached, "-p", str(port), "-l", "127.0.0.1", "-U", "0",
                               "-t", "3", "-m", "64", "-u", user], True)
        connections = [connect(port, process) for _ in range(6)]
        case(all(connections), "memcached does not come up")
        if all(connections):
            wrong = []
            threads = [threading.Thread(target=use, args=(connection, number, wrong))
                       for number, connection in enumerate(connections)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=60)
            case(not wrong, f"wrong answers, the first for {wrong[:3]}")
            case(process.poll() is None, "memcached died")
            process.send_signal(signal.SIGINT)
            case(process.wait(timeout=30) in (0, -signal.SIGINT),
                 f"memcached ends with {process.returncode}")
            print("memcached:", figures(process.stats))
    end()


main()
