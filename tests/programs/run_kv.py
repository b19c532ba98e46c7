#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example server, on heaps and on malloc: several clients at once whose every answer
is checked, malformed requests, clients that disappear, an end by SHUTDOWN or SIGTERM."""
import os
import random
import subprocess
import threading
import time

from _preload import BUILD, MALLOC, Scratch, case, end, figures, skip
from _resp import Client, Refusal, request

FOLDER = os.path.join(BUILD, "examples", "kv")
CLIENTS = 6
ROUNDS = 400
MOST_BYTES = 1 << 20    # of a request's arguments
SIZES = (0, 1, 15, 16, 17, 100, 1000, 4096, 16384, 40000, 300000)

SURVIVED = [
    (request("NONSENSE"), "ERR unknown command"),
    (request(b""), "ERR unknown command"),
    (request("GET"), "ERR wrong number of arguments for this command"),
    (request("SET", "a", "b", "EX"), "ERR wrong number of arguments for this command"),
    (request("INCR", "text"), "ERR value is not an integer or out of range"),
    (request("INCR", "most"), "ERR increment or decrement would overflow"),
]
ARRAY = "ERR Protocol error: expected '*' and the number of arguments"
BULK = "ERR Protocol error: expected '$' and the length of an argument"
LENGTH = "ERR Protocol error: invalid bulk length"
LONGER = "ERR Protocol error: an argument is longer than its length"
MANY = "ERR Protocol error: too many arguments"
FATAL = [
    (b"GET key\r\n", ARRAY),
    (b"*x\r\n", ARRAY),
    (b"*1\n$4\nPING\n", ARRAY),
    (b"*" + b"9" * 40 + b"\r\n", ARRAY),
    (b"\0" * 100, ARRAY),
    (b"*1025\r\n", MANY),
    (b"*9223372036854775807\r\n", MANY),
    (b"*1\r\n:4\r\n", BULK),
    (b"*2\r\n$3\r\nGET\r\nkey\r\n", BULK),
    (b"*1\r\n$-1\r\n", LENGTH),
    (b"*1\r\n$%d\r\n" % (MOST_BYTES + 1), LENGTH),
    (b"*2\r\n$%d\r\n%b\r\n$1\r\n" % (MOST_BYTES, b"x" * MOST_BYTES), LENGTH),
    (b"*1\r\n$4\r\nPINGPONG\r\n", LONGER),
]


class Server:
    def __init__(self, place, program, preload):
        self.name = f"{program}{' on molehill' if preload else ''}"
        env, _ = place.environment(False)
        self.stats = place.file(f"stats.{time.monotonic_ns()}")
        env["MOLEHILL_CONF"] = f"stats:{self.stats}"
        if preload:
            env["LD_PRELOAD"] = MALLOC
        self.process = subprocess.Popen(
            [os.path.join(FOLDER, program), "--port", "0", "--threads", "3"], env=env,
            cwd=place.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        place.processes.append(self.process)
        line = self.process.stdout.readline()   # kv on malloc: 127.0.0.1:40123, 3 threads
        case("127.0.0.1:" in line, f"{self.name} does not start: {line!r}")
        if "127.0.0.1:" not in line:
            end()
        self.port = int(line.split("127.0.0.1:")[1].split(",")[0])
        self.clients = []   # the ports of all there ever were; any thread appends

    def client(self):
        """A client that a worker has taken on, for it was answered. Any thread."""
        client = Client(self.port)
        self.clients.append(client.socket.getsockname()[1])
        if client.call("PING") != b"PONG":
            raise ValueError("no answer to PING")
        return client

    def wait(self, how):
        """It ends by itself now, with nothing to say; returns its counters."""
        try:
            said, _ = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            case(False, f"{self.name} does not end by {how}")
            end()
        case(self.process.returncode == 0 and said == "",
             f"{self.name}: {how} ends it with {self.process.returncode}: {said}")
        return (figures(self.stats) or [{}])[0]


def value(random_source, size):
    return random_source.randbytes(min(size, 64)) * (size // 64) + b"." * (size % 64)


def work(server, number, seed, wrong):
    """
    One client with keys of its own, and a number that it shares with the others. Returns
    how often it raised that.
    """
    source = random.Random(seed + number)
    client, known, raised = server.client(), {}, 0
    for _ in range(ROUNDS):
        key = f"{number}:{source.randrange(40)}"
        what = source.choice(("SET", "SET", "GET", "GET", "DEL", "INCR", "pipeline"))
        if what == "SET":
            known[key] = value(source, source.choice(SIZES))
            answers = [(client.call("SET", key, known[key]), b"OK")]
        elif what == "GET":
            answers = [(client.call("GET", key), known.get(key))]
        elif what == "DEL":
            expected = known.pop(key, None) is not None
            answers = [(client.call("DEL", key, "nobody's"), int(expected))]
        elif what == "INCR":
            answers = [(isinstance(client.call("INCR", "shared"), int), True)]
            raised += 1
        else:
            keys = [f"{number}:{n}" for n in range(40)]
            client.send_raw(b"".join(request("GET", key) for key in keys))
            answers = [(client.receive(), known.get(key)) for key in keys]
        wrong += [f"{what} {key}" for got, expected in answers if got != expected]
    # On another thread than stored them, most likely.
    client.close()
    client = server.client()
    wrong += [f"DEL {key}" for key in known if client.call("DEL", key) != 1]
    client.close()
    return raised


def crowd(server, seed):
    wrong, raised, counter = [], [], server.client()
    before = counter.call("INCR", "shared")

    def body(number):
        try:
            raised.append(work(server, number, seed, wrong))
        except (OSError, EOFError, ValueError) as error:
            wrong.append(f"client {number}: {error!r}")

    threads = [threading.Thread(target=body, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    hang = sum(thread.is_alive() for thread in threads)
    case(hang == 0, f"{server.name}: {hang} clients hang")
    case(not wrong, f"{server.name}: wrong answers: {wrong[:5]}")
    more = counter.call("INCR", "shared") - before - 1
    case(more == sum(raised) > CLIENTS,
         f"{server.name}: INCR counted {more}, not {sum(raised)}")
    case(counter.call("DBSIZE") == 1, f"{server.name}: deleted keys are still there")
    counter.close()


def malformed(server):
    client = server.client()
    client.call("SET", "text", "12x")
    client.call("SET", "most", 2**63 - 1)
    for data, expected in SURVIVED:
        client.send_raw(data)
        got = client.receive()
        case(isinstance(got, Refusal) and got == expected,
             f"{server.name}: {data[:40]} is answered by {got!r}")
    client.send_raw(b"*0\r\n*-5\r\n" + request("PING"))
    case(client.receive() == b"PONG", f"{server.name}: empty requests stop it")
    for byte in request("SET", "slow", "abc"):
        client.send_raw(bytes([byte]))
    case(client.receive() == b"OK", f"{server.name}: fails to read byte by byte")
    most = b"m" * (MOST_BYTES - len("SETmost"))
    case(client.call("SET", "most", most) == b"OK", f"{server.name}: no largest SET")
    case(client.call("GET", "most") == most, f"{server.name}: the largest value is wrong")
    # Many times what the server holds back before it stops to read.
    client.send_raw(request("GET", "most") * 30)
    case(all(client.receive() == most for _ in range(30)),
         f"{server.name}: replies that pile up are wrong")
    client.close()
    for data, expected in FATAL:
        client = server.client()
        client.send_raw(data)
        got = client.receive()
        case(isinstance(got, Refusal) and got == expected,
             f"{server.name}: {data[:40]} is answered by {got!r}")
        client.socket.shutdown(1)
        case(client.has_ended(), f"{server.name}: goes on after {data[:40]}")
        client.close()


def heaps_after(watcher, expected):
    """The number of heaps, once it is `expected`; or what it still is after a while."""
    limit = time.monotonic() + 60
    while True:
        count = watcher.call("HEAPS")
        if count == expected or time.monotonic() > limit:
            return count
        time.sleep(0.01)


def disconnects(server):
    """Clients that leave in any state take their heaps with them."""
    watcher = server.client()
    # Those of earlier clients may be on their way.
    before = heaps_after(watcher, server.heaps_at_start)
    big = value(random.Random(1), 200000)
    watcher.call("SET", "big", big)
    states = [
        b"",
        b"*3\r\n$3\r\nSET\r\n$3\r\nk",
        b"*1000\r\n" + b"$1000\r\n" + big[:1000] + b"\r\n$5",
        b"*3\r\n$3\r\nSET\r\n$5\r\nnever\r\n$900000\r\n" + big,
        request("GET", "big") * 40,     # and reads none of it
    ]
    clients = [server.client() for _ in range(4 * len(states))]
    case(watcher.call("HEAPS") == before + len(clients),
         f"{server.name}: {len(clients)} clients have "
         f"{watcher.call('HEAPS') - before} heaps")
    for number, client in enumerate(clients):
        client.send_raw(states[number % len(states)])
    for number, client in enumerate(clients):
        if number % 2:
            client.reset()
        else:
            client.close()
    left = heaps_after(watcher, before) - before
    case(left == 0, f"{server.name}: {left} heaps are left of clients that have gone")
    case(watcher.call("GET", "never") is None, f"{server.name}: half a request was run")
    case(watcher.call("GET", "big") == big, f"{server.name}: the others' values suffered")
    watcher.close()


def session(place, program, preload, seed):
    server = Server(place, program, preload)
    first = server.client()
    server.heaps_at_start = first.call("HEAPS")
    first.close()
    crowd(server, seed)
    malformed(server)
    disconnects(server)
    last = server.client()
    case(last.call("FLUSHALL") == b"OK" and last.call("DBSIZE") == 0,
         f"{server.name}: not everything is gone")
    last.send("SHUTDOWN", "NOSAVE")
    case(last.has_ended(), f"{server.name}: answers to SHUTDOWN")
    last.close()
    counters = server.wait("SHUTDOWN")
    if program == "kv-molehill":
        # The process's, the shared one, and one a client.
        count = len(server.clients)
        case(int(counters.get("heaps", 0)) == count + 2,
             f"{server.name}: {counters.get('heaps')} heaps for {count} clients")
        case(int(counters.get("frees", 0)) >= 10000,
             f"{server.name}: only {counters.get('frees')} frees")
    elif preload:
        case(int(counters.get("malloc_frees", 0)) >= 10000,
             f"{server.name}: only {counters.get('malloc_frees')} frees")
    frees = counters.get("frees", "no")
    print(f"{server.name}: {len(server.clients)} clients, {frees} frees")


def terminated(place, program):
    """SIGTERM, while one client is idle, one in mid-request, one has replies unread."""
    server = Server(place, program, False)
    clients = [server.client() for _ in range(3)]
    clients[1].send_raw(b"*2\r\n$3\r\nSET\r\n$100000\r\nbegin")
    case(clients[2].call("SET", "k", b"v" * 100000) == b"OK", f"{server.name}: no SET")
    clients[2].send_raw(request("GET", "k") * 100)
    server.process.terminate()
    case(clients[0].has_ended(), f"{server.name}: SIGTERM leaves a client")
    server.wait("SIGTERM")
    for client in clients:
        client.close()


def bad_options(place, program):
    path = os.path.join(FOLDER, program)
    for args in (["--port", "65536"], ["--port", "x"], ["--threads", "0"], ["--nonsense"],
                 ["extra"]):
        done = place.run([path, *args], False, timeout=30)
        case(done.returncode == 1 and done.stderr and not done.stdout,
             f"{program} {' '.join(args)}: status {done.returncode}, {done.stderr[:200]}")


def main():
    programs = ("kv-molehill", "kv-malloc")
    if not all(os.path.exists(os.path.join(FOLDER, program)) for program in programs):
        skip("examples/kv is not built here (-Dexamples=false)")
        end()
    seed = int(os.environ.get("MOLE_SEED") or str(time.time_ns() % 2**32), 0)
    print(f"run_kv: MOLE_SEED={seed:#x}", flush=True)
    with Scratch() as place:
        try:
            session(place, "kv-molehill", False, seed)
            session(place, "kv-malloc", False, seed)
            session(place, "kv-malloc", True, seed)
            for program in programs:
                terminated(place, program)
                bad_options(place, program)
        except (OSError, EOFError, ValueError) as error:
            states = [process.poll() for process in place.processes]
            case(False, f"a client was cut off: {error!r}; servers ended with {states}")
    end()


main()
