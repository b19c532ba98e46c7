#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Control from outside (docs/control.md): spies are attached to a running program by the command
molehill, listed and detached; also under load, a few hundred times; and what is wrong is refused
in one line, by the program or by the command."""
import os
import re
import shutil
import signal

from _control import Busy, ask, environment, molehill, module
from _preload import BUILD, Scratch, case, end

ROUNDS = 200
REPORT = r"allocated=(\d+) freed=(\d+) gone=(\d+) term_blocked=(\d) args=(.*)\n"
HEAD = ["ID", "NAME", "ON", "SINCE", "FILE"]


def refused(done, what, *parts, status=1):
    case(done.returncode == status and done.stdout == "" and done.stderr.count("\n") == 1
         and done.stderr.startswith("molehill: ") and all(part in done.stderr for part in parts),
         f"{what}: status {done.returncode}, {done.stdout!r} {done.stderr!r}")


def good(done, what):
    case(done.returncode == 0 and done.stderr == "",
         f"{what}: status {done.returncode}, {done.stdout!r} {done.stderr!r}")
    return done.stdout


def figures(report, what):
    """What COUNTING counted: allocations, frees. And nothing after the stop."""
    match = re.fullmatch(REPORT, report)
    case(match is not None, f"{what}: reports {report[-300:]!r}")
    if not match:
        return 0, 0, ""
    case(match[3] == "0", f"{what}: {match[3]} callbacks after the stop")
    case(match[4] == "1", f"{what}: the control thread takes signals")
    return int(match[1]), int(match[2]), match[5]


def rows(done, what):
    lines = good(done, what).splitlines()
    case(lines and lines[0].split() == HEAD, f"{what}: {lines[:1]}")
    return [line.split(None, 4) for line in lines[1:]]


def is_mapped(busy, name):
    with open(f"/proc/{busy.pid}/maps", encoding="utf-8") as maps:
        return name in maps.read()


def in_and_out(place):
    """Attach, list, detach, by process and by socket, by id and by name."""
    busy = Busy(place, place.file("one.%p"), threads=1)
    case(rows(molehill("list", busy.pid), "an empty list") == [], "something is attached")
    folder, file = os.path.split(module("counting"))
    said = good(molehill("attach", busy.pid, os.path.join(".", file), "two", "words", cwd=folder),
                "attach")
    case(said == "1 counting\n", f"attach says {said!r}")
    found = rows(molehill("list", busy.path), "a list of one")
    case(len(found) == 1 and found[0][:3] == ["1", "counting", "malloc"]
         and re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}Z", found[0][3])
         and found[0][4] == os.path.realpath(module("counting")), f"the list has {found}")
    case(is_mapped(busy, file), "the object is not there")
    before = int(busy.tell("work"))
    while int(busy.tell("work")) < before + 10000:
        pass
    allocated, freed, args = figures(good(molehill("detach", busy.path, "1"), "detach"), "by id")
    case(allocated >= 10000 and freed > 0, f"it heard of {allocated} and {freed}")
    case(args == "two words", f"its arguments are {args!r}")
    case(not is_mapped(busy, file), "the object is still there")
    said = good(molehill("attach", busy.path, module("counting"), "all"), "attach again")
    case(said == "2 counting\n", f"an id comes again, or none: {said!r}")
    found = rows(molehill("list", busy.pid), "another list")
    case(found and found[0][2] == "all", f"the list has {found}")
    figures(good(molehill("detach", busy.pid, "counting"), "detach"), "by name")
    case(busy.end() == "", "busy says something")


def several(place):
    """Two of one name, and as many as there is place for."""
    busy = Busy(place, place.file("several"), threads=1)
    copies = [shutil.copy(module("counting"), place.file(f"spy {i}.so")) for i in range(17)]
    for i in range(16):
        good(molehill("attach", busy.pid, copies[i]), "attach one of many")
        if i < 2:
            refused(molehill("attach", busy.pid, copies[0]), "once more", "attached already, as 1")
    refused(molehill("attach", busy.pid, copies[16]), "the 17th", "16 spies are attached")
    refused(molehill("detach", busy.pid, "counting"), "an ambiguous name", "several", "counting")
    for i in range(16):
        good(molehill("detach", busy.pid, i + 1), "detach one of many")
    case(rows(molehill("list", busy.pid), "the list then") == [], "some are left")
    case(busy.end() == "", "busy says something")


def no_modules(place):
    """What is no module, or does not start, is unloaded, and everything goes on."""
    busy = Busy(place, place.file("none"), threads=1)
    text = place.file("text.so", "no object\n")
    library = os.path.join(BUILD, "tests", "tls_0.so")
    if not os.path.exists(library):
        library = os.path.join(BUILD, "tests", "libtls_0.so")
    for path, parts in (
            (text, ["text.so", "ELF header" if os.path.getsize(text) > 64 else "file too short"]),
            (library, ["is no spy module", "mh_spy_module_version"]),
            (module("old"), ["of version 2, this is version 1"]),
            (module("partial"), ["is no spy module", "mh_spy_module_stop"]),
            (module("refusing"), ["did not start: not today, not with me"]),
            (module("invalid"), ["cannot be attached", "not valid"])):
        refused(molehill("attach", busy.pid, path, "me"), path, *parts)
        case(not is_mapped(busy, os.path.basename(path)), f"{path} is still there")
    refused(molehill("attach", busy.pid, place.file("nothing.so")), "a file that is not there",
            "No such file", status=2)
    refused(molehill("detach", busy.pid, "1"), "an unknown id", "no spy 1 is attached")
    refused(molehill("detach", busy.pid, ""), "no id", "no spy  is attached")
    refused(molehill("attach", busy.pid, module("counting"), "a\tb"), "a tab", "a tab", status=2)
    refused(molehill("attach", busy.pid, module("counting"), "x" * 9000), "9000 x", "too long",
            status=2)
    case(rows(molehill("list", busy.pid), "the list then") == [], "something is attached")
    case(busy.end() == "", "busy says something")


def reports(place):
    """Long ones are cut; of a spy that detached itself there is one, too."""
    busy = Busy(place, place.file("reports"), threads=2)
    for size, is_cut in ((900_000, False), (3_000_000, True)):
        good(molehill("attach", busy.pid, module("counting"), f"report:{size}"), "attach")
        said = good(molehill("detach", busy.pid, "counting"), "detach")
        case(said.endswith("(there was more than fits)\n") == is_cut
             and min(size, 1 << 20) - 200 < len(said) < (1 << 20) + 100,
             f"a report of {size} bytes: {len(said)} came")
    good(molehill("attach", busy.pid, module("leaving")), "attach leaving")
    before = int(busy.tell("work"))
    while int(busy.tell("work")) < before + 1000:
        pass
    allocated, _, _ = figures(good(molehill("detach", busy.pid, "spy_leaving.so"), "detach"),
                              "leaving")
    # One for each thread: it leaves in the first.
    case(1 <= allocated <= 5, f"leaving heard of {allocated} after it left")
    case(busy.end() == "", "busy says something")


def under_load(place):
    """Each time the object is unloaded at once; a thread still in it would crash."""
    busy = Busy(place, place.file("load"), threads=3)
    heard = 0
    path = os.path.realpath(module("counting")).encode()
    for i in range(ROUNDS):
        kind, said = ask(busy.path, b"attach\t" + path + b"\t" + str(i).encode() + b"\n")
        case((kind, said) == ("ok", f"{i + 1} counting\n"), f"round {i}: {kind} {said}")
        kind, said = ask(busy.path, b"detach\tcounting\n")
        heard += figures(said, f"round {i}")[0] if kind == "ok" else 0
        if kind != "ok" or busy.process.poll() is not None:
            case(False, f"round {i}: {kind} {said}, busy: {busy.process.poll()}")
            break
    case(not is_mapped(busy, "spy_counting"), "the object is still there")
    case(heard > ROUNDS, f"only {heard} allocations were heard of in {ROUNDS} rounds")
    case(busy.end() == "", "busy says something")
    print(f"{ROUNDS} rounds: {heard} allocations heard of")


def left_attached(place):
    """A spy that is attached at the end disturbs neither an exit nor a child's."""
    busy = Busy(place, place.file("left"), threads=2)
    good(molehill("attach", busy.pid, module("counting")), "attach")
    case(busy.tell("fork") == "7", "a child with a spy attached does not end as it should")
    good(molehill("list", busy.pid), "list after fork")
    case(busy.end() == "", "busy with a spy attached does not end as it should")


def only_when_asked(place):
    """No thread without, one with: which takes no signals."""
    for path, count in (("", 1), (place.file("asked"), 2)):
        busy = Busy(place, path, conf=",purger:calls" if path else "")
        tasks = sorted(map(int, os.listdir(f"/proc/{busy.pid}/task")))
        case(len(tasks) == count, f"control:{path}: {len(tasks)} threads")
        if path:
            with open(f"/proc/{busy.pid}/task/{tasks[-1]}/status", encoding="ascii") as status:
                mask = int(re.search(r"SigBlk:\s*(\w+)", status.read())[1], 16)
            missing = [number for number in range(1, 32) if not mask >> (number - 1) & 1]
            case(missing == [signal.SIGKILL, signal.SIGSTOP], f"signals taken: {missing}")
        refused(molehill("detach" if path else "list", busy.pid, *["9"] * bool(path)),
                f"control:{path}", "no spy 9" if path else "has no control socket",
                status=1 if path else 3)
        case(busy.end() == "", "busy says something")


def main():
    environment("")
    with Scratch() as place:
        only_when_asked(place)
        in_and_out(place)
        several(place)
        no_modules(place)
        reports(place)
        under_load(place)
        left_attached(place)
    end()


main()
