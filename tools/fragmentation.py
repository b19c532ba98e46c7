#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev fragmentation: what redis occupies after its values changed their size, on each malloc.

redis-server, unmodified, the allocator preloaded, has `maxmemory 100mb` and evicts the least
recently used. It is filled with new keys of 150-byte values, then of 490, then of 70, each time
until all older ones are long gone. The figure is its resident memory a second after, with what
redis counts as used beside it. Writes build/fragmentation/results.json. One server at a time.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import bench_command
import bench_report
import demo_load
from bench_command import BASELINE, PEERS, ROOT, Target

MAXMEMORY = '100mb'
# (bytes of a value, SETs of new keys): about twice what fits.
FILLS = ((150, 800_000), (490, 400_000), (70, 1_200_000))
KEYS = 1_000_000_000  # drawn from so many, hence new
SETTLE_SECONDS = 1.0
MIB = 1024


def say(text):
    bench_command.say(text, 'fragmentation')


def find_redis(machine, peers):
    redis = demo_load.Redis(machine)
    # Debian's redis is linked to jemalloc: glibc's malloc has to be preloaded as well.
    redis.preloads.update(PEERS, glibc='libc.so.6', jemalloc=machine.jemalloc, **peers)
    return redis


def used_kib(client):
    head = client.call('INFO', 'memory')
    text = client.lines.read(int(head[1:]) + 2).decode()
    return int(text.split('used_memory:')[1].split()[0]) // 1024


def fill(children, machine, server, port, value_bytes, count):
    command = [demo_load.find_program('redis-benchmark', 'redis-tools'), '-h', '127.0.0.1',
               '-p', str(port), '-t', 'set', '-q', '-c', '8', '-P', '64', '-n', str(count),
               '-d', str(value_bytes), '-r', str(KEYS)]
    child = children.start(command, machine.benchmark_cpus, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        demo_load.wait_for_benchmark(child, server)
    finally:
        children.end(child)
    if child.returncode != 0:
        raise demo_load.DemoError(f'redis-benchmark failed: {child.returncode}')


def run_once(children, redis, name, scale):
    """Resident KiB after each fill, the peak, and what redis says it uses at the end."""
    server, port = redis.start(children, name)
    try:
        if name in ('jemalloc', 'molehill'):
            demo_load.check_loaded(server.pid, name)
        client = demo_load.Client(port)
        client.call('CONFIG', 'SET', 'maxmemory', MAXMEMORY)
        client.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
        filled = []
        for value_bytes, count in FILLS:
            fill(children, redis.machine, server, port, value_bytes, int(count * scale))
            time.sleep(SETTLE_SECONDS)
            filled.append(demo_load.memory_kib(server.pid, 'VmRSS'))
        used = used_kib(client)
        evicted = client.info('evicted_keys')
        client.close()
        peak = demo_load.memory_kib(server.pid, 'VmHWM')
    finally:
        children.end(server)
    if not evicted and scale >= 1:
        raise demo_load.DemoError(f'redis on {name} evicted nothing')
    return {'rss_kib': filled, 'peak_kib': peak, 'used_kib': used, 'evicted': evicted}


def is_there(name, preload):
    """Whether this machine has it."""
    reason = Target(name, 'm', 'malloc', preload).missing()
    if reason:
        say(f'skipping {name}: {reason}')
    return not reason


def medians(runs):
    return {'final_kib': statistics.median(run['rss_kib'][-1] for run in runs),
            'filled_kib': [statistics.median(run['rss_kib'][i] for run in runs)
                           for i in range(len(FILLS))],
            'peak_kib': statistics.median(run['peak_kib'] for run in runs),
            'used_kib': statistics.median(run['used_kib'] for run in runs), 'runs': runs}


def table(results):
    base = results.get(BASELINE, {}).get('final_kib')
    rows = [['MiB', *(f'{size} B' for size, _ in FILLS), 'peak', 'used by redis',
             f'final / {BASELINE}']]
    for name, found in results.items():
        rows.append([name, *(f'{kib / MIB:.1f}' for kib in found['filled_kib']),
                     f'{found["peak_kib"] / MIB:.1f}', f'{found["used_kib"] / MIB:.1f}',
                     bench_report.show(bench_report.quotient(found['final_kib'], base))])
    return bench_report.layout(rows)


def measure(arguments, children, directory):
    cpus = sorted(os.sched_getaffinity(0))
    build = (ROOT / arguments.build).resolve()
    machine = demo_load.Machine(build, directory, demo_load.find_jemalloc(),
                                frozenset(cpus[:1]), frozenset(cpus[-1:]))
    redis = find_redis(machine, bench_command.read_peers(arguments))
    names = [name for name, preload in redis.preloads.items() if is_there(name, preload)
             and (not arguments.targets or name in arguments.targets.split(','))]
    runs = {name: [] for name in names}
    for turn in range(arguments.runs):
        for name in names:
            say(f'run {turn + 1}/{arguments.runs} {name}')
            runs[name].append(run_once(children, redis, name, arguments.scale))
    return {name: medians(found) for name, found in runs.items()}


def as_json(arguments, results):
    document = {'date': time.strftime('%Y-%m-%d'), 'runs': arguments.runs,
                'scale': arguments.scale, 'allocators': results}
    ratio = bench_report.quotient(results.get('molehill', {}).get('final_kib'),
                                  results.get(BASELINE, {}).get('final_kib'))
    if ratio and arguments.scale >= 1:
        document['redis'] = {'final_rss_ratio': ratio}
    return json.dumps(document, indent=1) + '\n'


def self_test():
    def run(*filled):
        return {'rss_kib': [kib * MIB for kib in filled], 'peak_kib': 200 * MIB,
                'used_kib': 100 * MIB, 'evicted': 1}
    results = {'jemalloc': medians([run(110, 140, 130), run(110, 150, 140), run(110, 140, 150)]),
               'molehill': medians([run(100, 100, 70)])}
    lines = table(results).splitlines()
    assert lines[2].split() == ['jemalloc', '110.0', '140.0', '140.0', '200.0', '100.0', '1.00']
    assert lines[3].split()[-1] == '0.50', lines
    for scale, expected in ((1.0, {'final_rss_ratio': 0.5}), (0.1, None)):
        text = as_json(argparse.Namespace(runs=1, scale=scale), results)
        assert json.loads(text).get('redis') == expected, scale
    print('fragmentation: self-test passed')
    return 0


def parse_arguments():
    parser = bench_command.make_parser('fragmentation', __doc__)
    parser.add_argument('--runs', type=int, default=3, help='(%(default)s)')
    bench_command.share(parser, 'targets', 'peer')
    parser.add_argument('--scale', type=float, default=1.0,
                        help='this share of the SETs: does it work?')
    bench_command.share(parser, 'build', 'self-test')
    return bench_command.parse(parser)


def interrupted(*_):
    raise demo_load.Interrupted('interrupted')


def main():
    arguments = parse_arguments()
    if arguments.self_test:
        return self_test()
    for number in demo_load.STOPS:
        signal.signal(number, interrupted)
    children = demo_load.Children()
    directory = tempfile.mkdtemp(prefix='molehill-fragmentation-')
    try:
        results = measure(arguments, children, pathlib.Path(directory))
        bench_command.write('build/fragmentation', {'results.json': as_json(arguments, results)})
        print(f'redis-server, maxmemory {MAXMEMORY}: resident after values of each size; '
              f'medians of {arguments.runs}\n{table(results)}')
        return 0
    except (demo_load.DemoError, OSError, ValueError) as error:
        say(str(error))
        return 1
    finally:
        for number in demo_load.STOPS:
            signal.signal(number, signal.SIG_IGN)
        children.end_all()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
