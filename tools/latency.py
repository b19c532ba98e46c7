#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev latency: how long single operations take in mixed load, on every allocator.

perf/latency.c does the work; a process for each allocator, number of threads and run, and runs
are interleaved. Prints p50, p99, p99.99 and max in ns, each the median over the runs, and writes
build/bench/latency.txt. The exit code tells whether the programs ran, never how fast.
"""
import re
import statistics

import bench_command
import bench_report
from bench_command import ROOT, say, show_progress

OPS = {1: 1_000_000}    # by threads; for others:
MORE_OPS = 2_000_000
OPERATIONS = {
    'malloc': 'allocate (malloc, HeapAlloc)',
    'calloc': 'allocate zeroed (calloc, HEAP_ZERO_MEMORY)',
    'realloc': 'resize (realloc, HeapReAlloc)',
    'free': 'free, by the thread that allocated',
    'free-remote': 'free, by another thread',
    'all': 'all of these',
    'touch': 'first writes to the pages of a block it returned, 16 B to 1 MiB',
    'nothing': 'nothing: the clock itself (its median is taken off above) and the machine',
}
SHOWN = ('p50', 'p99', 'p99.99', 'max')


def parse(text):
    """{operation: [p50, p99, p99.99, max] in ns}, of operations that were called."""
    found = {}
    for line in text.splitlines():
        line = re.fullmatch(r'\S+:(\S+) \S+ \d+ (\d+)((?: [\d.]+){4}) ns', line)
        if line and int(line[2]):
            found[line[1]] = [float(word) for word in line[3].split()]
    if not set(OPERATIONS) - {'free-remote'} <= set(found):
        raise RuntimeError('unexpected output')
    return found


def run_all(targets, programs, options):
    """({(target name, threads): [what parse returns, of each run]}, [failures])"""
    seen, failures = {}, []
    for turn in range(options.runs):
        for threads in options.threads:
            ops = options.ops or OPS.get(threads, MORE_OPS)
            for target in targets:
                if target.name == 'heap-nos' and threads > 1 or len(failures) > 20:
                    continue
                show_progress(f'run {turn + 1}/{options.runs} {threads} threads {target.name}',
                              target is targets[0])
                command = [programs / f'latency-{target.build}', 'latency', target.name,
                           str(threads), str(ops), 'reps=1', *target.options]
                try:
                    found = parse(target.run(command)[0])
                    seen.setdefault((target.name, threads), []).append(found)
                except RuntimeError as error:
                    failures.append(f'{threads} threads on {target.name}: {error}')
                    say(f'failed: {failures[-1]}')
    show_progress('', False)
    return seen, failures


def table(seen, operation, names, counts):
    """A line for each target: the four figures for each number of threads."""
    counts = [threads for threads in counts
              if any(operation in run for name in names for run in seen.get((name, threads), []))]
    rows = [[''] + [f'{threads}: {what}' if what == 'p50' else what
                    for threads in counts for what in SHOWN]]
    for name in names:
        row = [name]
        for threads in counts:
            runs = [run[operation] for run in seen.get((name, threads), []) if operation in run]
            row += [f'{statistics.median(column):.0f}' for column in zip(*runs)] or ['-'] * 4
        rows.append(row)
    return bench_report.layout(rows)


def report(seen, names, options, machine, failures):
    how = f'{options.runs} runs, load {machine["load_before"]:.1f}'
    parts = [bench_command.heading(machine, how),
             'ns, by number of threads; medians over the runs', '']
    for operation, title in OPERATIONS.items():
        parts += [f'## {title}', table(seen, operation, names, options.threads), '']
    return '\n'.join(parts) + bench_command.failed(failures)


def numbers(text):
    return [int(word) for word in text.split(',')]


def parse_arguments():
    parser = bench_command.make_parser('latency', __doc__)
    parser.add_argument('--quick', action='store_true', help='2 short runs: does it work?')
    bench_command.share(parser, 'targets')
    parser.add_argument('--threads', type=numbers, default=[1, 2, 8], help='1,2,8')
    bench_command.add_runs(parser, 5, 2)
    parser.add_argument('--ops', type=int, help='operations in a run')
    bench_command.share(parser, 'peer', 'no-build', 'build', 'out')
    options = bench_command.parse(parser)
    options.ops = options.ops or (100_000 if options.quick else None)
    if min(options.threads) < 1:
        parser.error('--threads wants numbers from 1')
    return options


def main():
    options = parse_arguments()
    targets = bench_command.prepare(options, 'mhn')
    machine = bench_command.describe_machine(options)
    seen, failures = run_all(targets, ROOT / options.build / 'perf', options)
    text = report(seen, [target.name for target in targets], options, machine, failures)
    return bench_command.finish(options, failures, {'latency.txt': text})


if __name__ == '__main__':
    bench_command.run_main(main)
