#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev bench: runs perf/workloads.txt on every allocator, interleaved, and reports.

One process for each workload, target and run. Prints a table of ratios to jemalloc and closes
with what is wanted and what was reached. Writes that to build/bench, with chart.svg, rows.txt
(each row of each target in full) and results.json (every run).
The exit code tells whether the programs ran, never how fast. Method: perf/README.md.
"""
import json
import re
import statistics

import bench_command
import bench_count
import bench_report
import chart
from bench_command import BASELINE, ROOT, Target, say, show_progress

QUICK_SHARE = 0.1


class Workload:
    """One row of perf/workloads.txt."""

    def __init__(self, line):
        fields = line.split()
        if len(fields) != 6:
            raise SystemExit(f'bench: perf/workloads.txt: six columns are wanted: {line}')
        self.name, self.program, options, threads, ops, self.targets = fields
        self.options = [] if options == '-' else options.split(',')
        self.threads, self.ops = int(threads), int(ops)


def run_one(workload, target, programs, quick, after):
    """min, median, max in ns/op, peak RSS in KiB, page faults in 1 000 operations, and if `after`
    RSS in KiB half a second after all was freed: as the program prints them."""
    ops = max(int(workload.ops * QUICK_SHARE), workload.threads) if quick else workload.ops
    command = [programs / f'{workload.program}-{target.build}', workload.name, target.name,
               str(workload.threads), str(ops), *workload.options, *target.options]
    more = ['reps=3'] * quick + [f'after_ms={bench_count.AFTER_MS}'] * after
    out, _ = target.run(command + more)
    fields = out.split()
    if len(fields) != 12 or fields[8] != 'ns/op':
        raise RuntimeError(f'unexpected output: {out.strip()}')
    return {'bytes': fields[3], 'ops': int(fields[4]), 'min': float(fields[5]),
            'median': float(fields[6]), 'max': float(fields[7]), 'rss_kib': int(fields[9]),
            'faults': float(fields[10]), 'after_kib': int(fields[11]) if after else None}


def run_all(workloads, targets, programs, arguments):
    """({(workload, target): [samples]}, [failures]); a pair that failed is not tried again."""
    plan = [(w, t) for w in workloads for t in targets if t.letter in w.targets]
    samples, failures, failed, row = {}, [], set(), None
    for turn in range(arguments.runs):
        for step, (workload, target) in enumerate(plan):
            key = (workload.name, target.name)
            if key in failed:
                continue
            where = f'run {turn + 1}/{arguments.runs} {step + 1}/{len(plan)} {workload.name}'
            show_progress(f'{where} {target.name}', row != workload.name)
            row = workload.name
            try:
                sample = run_one(workload, target, programs, arguments.quick,
                                 turn == 0 and not arguments.no_after)
            except RuntimeError as error:
                failed.add(key)
                failures.append(f'{workload.name} on {target.name}: {error}')
                say(f'failed: {failures[-1]}')
                continue
            samples.setdefault(key, []).append(sample)
    show_progress('', False)
    return samples, failures


def summarize(workloads, targets, samples):
    """One record for each workload and target that ran."""
    records = []
    for workload in workloads:
        for target in targets:
            runs = samples.get((workload.name, target.name))
            if not runs:
                continue
            medians = [run['median'] for run in runs]
            records.append({
                'workload': workload.name, 'target': target.name, 'threads': workload.threads,
                'bytes': runs[0]['bytes'], 'ops': runs[0]['ops'],
                'median': statistics.median(medians), 'best': min(run['min'] for run in runs),
                'spread': max(medians) / min(medians),
                'rss_kib': statistics.median(run['rss_kib'] for run in runs),
                'faults': statistics.median(run['faults'] for run in runs),
                'after_kib': runs[0]['after_kib'], 'runs': runs})
    return records


def parse_arguments():
    parser = bench_command.make_parser('bench', __doc__)
    parser.add_argument('--quick', action='store_true',
                        help='a tenth of the operations and 2 runs: does it work?')
    bench_command.share(parser, 'targets')
    parser.add_argument('--workloads', default='', help='only rows that this expression matches')
    bench_command.add_runs(parser, 5, 2)
    bench_command.share(parser, 'peer', 'no-build')
    parser.add_argument('--no-instructions', action='store_true', help='skip the counting')
    parser.add_argument('--instructions-rows', action='store_true',
                        help='count the instructions of each row too; takes half an hour or more')
    parser.add_argument('--no-after', action='store_true',
                        help='do not wait to see what stays after everything was freed')
    bench_command.share(parser, 'build', 'out')
    arguments = bench_command.parse(parser)
    arguments.no_after = arguments.no_after or arguments.quick
    return arguments


def read_workloads(pattern):
    lines = (ROOT / 'perf' / 'workloads.txt').read_text().splitlines()
    rows = [Workload(line) for line in lines if line.strip() and not line.startswith('#')]
    try:
        chosen = [row for row in rows if re.search(pattern, row.name)]
    except re.error as error:
        raise SystemExit(f'bench: --workloads: {error}') from None
    if not chosen:
        raise SystemExit(f'bench: no workload matches {pattern}')
    return chosen


def measure_more(results, workloads, targets, programs, arguments):
    """What is counted rather than timed, into `results`."""
    results['instructions'] = {} if arguments.no_instructions else bench_count.pair_table(
        Target('empty', '', 'empty'), targets, programs, arguments.quick)
    results['after_load'] = {} if arguments.no_after else bench_count.after_load(targets, programs)
    counts = bench_count.row_table(workloads, targets, programs) \
        if arguments.instructions_rows else {}
    for row in results['rows']:
        row['instructions'] = counts.get((row['workload'], row['target']))


def main():
    arguments = parse_arguments()
    workloads = read_workloads(arguments.workloads)
    programs = ROOT / arguments.build / 'perf'
    targets = bench_command.prepare(arguments)
    results = {'machine': bench_command.describe_machine(arguments)}
    samples, failures = run_all(workloads, targets, programs, arguments)
    results['rows'] = summarize(workloads, targets, samples)
    results['failures'] = failures
    measure_more(results, workloads, targets, programs, arguments)
    report = bench_report.Report(results, BASELINE, ROOT / 'build')
    results['wanted'] = report.wanted()
    return bench_command.finish(arguments, failures, {
        'report.txt': report.text(), 'rows.txt': report.rows_text(),
        'results.json': json.dumps(results, indent=1) + '\n', 'chart.svg': chart.draw(report)})


if __name__ == '__main__':
    bench_command.run_main(main)
