#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev costs: what spies cost, measured by perf/spies.c and perf/task.c; see perf/README.md.

Two builds, with and without support for spies (-Dspies=false), run in turn. Prints a table, and
writes it to build/bench/costs.txt. The exit code tells whether the programs ran, never how fast.
"""
import os
import platform
import statistics

import bench_command
from bench_command import ROOT
from bench_count import CALLGRIND, collected

WITH, WITHOUT = ROOT / 'build/gcc', ROOT / 'build/spyless'
TARGETS = ['perf/spies', 'perf/task-heap']
PAIRS = 64 * 2000


def run(*command):
    """What it said: (stdout, stderr)."""
    try:
        return bench_command.run(command, timeout=600)
    except RuntimeError as error:
        raise SystemExit(f'costs: {" ".join(map(str, command))}: {error}') from None


def build():
    if not (WITHOUT / 'build.ninja').exists():
        run('meson', 'setup', WITHOUT, ROOT, '-Dspies=false', '-Dtests=false', '-Dexamples=false')
    for folder in (WITH, WITHOUT):
        bench_command.build(folder, *TARGETS)


def per_pair(folder, spy):
    """Instructions a pair, the loop included: the start is counted apart and taken off."""
    many, none = (collected(run(*CALLGRIND, folder / 'perf/spies', 'count', spy, pairs)[1])
                  for pairs in (PAIRS, 64))
    return (many - none) / (PAIRS - 64)


def spread(values):
    return f'{statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})'


def pair(folder, spy, threads):
    """ns a pair, without the spy and with it."""
    words = run(folder / 'perf/spies', 'pair', spy, threads)[0].split()
    return float(words[3]), float(words[4])


def detached(report, runs):
    report('## Detached, against a build without spies: HeapAlloc+HeapFree, 1 to 253 bytes')
    counts = {folder: per_pair(folder, 'none') for folder in (WITH, WITHOUT)}
    report(f'instructions a pair      with {counts[WITH]:.2f}  without {counts[WITHOUT]:.2f}  '
           f'more: {counts[WITH] - counts[WITHOUT]:+.2f}')
    times = {WITH: [], WITHOUT: []}
    for _ in range(runs):
        for folder, seen in times.items():
            seen.append(min(pair(folder, 'none', 1)))
    report(f'ns a pair, with          {spread(times[WITH])}')
    report(f'ns a pair, without       {spread(times[WITHOUT])}')
    ratios = [a / b for a, b in zip(times[WITH], times[WITHOUT])]
    report(f'ratio, run by run        {spread(ratios)}')


def attached(report, runs):
    report('\n## Attached: ns a pair more than in the same process without')
    report('spy        threads  instructions  detached                     more')
    for spy in ('observer', 'malloc', 'sample'):
        count = per_pair(WITH, spy)
        for threads in (1, 2):
            pairs = [pair(WITH, spy, threads) for _ in range(runs)]
            more = [with_spy - plain for plain, with_spy in pairs]
            report(f'{spy:10} {threads:7}  {count:12.1f}  '
                   f'{spread([plain for plain, _ in pairs]):28} {spread(more)}')


def com(report, runs):
    report('\n## COM spies that do nothing: ns a pair of IMalloc::Alloc and Free;')
    report('and the throughput with a free-threaded one as a ratio to that with a locked one')
    report('threads  no spy                      locked                      free-threaded'
           '               ratio')
    for threads in (1, 2, 16):
        seen = {spy: [] for spy in range(3)}
        for _ in range(runs):
            for spy, times in seen.items():
                line = run(WITH / 'perf/task-heap', 'task', 'heap', threads, 400_000,
                           f'spy={spy}', 'min=1', 'max=256', 'batch=64')[0]
                times.append(float(line.split()[6]))  # the median of its repetitions
        ratios = [locked / free for locked, free in zip(seen[1], seen[2])]
        report(f'{threads:7}  ' + ' '.join(f'{spread(times):27}' for times in seen.values())
               + f' {spread(ratios)}')


def latencies(report, cycles):
    cores = os.cpu_count() or 1
    report('\n## Coming and going under load: us, p50 p99 max')
    for line in run(WITH / 'perf/spies', 'attach', cores, cycles)[0].splitlines():
        report(line)
    report('\n## Longest pause of any thread in 2 ms, with a change at its start: us, p50 p99 max')
    for line in run(WITH / 'perf/spies', 'pause', max(cores - 1, 1), cycles)[0].splitlines():
        report(line)


def parse_arguments():
    parser = bench_command.make_parser('costs', __doc__)
    bench_command.add_runs(parser, 9, 2)
    parser.add_argument('--cycles', type=int, help='changes under load (1000; quick: 50)')
    bench_command.share(parser, 'no-build')
    parser.add_argument('--quick', action='store_true', help='few runs and changes: does it work?')
    options = bench_command.parse(parser)
    options.cycles = options.cycles or (50 if options.quick else 1000)
    return options


def main():
    options = parse_arguments()
    if not options.no_build:
        build()
    lines = []

    def report(line):
        print(line, flush=True)
        lines.append(line)

    report(f'{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}; '
           f'{options.runs} runs, medians (least to most)\n')
    detached(report, options.runs)
    attached(report, options.runs)
    com(report, options.runs)
    latencies(report, options.cycles)
    bench_command.write('build/bench', {'costs.txt': '\n'.join(lines) + '\n'})


if __name__ == '__main__':
    bench_command.run_main(main, 'costs')
