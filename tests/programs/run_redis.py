#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""redis-server under load, every answer checked; then a snapshot by a forked child, and a restart
from it. All answers, and the digest of all it holds, are the same as without the library."""
import hashlib
import os
import subprocess

from _preload import Scratch, case, connect, end, free_port, frees, need


class Client:
    """The redis protocol, as much of it as is needed."""

    def __init__(self, connection):
        self.connection = connection
        self.told = hashlib.sha256()
        self.stream = connection.makefile("rb")

    def send(self, *words):
        out = b"*%d\r\n" % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out += b"$%d\r\n%s\r\n" % (len(word), word)
        self.connection.sendall(out)

    def receive(self):
        """The next answer; `told` has seen all of them but those that no two servers give."""
        answer = self.read()
        self.told.update(repr(answer).encode())
        return answer

    def read(self):
        line = self.stream.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.stream.read(length + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    def call(self, *words):
        self.send(*words)
        return self.receive()

    def info(self, section):
        self.send("INFO", section)
        return self.read()

    def members(self, key):
        """A set has no order."""
        self.send("SMEMBERS", key)
        answer = sorted(map(int, self.read()))
        self.told.update(repr(answer).encode())
        return answer


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
    for n in range(10):
        wrong += client.members(f"set:{n}") != list(range(n, count, 10))
    return wrong


def digest(client):
    """Of all keys and values, whatever their order; then what the client was told so far."""
    return client.call("DEBUG", "DIGEST"), client.told.hexdigest()


def start(place, server, preloads):
    """A server and a client of it, which is None when it does not come up."""
    port = free_port()
    process = place.start([server, "--port", str(port), "--bind", "127.0.0.1", "--dir",
                           place.path, "--save", "", "--appendonly", "no", "--logfile",
                           place.file("redis.log"), "--io-threads", "2", "--dbfilename",
                           f"dump.{preloads}.rdb", "--enable-debug-command", "yes"], preloads)
    connection = connect(port, process)
    case(connection is not None, "redis-server does not come up")
    process.port = port
    return process, Client(connection) if connection else None


def stop(process, client):
    client.send("SHUTDOWN", "NOSAVE")
    case(process.wait(timeout=30) == 0, f"redis-server ends with {process.returncode}")


def fill_and_save(place, server, count, preloads):
    """A server that is filled, checked, and saved by a child. What its client was told."""
    process, client = start(place, server, preloads)
    if client is None:
        return None
    case(fill(client, count) == 0, "redis-server answers wrong while it is filled")
    case(check(client, count) == 0, "redis-server gives other values back")
    client.call("BGSAVE")
    while b"rdb_bgsave_in_progress:1" in client.info("persistence"):
        pass
    case(b"rdb_last_bgsave_status:ok" in client.info("persistence"),
         "the forked child could not save")
    cli = subprocess.run(["redis-cli", "-p", str(process.port), "DBSIZE"],
                         stdout=subprocess.PIPE, timeout=20, check=False)
    case(cli.stdout.strip() == b"%d" % client.call("DBSIZE"), "redis-cli is told otherwise")
    told = digest(client)
    stop(process, client)
    if preloads:
        made = frees(process.stats)
        case(made >= 20000, f"redis-server made only {made} frees through the library")
        print(f"redis-server: {made} frees")
    case(os.path.getsize(place.file(f"dump.{preloads}.rdb")) > 1000, "there is no snapshot")
    return told


def load_and_empty(place, server, count, preloads):
    """A server that starts from the snapshot, and is emptied. What its client was told."""
    process, client = start(place, server, preloads)
    if client is None:
        return None
    case(check(client, count) == 0, "other values after the restart")
    told = digest(client)
    case(client.call("FLUSHALL") == b"OK", "FLUSHALL failed")
    case(client.call("DBSIZE") == 0, "not everything is gone")
    stop(process, client)
    if preloads:
        case(frees(process.stats) >= 20000, "hardly any frees after the restart")
    return told


def main():
    server, _ = need("redis-server", "redis-cli")
    count = 6000
    with Scratch() as place:
        for what in fill_and_save, load_and_empty:
            expected = what(place, server, count, False)
            told = what(place, server, count, True)
            case(expected is not None and told == expected,
                 f"{what.__name__}: other answers than without the library")
    end()


main()
