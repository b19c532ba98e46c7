#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""malloc_info, malloc_stats, mallinfo2, mallinfo and malloc_trim tell and do what they should."""
import os
import re
from xml.etree import ElementTree

from _preload import BUILD, Scratch, case, end

PROGRAM = os.path.join(BUILD, "tests", "malloc_figures")
BLOCKS = 400
LIVE = 200 * (1000 + 200000)
STATS = re.compile(r"molehill: committed (\d+) bytes, (\d+) in live blocks, (\d+) frees")


def run(place, what):
    done = place.run([PROGRAM, what], True)
    case(done.returncode == 0, f"{what}: {done.returncode}: {done.stdout.decode()[-500:]}"
         f"{done.stderr.decode(errors='replace')[-500:]}")
    case(done.frees >= BLOCKS, f"{what}: only {done.frees} frees through the library")
    return done


def follows(what, used, rest, frees, current):
    """Figures before, with and after the blocks."""
    case(LIVE <= used[1] - used[0] <= LIVE * 9 // 8, f"{what}: used: {used}")
    case(used[2] == used[0], f"{what}: used does not fall back: {used}")
    case(frees[1] == frees[0] and frees[2] == frees[1] + BLOCKS, f"{what}: frees: {frees}")
    case(all(used[i] + rest[i] == current[i] for i in range(3)),
         f"{what}: {used} and {rest} are not all of {current}")
    case(current[1] > current[0] and current[1] >= LIVE, f"{what}: current: {current}")


def figure(document, kind, tag, attribute):
    found = [element for element in document.findall(tag) if element.get("type") == kind]
    case(len(found) == 1, f"malloc_info has {len(found)} {tag}s of type {kind}")
    return int(found[0].get(attribute)) if found else -1


def info(place):
    parts = run(place, "info").stdout.decode().split("--\n")
    case(len(parts) == 4 and parts[3] == "", f"{len(parts)} parts")
    try:
        documents = [ElementTree.fromstring(part) for part in parts[:3]]
    except ElementTree.ParseError as error:
        case(False, f"malloc_info is not well-formed: {error}")
        return
    case(all(document.tag == "malloc" and document.get("version") for document in documents),
         "malloc_info is another document")
    follows("malloc_info", *([figure(document, *which) for document in documents]
                             for which in (("used", "total", "size"), ("rest", "total", "size"),
                                           ("frees", "total", "count"),
                                           ("current", "system", "size"))))
    case(all(figure(document, "total", "aspace", "size") > figure(document, "current", "system",
                                                                  "size")
             for document in documents), "more is in use than is reserved")


def stats(place):
    lines = run(place, "stats").stderr.decode().splitlines()
    matches = [STATS.fullmatch(line) for line in lines]
    case(len(lines) == 3 and all(matches), f"malloc_stats writes {lines}")
    if len(lines) == 3 and all(matches):
        committed, live, frees = zip(*([int(word) for word in match.groups()]
                                       for match in matches))
        follows("malloc_stats", live, [committed[i] - live[i] for i in range(3)], frees,
                committed)


def main():
    with Scratch() as place:
        info(place)
        stats(place)
        run(place, "check")
        run(place, "trim")
    end()


main()
