#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""redis-server under load, every answer checked; then a snapshot by a forked child, and a restart
from it."""
import hashlib
import os
import subprocess

from _preload import Scratch, case, connect, end, free_port, frees, need


class Client:
    """The redis protocol, as much of it as is needed."""

    def __init__(self, connection):
        self.connection = connection
        self.stream = connection.makefile("rb")

    def send(self, *words):
        out = b"*%d\r\n" % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out += b"$%d\r\n%s\r\n" % (len(word), word)
        self.connection.sendall(out)

    def receive(self):
        line = self.stream.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.stream.read(length + 2)[:-2]
        if kind == b"*":
            return [self.receive() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    def call(self, *words):
        self.send(*words)
        return self.receive()


def value(number):
    return hashlib.sha256(b"%d" % number).digest() * (number % 90 + 1)


def fill(client, count):
    """Strings, lists, hashes and sets; returns how many answers were wrong."""
    wrong = 0
    for base in range(0, count, 100):
        for n in range(base, base + 100):
            client.send("SET", f"key:{n}", value(n))
            client.send("RPUSH", f"list:{n % 50}", value(n)[:100])
            client.send("HSET", f"hash:{n % 50}", f"field:{n}", n)
            client.send("SADD", f"set:{n % 10}", n)
        answers = [client.receive() for _ in range(400)]
        wrong += sum(answer != b"OK" for answer in answers[0::4])
    for n in range(0, count, 3):
        wrong += client.call("DEL", f"key:{n}") != 1
        wrong += client.call("APPEND", f"key:{n + 1}", b"more") != len(value(n + 1)) + 4
    return wrong


def check(client, count):
    wrong = 0
    for n in range(count):
        got = client.call("GET", f"key:{n}")
        expected = (None, value(n) + b"more", value(n))[n % 3]
        wrong += got != expected
    for n in range(50):
        items = client.call("LRANGE", f"list:{n}", 0, -1)
        wrong += items != [value(i)[:100] for i in range(n, count, 50)]
        wrong += client.call("HGET", f"hash:{n}", f"field:{n}") != b"%d" % n
    wrong += sorted(map(int, client.call("SMEMBERS", "set:3"))) != list(range(3, count, 10))
    return wrong


def session(place, server, count):
    """One server: filled, checked, saved by a child, ended, started again, checked again."""
    port = free_port()
    args = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", place.path,
            "--save", "", "--appendonly", "no", "--logfile", place.file("redis.log"),
            "--io-threads", "2", "--dbfilename", "dump.rdb"]
    process = place.start(args, True)
    connection = connect(port, process)
    case(connection is not None, "redis-server does not come up")
    if connection is None:
        return None
    client = Client(connection)
    case(fill(client, count) == 0, "redis-server answers wrong while it is filled")
    case(check(client, count) == 0, "redis-server gives other values back")
    client.call("BGSAVE")
    while b"rdb_bgsave_in_progress:1" in client.call("INFO", "persistence"):
        pass
    case(b"rdb_last_bgsave_status:ok" in client.call("INFO", "persistence"),
         "the forked child could not save")
    cli = subprocess.run(["redis-cli", "-p", str(port), "DBSIZE"], stdout=subprocess.PIPE,
                         timeout=20, check=False)
    case(cli.stdout.strip() == b"%d" % client.call("DBSIZE"), "redis-cli is told otherwise")
    client.send("SHUTDOWN", "NOSAVE")
    case(process.wait(timeout=30) == 0, f"redis-server ends with {process.returncode}")
    return process


def main():
    server, _ = need("redis-server", "redis-cli")
    count = 6000
    with Scratch() as place:
        process = session(place, server, count)
        if process is None:
            end()
        first = frees(process.stats)
        case(first >= 20000, f"redis-server made only {first} frees through the library")
        print(f"redis-server: {first} frees")
        case(os.path.getsize(place.file("dump.rdb")) > 1000, "there is no snapshot")
        port = free_port()
        args = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", place.path,
                "--save", "", "--logfile", place.file("redis.log")]
        process = place.start(args, True)
        connection = connect(port, process)
        case(connection is not None, "redis-server does not come up again")
        if connection is not None:
            client = Client(connection)
            case(check(client, count) == 0, "other values after the restart")
            case(client.call("FLUSHALL") == b"OK", "FLUSHALL failed")
            case(client.call("DBSIZE") == 0, "not everything is gone")
            client.send("SHUTDOWN", "NOSAVE")
            case(process.wait(timeout=30) == 0, f"redis-server ends with {process.returncode}")
            case(frees(process.stats) >= 20000, "hardly any frees after the restart")
    end()


main()
