#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev many: what many heaps cost, used by many threads: time a pair, resident bytes.

perf/many.c does the work; runs are interleaved, figures are medians. Prints two tables and the
figure that is wanted of 10 000 heaps and 64 threads, and writes build/bench/many.txt. The exit
code tells whether the programs ran, never how fast.
"""
import re
import statistics

import bench_command
import bench_report
from bench_command import ROOT, say, show_progress

HEAPS, THREADS = (1, 100, 10_000, 100_000), (1, 10, 100, 1000)
PAIRS = 400_000
WANTED_HEAPS, WANTED_THREADS = 10_000, 64
KIB, MIB = 1024, 1024 ** 2


class Case:
    """Options of many.c, and how often it is run."""

    def __init__(self, heaps, threads, sizes=(16, 256), visitors=1, blocks=10, own=0):
        self.heaps, self.threads = heaps, threads
        self.sizes, self.visitors, self.blocks, self.own = sizes, visitors, blocks, own
        self.runs = []

    def run(self, programs, target, pairs):
        command = [programs / f'many-{target.build}', 'many', target.name, str(self.threads),
                   str(max(pairs, self.threads)), f'heaps={self.heaps}', f'min={self.sizes[0]}',
                   f'max={self.sizes[1]}', f'visitors={self.visitors}',
                   f'blocks={self.blocks}', f'own={self.own}', 'reps=3', 'budget_ms=1000']
        self.runs.append(parse(target.run(command)[0]))

    def median(self, what):
        return statistics.median(run[what] for run in self.runs) if self.runs else None


def parse(text):
    """One run: live, rss and after in bytes, ns a pair."""
    memory = re.search(r'^\S+:memory \S+ \d+ \d+ \d+ (\d+) (\d+) (\d+)$', text, re.M)
    pair = re.search(r'([\d.]+) [\d.]+ ns/op ', text)
    if not memory or not pair:
        raise RuntimeError(f'unexpected output: {text.strip()}')
    live, rss, after = map(int, memory.groups())
    return {'live': live, 'rss': rss, 'after': after, 'ns': float(pair[1])}


def wanted_cases():
    """Both readings of "10 blocks each", blocks of mixed sizes and of one."""
    where = (WANTED_HEAPS, WANTED_THREADS)
    return {
        '10 blocks in each heap, by its creator, 16-256 B': Case(*where),
        'the same, 64 B': Case(*where, sizes=(64, 64)),
        '10 blocks in each heap, by 10 threads, 16-256 B': Case(*where, visitors=10, blocks=1),
        '10 blocks in each heap by each thread, 16-256 B': Case(*where, visitors=WANTED_THREADS),
    }


def grid(heap_counts, thread_counts):
    """{(heaps, threads): (pairs in any heap, pairs in the thread's own)}"""
    return {(heaps, threads): (Case(heaps, threads), Case(heaps, threads, own=1))
            for heaps in heap_counts for threads in thread_counts}


def run_all(cases, programs, target, runs, pairs):
    failures = []
    for turn in range(runs):
        for case in cases:
            show_progress(f'run {turn + 1}/{runs} {case.heaps} heaps {case.threads} threads',
                          case is cases[0])
            try:
                case.run(programs, target, pairs)
            except RuntimeError as error:
                failures.append(f'{case.heaps} heaps {case.threads} threads: {error}')
                say(f'failed: {failures[-1]}')
    show_progress('', False)
    return failures


def shown(value, unit=1, digits=0):
    return '-' if value is None else f'{value / unit:.{digits}f}'


def grid_tables(cells, heap_counts, thread_counts):
    """Cost a pair and resident bytes, a row for each number of heaps."""
    head = ['heaps'] + [f'{threads} threads' for threads in thread_counts]
    pairs, memory = [head], [head]
    for heaps in heap_counts:
        row = [cells[heaps, threads] for threads in thread_counts]
        pairs.append([heaps] + [f'{shown(any_heap.median("ns"))} / {shown(own.median("ns"))}'
                                for any_heap, own in row])
        memory.append([heaps] + [
            f'{shown(any_heap.median("rss"), heaps * KIB, 1)} / '
            f'{shown(any_heap.median("after"), heaps * KIB, 1)}' for any_heap, _ in row])
    return ['ns a pair of HeapAlloc and HeapFree, 16-256 B, wall time over the pairs of all '
            'threads:', 'in any of the heaps / in those that the thread created',
            bench_report.layout(pairs), '',
            'KiB resident for each heap, 10 blocks in it (1.3 KiB): filled / after the pairs in '
            'any heap', bench_report.layout(memory), '']


def limit_bytes(live, heaps):
    return 3 * live + 16 * KIB * heaps


def wanted_table(cases):
    rows = [['', 'live MiB', 'RSS MiB', 'limit', '', 'KiB/heap', 'after pairs']]
    for name, case in cases.items():
        if not case.runs:
            continue
        live, rss = case.median('live'), case.median('rss')
        limit = limit_bytes(live, case.heaps)
        rows.append([name, shown(live, MIB, 1), shown(rss, MIB, 1), shown(limit, MIB, 1),
                     'yes' if rss <= limit else 'NO', shown(rss, case.heaps * KIB, 1),
                     shown(case.median('after'), MIB, 1)])
    return [f'{WANTED_HEAPS} heaps x {WANTED_THREADS} threads; wanted: RSS <= 3 x live + 16 KiB '
            'a heap', bench_report.layout(rows), '']


def parse_arguments():
    parser = bench_command.make_parser('many', __doc__)
    parser.add_argument('--quick', action='store_true', help='small and once: does it work?')
    parser.add_argument('--wanted', action='store_true', help='only 10 000 heaps x 64 threads')
    bench_command.add_runs(parser, 3, 1)
    bench_command.share(parser, 'no-build', 'build', 'out')
    options = bench_command.parse(parser)
    options.targets, options.peer = 'heap', []
    return options


def main():
    options = parse_arguments()
    (target,) = bench_command.prepare(options)
    machine = bench_command.describe_machine(options)
    heap_counts, thread_counts = (HEAPS[:2], THREADS[:2]) if options.quick else (HEAPS, THREADS)
    cells = {} if options.wanted else grid(heap_counts, thread_counts)
    wanted = {} if options.quick else wanted_cases()
    cases = [case for pair in cells.values() for case in pair] + list(wanted.values())
    failures = run_all(cases, ROOT / options.build / 'perf', target, options.runs,
                       PAIRS // 10 if options.quick else PAIRS)
    parts = [bench_command.heading(machine, f'{options.runs} runs, medians'), '']
    if cells:
        parts += grid_tables(cells, heap_counts, thread_counts)
    if wanted:
        parts += wanted_table(wanted)
    text = '\n'.join(parts) + bench_command.failed(failures)
    return bench_command.finish(options, failures, {'many.txt': text})


if __name__ == '__main__':
    bench_command.run_main(main)
