#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The spy record, from a program's start and by the command; and what perf/replay makes of its
traces, whole and damaged ones: docs/traces.md."""
import os
import random
import re
import signal
import subprocess

import _trace
from _control import Busy, molehill
from _preload import BUILD, MALLOC, Scratch, case, end, figures, skip

PROGRAM = os.path.join(BUILD, "tests", "recorded")
SPY = os.path.join(BUILD, "src", "record.so")
KEPT = os.path.join(os.path.dirname(__file__), "..", "data", "kv.trace")
FLIPS = 150     # bytes changed, one at a time
REPAIRED = 60   # and with checks that are right all the same
SECONDS = 120


def record(place, name, *words, on="on:all"):
    """The program's own figures, its stderr, and the trace's path."""
    path = place.file(name)
    env, _ = place.environment(True, {"MOLEHILL_RECORD": f"file:{path} {on}"})
    env["LD_PRELOAD"] = f"{MALLOC} {SPY}"
    done = subprocess.run([PROGRAM, *words], env=env, cwd=place.path, capture_output=True,
                          text=True, timeout=SECONDS, check=False)
    case(done.returncode == 0, f"recorded {words}: {done}")
    pairs = (line.split() for line in done.stdout.splitlines())
    return {key: int(number) for key, number in pairs}, done.stderr, path


def counted(events):
    """How often which size is allocated and resized to; how many such blocks are freed."""
    counts, live, remote = {}, {}, 0
    for event in events:
        if event.kind in (_trace.ALLOC, _trace.REALLOC):
            live.pop(event.old, None)
            live[event.block] = (event.bytes, event.lane)
            key = (event.kind, event.heap == _trace.MALLOC, event.bytes)
            counts[key] = counts.get(key, 0) + 1
        elif event.kind == _trace.FREE and event.block in live:
            size, lane = live.pop(event.block)
            counts["freed", size] = counts.get(("freed", size), 0) + 1
            remote += lane != event.lane
        elif event.kind in (_trace.CREATED, _trace.DESTROYED):
            counts[event.kind] = counts.get(event.kind, 0) + 1
    return counts, remote


def whole_program(place):
    """All that the program did is in the trace once, with the sizes it asked for."""
    said, errors, path = record(place, "whole.trace")
    counts, remote = counted(_trace.read(path))
    allocs, each = said["malloc"], said["heaps"] - 1
    case(errors == "", f"it says {errors}")
    case(counts[_trace.ALLOC, True, 4001] == allocs, f"{allocs} blocks of malloc: {counts}")
    case(counts[_trace.REALLOC, True, 9001] == said["resizes"], f"{said}: {counts}")
    case(counts["freed", 4001] + counts["freed", 9001] == said["frees"], f"{said}: {counts}")
    case(counts[_trace.ALLOC, False, 4003] == counts["freed", 4003] == each, f"{each}: {counts}")
    case(counts[_trace.ALLOC, False, 4007] == each and ("freed", 4007) not in counts,
         f"{each} left to HeapDestroy: {counts}")
    case(counts[_trace.ALLOC, False, 4009] == allocs, f"the common heap: {counts}")
    case(counts[_trace.CREATED] == each + 1, f"{each + 1} heaps: {counts}")
    case(counts[_trace.DESTROYED] == each, f"{each} heaps end: {counts}")
    case(remote > 0, "no block is freed by another thread")
    case(os.stat(path).st_mode & 0o777 == 0o600, "others may read the trace")
    return path


def replay(place, path, kind="malloc", threads=1, preloads=False, **more):
    env, stats = place.environment(preloads)
    options = {"reps": 1, "warmup": 0, "counts": 1, **more}
    done = subprocess.run(
        [os.path.join(BUILD, "perf", f"replay-{kind}"), "name", kind, str(threads), "1000000",
         f"trace={path}", *(f"{key}={value}" for key, value in options.items())],
        env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done, stats


def balance(place, path, threads):
    """Each block that a replay allocates it gives back, on malloc and on heaps."""
    count = _trace.header(open(path, "rb").read())[0]
    for kind, lanes, preloads in [("malloc", n, False) for n in threads] + [
            ("heap", n, False) for n in threads] + [("malloc", threads[-1], True)]:
        done, stats = replay(place, path, kind, lanes, preloads)
        name = f"{os.path.basename(path)} on {kind}, {lanes} threads"
        case(done.returncode == 0 and re.fullmatch(
            rf"name {kind} {lanes} \S+ \d+( [\d.]+){{3}} ns/op \d+ [\d.]+ -\n", done.stdout),
            f"{name}: {done}")
        pairs = dict(word.split("=") for word in done.stderr.split() if "=" in word)
        n = {key: int(value) for key, value in pairs.items()}
        ended = n["frees"] + n["gone"] + n["left"] + n["unheard"]
        case(n["events"] == count and n["lost"] == 0, f"{name}: {n}, {count} events")
        case(n["allocs"] + n["adopted"] == ended > 0, f"{name}: out of balance: {n}")
        case(n["unheard"] == 0, f"{name}: recorded from the start, and frees unheard: {n}")
        if preloads:
            freed = sum(int(line.get("malloc_frees", 0)) for line in figures(stats))
            rounds = 1 + 1000000 // count       # at least half of that
            case(freed >= ended * rounds // 2, f"{name}: {freed} frees, {ended} a round")


def children(place):
    """A fork's child leaves the trace alone, whatever its end."""
    for how in "exit", "_exit":
        said, errors, path = record(place, f"{how}.trace", how)
        counts, _ = counted(_trace.read(path))
        case(errors == "" and counts[_trace.ALLOC, True, 4001] == said["malloc"],
             f"a child that ends by {how}: {errors} {counts}")
        case((_trace.ALLOC, True, 10001) not in counts, "the child's blocks are in the trace")


def killed(place):
    """Of a process that was killed there is no whole trace."""
    path = place.file("killed.trace")
    env, _ = place.environment(True, {"MOLEHILL_RECORD": f"file:{path}"})
    env["LD_PRELOAD"] = f"{MALLOC} {SPY}"
    process = subprocess.Popen([PROGRAM, "wait"], env=env, stdout=subprocess.PIPE, text=True)
    place.processes.append(process)
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    done, _ = replay(place, path)
    case(done.returncode == 1 and "the recording was not finished" in done.stderr, f"{done}")


def becomes_another(place):
    """A process that replaces itself by exec leaves the trace of its last program."""
    path = place.file("exec.trace")
    env, _ = place.environment(True, {"MOLEHILL_RECORD": f"file:{path} on:all"})
    env["LD_PRELOAD"] = f"{MALLOC} {SPY}"
    done = subprocess.run(["sh", "-c", f"exec {PROGRAM}"], env=env, capture_output=True,
                          text=True, timeout=SECONDS, check=False)
    counts, _ = counted(_trace.read(path))
    case(done.returncode == 0 and done.stderr == "" and
         f"malloc {counts[_trace.ALLOC, True, 4001]}\n" in done.stdout, f"{done}: {counts}")


def refused_words(place):
    """What cannot be recorded is said in one line; the program goes on."""
    there = place.file("there.trace", "mine")
    for words in ("", "on:all", "file:", "file:relative", f"file:{there}", "file:/no/such/x",
                  f"file:{place.path}/%x", f"file:{place.path}/a on:none",
                  f"file:{place.path}/{'x' * 5000}"):
        env, _ = place.environment(True, {"MOLEHILL_RECORD": words})
        env["LD_PRELOAD"] = f"{MALLOC} {SPY}"
        done = subprocess.run(["true"], env=env, capture_output=True, text=True, check=False,
                              timeout=SECONDS)
        case(done.returncode == 0 and done.stderr.count("\n") == 1 and
             done.stderr.startswith("molehill: nothing is recorded: "), f"{words!r}: {done}")
    case(open(there, encoding="utf-8").read() == "mine", "a file is overwritten")
    done = subprocess.run(["true"], env={**os.environ, "LD_PRELOAD": SPY, "MOLEHILL_RECORD": "x"},
                          capture_output=True, text=True, check=False, timeout=SECONDS)
    case("there is no molehill" in done.stderr and done.returncode == 0, f"{done}")


def attached(place):
    """By the command, while threads allocate; and at an exit with the spy still attached."""
    busy = Busy(place, place.file("%p"), threads=2)
    for turn in range(4):
        path = place.file(f"turn{turn}.trace")
        said = molehill("attach", busy.pid, SPY, f"file:{path}", *(["on:all"] * (turn % 2)))
        case(said.stdout.endswith(" record\n"), f"attach: {said}")
        again = molehill("attach", busy.pid, SPY, f"file:{place.file('other')}")
        case(again.returncode == 1 and "attached already" in again.stderr, f"twice: {again}")
        done = molehill("detach", busy.pid, "record")
        head = re.fullmatch(r"record: (\d+) events of (\d+) threads, 0 lost, (\d+) bytes: (.*)\n",
                            done.stdout)
        events = _trace.read(path)
        case(head and int(head[1]) == len(events) and head[4] == path and
             int(head[3]) == os.path.getsize(path), f"detach: {done}, {len(events)} events")
        done, _ = replay(place, path, threads=2)
        is_used = any(event.kind in (_trace.ALLOC, _trace.REALLOC) for event in events)
        case(done.returncode == (0 if is_used else 1),
             f"what was attached to cannot be replayed: {done}")
    refused = molehill("attach", busy.pid, SPY, f"file:{path}")
    case(refused.returncode == 1 and "File exists" in refused.stderr, f"there: {refused}")
    path = place.file("exit.trace")
    molehill("attach", busy.pid, SPY, f"file:{path}")
    errors = busy.end()
    case(errors == "", f"an exit with the spy attached: {errors}")
    case(len(_trace.read(path)) >= 0, "the trace is not whole")


def damaged(place):
    """Whatever byte is another one, and wherever it was cut, it is refused in one line."""
    data = open(KEPT, "rb").read()
    draw = random.Random(5)
    path = place.file("damaged.trace")

    def told(changed, **more):
        with open(path, "wb") as file:
            file.write(changed)
        return replay(place, path, counts=0, touched=0, **more)[0]

    wrong = []
    for number in range(FLIPS):
        at = draw.randrange(72) if number % 5 == 0 else draw.randrange(len(data))
        done = told(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1:])
        if done.returncode != 1 or not done.stderr.startswith(f"perf: {path}: "):
            wrong.append((at, done))
    for size in (0, 1, 63, 64, 65, 100, len(data) // 2, len(data) - 8, len(data) - 1):
        done = told(data[:size])
        if done.returncode != 1 or not done.stderr.startswith(f"perf: {path}: "):
            wrong.append((size, done))
    done = told(data + bytes(64))
    case(not wrong and done.returncode == 1, f"taken for whole: {wrong[:3]} {done}")
    ends = {0: 0, 1: 0}
    for _ in range(REPAIRED):
        at = draw.randrange(64, len(data))
        changed = data[:at] + bytes([draw.randrange(256)]) + data[at + 1:]
        done = told(_trace.repaired(changed), threads=draw.randrange(1, 4),
                    kind=draw.choice(("malloc", "heap")))
        ends[done.returncode] = ends.get(done.returncode, 0) + 1
        if done.returncode not in (0, 1):
            print(f"a byte at {at}: {done}")
    case(set(ends) == {0, 1} and ends[0] and ends[1],
         f"damage with checks that are right: {ends}, exit status and how often")


def main():
    with Scratch() as place:
        path = whole_program(place)
        children(place)
        killed(place)
        becomes_another(place)
        refused_words(place)
        attached(place)
        if os.path.exists(os.path.join(BUILD, "perf", "replay-heap")):
            balance(place, path, (1, 3, 5))
            balance(place, KEPT, (1, 2, 3))
            damaged(place)
        else:
            skip("perf is not built")
    end()


main()
