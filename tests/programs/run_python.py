#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Python program with threads, whose every object comes from malloc (PYTHONMALLOC)."""
import os
import sys

from _preload import Scratch, compare, end

SCRIPT = r"""
import hashlib, json, re, threading, zlib

def work(number, results):
    digest = hashlib.sha256()
    table = {}
    for i in range(1000):
        key = f"key {number} {i * 7919 % 1009}"
        table[key] = [key * (i % 17), {"n": i, "text": "x" * (i % 900)}]
        if i % 3 == 0:
            table.pop(f"key {number} {i * 31 % 1009}", None)
    text = json.dumps(table, sort_keys=True)
    words = re.findall(r"[a-z]+ \d+", text)
    packed = zlib.compress(text.encode(), 6)
    assert json.loads(zlib.decompress(packed)) == table
    digest.update(packed)
    digest.update(" ".join(sorted(words)).encode())
    results[number] = digest.hexdigest()

results = {}
for generation in range(2):
    threads = [threading.Thread(target=work, args=(generation * 10 + i, results))
               for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
for number in sorted(results):
    print(number, results[number])
print(sum(len(str(2 ** i)) for i in range(1500)))
"""


def main():
    system = "/usr/bin/python3"
    python = system if os.path.exists(system) else os.path.realpath(sys.executable)
    with Scratch() as place:
        script = place.file("work.py", SCRIPT)
        env = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"}
        compare(place, [python, "-I", "-X", "utf8", script], 50000, env, "python3")
        compare(place, [python, "-I", "-c", "import unittest, decimal, xml.dom.minidom"], 1000,
                None, "python3 with its own allocator")
    end()


main()
