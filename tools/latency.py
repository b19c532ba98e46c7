#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev latency: how long single operations take in mixed load, on every allocator.

perf/latency.c does the work; a process for each allocator, number of threads and run, and runs
are interleaved. Prints p50, p99, p99.99 and max in ns, each the median over the runs, and writes
build/bench/latency.txt. The exit code tells whether the programs ran, never how fast.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import sys

import bench
import bench_report

ROOT = bench.ROOT
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
                bench.show_progress(f'run {turn + 1}/{options.runs} {threads} threads '
                                    f'{target.name}', target is targets[0])
                command = [programs / f'latency-{target.build}', 'latency', target.name,
                           str(threads), str(ops), 'reps=1', *target.options]
                try:
                    found = parse(bench.run_program(command, target)[0])
                    seen.setdefault((target.name, threads), []).append(found)
                except RuntimeError as error:
                    failures.append(f'{threads} threads on {target.name}: {error}')
                    bench.say(f'failed: {failures[-1]}')
    bench.show_progress('', False)
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


def report(seen, names, options, machine):
    heading = (f'{machine["cpu"]}, {machine["cores"]} cores, Linux {machine["kernel"]}; '
               f'{machine["date"]}; commit {machine["commit"]}; {options.runs} runs, load '
               f'{machine["load_before"]:.1f}')
    parts = [heading, 'ns, by number of threads; medians over the runs', '']
    for operation, title in OPERATIONS.items():
        parts += [f'## {title}', table(seen, operation, names, options.threads), '']
    return '\n'.join(parts)


def numbers(text):
    return [int(word) for word in text.split(',')]


def parse_arguments():
    parser = argparse.ArgumentParser(prog='./dev latency', description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='2 short runs: does it work?')
    parser.add_argument('--targets', help='only these allocators, a,b,c')
    parser.add_argument('--threads', type=numbers, default=[1, 2, 8], help='1,2,8')
    parser.add_argument('--runs', type=int, help='how often each is run (5; quick: 2)')
    parser.add_argument('--ops', type=int, help='operations in a run')
    parser.add_argument('--peer', action='append', default=[], metavar='NAME=PATH',
                        help='one more malloc to preload; may be given several times')
    parser.add_argument('--no-build', action='store_true', help='take the programs as they are')
    parser.add_argument('--build', default='build/gcc', help='the build directory (%(default)s)')
    parser.add_argument('--out', default='build/bench', help='where results go (%(default)s)')
    options = parser.parse_args()
    options.runs = options.runs or (2 if options.quick else 5)
    options.ops = options.ops or (100_000 if options.quick else None)
    options.quick = bool(options.quick)
    if min(options.threads) < 1 or options.runs < 1:
        parser.error('numbers from 1 are wanted')
    return options


def prepare(options):
    """The folder of the programs, built, and the targets that this machine has."""
    build = ROOT / options.build
    if not options.no_build:
        done = subprocess.run(['ninja', '-C', build, '--quiet'], stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit(f'bench: {options.build} does not build')
    targets = [target for target in bench.find_targets(options, build / 'perf')
               if target.build != 'floor']
    if not targets:
        raise SystemExit('bench: no target is left to run')
    return build / 'perf', targets


def finish(text, failures, options, name):
    """Prints and writes the text; the exit code."""
    text += ''.join(f'FAILED {failure}\n' for failure in failures)
    print(text, end='')
    out = pathlib.Path(ROOT / options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / name).write_text(text)
    bench.say(f'wrote {name} to {options.out}')
    return 1 if failures else 0


def main():
    options = parse_arguments()
    programs, targets = prepare(options)
    machine = bench.describe_machine(options)
    seen, failures = run_all(targets, programs, options)
    text = report(seen, [target.name for target in targets], options, machine)
    return finish(text, failures, options, 'latency.txt')


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        bench.say('interrupted; nothing was written')
        sys.exit(130)
