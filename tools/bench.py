#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev bench: runs perf/workloads.txt on every allocator, interleaved, and reports.

One process for each workload, target and run. Prints a table of ratios to jemalloc and closes
with what is wanted and what was reached. Writes that to build/bench, with chart.svg, rows.txt
(each row of each target in full) and results.json (every run).
The exit code tells whether the programs ran, never how fast. Method: perf/README.md.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

import bench_count
import bench_report
import chart

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = 'jemalloc'
TIMEOUT_S = 180
QUICK_SHARE = 0.1

# Names to preload; the dynamic linker finds them, as it would for a user. '' is glibc's own.
PEERS = {
    'glibc': '',
    'jemalloc': 'libjemalloc.so.2',
    'mimalloc': 'libmimalloc.so.2.0',
    'tcmalloc': 'libtcmalloc_minimal.so.4',
    'tbbmalloc': 'libtbbmalloc_proxy.so.2',
}


def say(text):
    print(f'bench: {text}', file=sys.stderr, flush=True)


def show_progress(text, is_new_row):
    """One line that is overwritten on a terminal; elsewhere a line for each row of the list."""
    if sys.stderr.isatty():
        print(f'\r\033[Kbench: {text}', end='', file=sys.stderr, flush=True)
    elif is_new_row:
        say(text)


class Workload:
    """One row of perf/workloads.txt."""

    def __init__(self, line):
        fields = line.split()
        if len(fields) != 6:
            raise SystemExit(f'bench: perf/workloads.txt: six columns are wanted: {line}')
        self.name, self.program, options, threads, ops, self.targets = fields
        self.options = [] if options == '-' else options.split(',')
        self.threads, self.ops = int(threads), int(ops)


class Target:
    """One column: which build of a workload, what is preloaded, which options are added.

    `letter` is the one in the targets column of workloads.txt that must be there."""

    def __init__(self, name, letter, build, preload='', options=()):
        self.name, self.letter, self.build = name, letter, build
        self.preload, self.options = preload, list(options)

    def environment(self):
        environment = {k: v for k, v in os.environ.items() if k != 'LD_PRELOAD'}
        if self.preload:
            environment['LD_PRELOAD'] = self.preload
        return environment


def run_program(command, target):
    """Its (stdout, stderr); RuntimeError with a reason when it failed or ran on another malloc."""
    try:
        done = subprocess.run(command, env=target.environment(), capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f'not done after {TIMEOUT_S} s') from None
    except OSError as error:
        raise RuntimeError(str(error)) from None
    if 'cannot be preloaded' in done.stderr:
        raise RuntimeError(f'{target.preload} cannot be preloaded')
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise RuntimeError(f'exit {done.returncode}: {last}')
    return done.stdout, done.stderr


def find_targets(arguments, programs):
    """Those asked for that this machine has; the others are named on stderr."""
    malloc = sorted(programs.parent.rglob('libmolehill-malloc.so.0'))
    peers = dict(PEERS)
    peers['molehill'] = str(malloc[0]) if malloc else None
    extra = dict(peer.partition('=')[::2] for peer in arguments.peer)
    if not all(extra.values()):
        raise SystemExit('bench: --peer wants name=path')
    peers.update(extra)
    targets = [Target(name, 'm', 'malloc', preload) for name, preload in peers.items()]
    targets += [Target('heap', 'h', 'heap'),
                Target('heap-nos', 'n', 'heap', options=['no_serialize=1']),
                Target('floor', 'f', 'floor')]
    if arguments.targets:
        wanted = {*arguments.targets.split(','), *extra}
        unknown = wanted - {target.name for target in targets}
        if unknown:
            raise SystemExit('bench: no such target: ' + ', '.join(sorted(unknown)))
        targets = [target for target in targets if target.name in wanted]
    return [target for target in targets if is_there(target, programs)]


def is_there(target, programs):
    if target.preload is None:
        reason = 'libmolehill-malloc.so.0 is not built'
    elif not (programs / f'pair-{target.build}').exists():
        reason = f'pair-{target.build} is not built'
    else:
        try:
            run_program(['true'], target)
            return True
        except RuntimeError as error:
            reason = str(error)
    say(f'skipping {target.name}: {reason}')
    return False


def run_one(workload, target, programs, quick, after):
    """min, median, max in ns/op, peak RSS in KiB, page faults in 1 000 operations, and if `after`
    RSS in KiB half a second after all was freed: as the program prints them."""
    ops = max(int(workload.ops * QUICK_SHARE), workload.threads) if quick else workload.ops
    command = [programs / f'{workload.program}-{target.build}', workload.name, target.name,
               str(workload.threads), str(ops), *workload.options, *target.options]
    more = ['reps=3'] * quick + [f'after_ms={bench_count.AFTER_MS}'] * after
    out, _ = run_program(command + more, target)
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


def capture(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                              check=False).stdout.strip()
    except OSError:
        return ''


def describe_machine(arguments):
    cpu = re.search(r'model name\s*:\s*(.*)', pathlib.Path('/proc/cpuinfo').read_text())
    huge = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')
    dirty = capture('git', 'status', '--porcelain', '--untracked-files=no')
    return {
        'cpu': cpu.group(1) if cpu else platform.machine(), 'cores': os.cpu_count(),
        'kernel': platform.release(), 'libc': ' '.join(platform.libc_ver()),
        'huge_pages': huge.read_text().strip() if huge.exists() else '-',
        'load_before': os.getloadavg()[0],
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'commit': (capture('git', 'rev-parse', '--short', 'HEAD') or 'none')
                  + (' with changes' if dirty else ''),
        'runs': arguments.runs, 'quick': arguments.quick}


def parse_arguments():
    parser = argparse.ArgumentParser(prog='./dev bench', description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true',
                        help='a tenth of the operations and 2 runs: does it work?')
    parser.add_argument('--targets', help='only these columns, a,b,c')
    parser.add_argument('--workloads', default='', help='only rows that this expression matches')
    parser.add_argument('--runs', type=int, help='how often each is run (5; quick: 2)')
    parser.add_argument('--peer', action='append', default=[], metavar='NAME=PATH',
                        help='one more malloc to preload; may be given several times')
    parser.add_argument('--no-build', action='store_true', help='take the programs as they are')
    parser.add_argument('--no-instructions', action='store_true', help='skip the counting')
    parser.add_argument('--instructions-rows', action='store_true',
                        help='count the instructions of each row too; takes half an hour or more')
    parser.add_argument('--no-after', action='store_true',
                        help='do not wait to see what stays after everything was freed')
    parser.add_argument('--build', default='build/gcc', help='the build directory (%(default)s)')
    parser.add_argument('--out', default='build/bench', help='where results go (%(default)s)')
    arguments = parser.parse_args()
    arguments.no_after = arguments.no_after or arguments.quick
    if arguments.runs is None:
        arguments.runs = 2 if arguments.quick else 5
    if arguments.runs < 1:
        parser.error('--runs must be at least 1')
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
        run_program, Target('empty', '', 'empty'), targets, programs, arguments.quick)
    results['after_load'] = {} if arguments.no_after else bench_count.after_load(
        run_program, targets, programs)
    counts = bench_count.row_table(run_program, workloads, targets, programs) \
        if arguments.instructions_rows else {}
    for row in results['rows']:
        row['instructions'] = counts.get((row['workload'], row['target']))


def main():
    arguments = parse_arguments()
    workloads = read_workloads(arguments.workloads)
    build, out = ROOT / arguments.build, ROOT / arguments.out
    if not arguments.no_build:
        if subprocess.run(['ninja', '-C', build, '--quiet'], stdout=sys.stderr,
                          check=False).returncode != 0:
            raise SystemExit(f'bench: {arguments.build} does not build')
    targets = find_targets(arguments, build / 'perf')
    if not targets:
        raise SystemExit('bench: no target is left to run')
    results = {'machine': describe_machine(arguments)}
    samples, failures = run_all(workloads, targets, build / 'perf', arguments)
    results['rows'] = summarize(workloads, targets, samples)
    results['failures'] = failures
    measure_more(results, workloads, targets, build / 'perf', arguments)
    report = bench_report.Report(results, BASELINE, ROOT / 'build')
    results['wanted'] = report.wanted()
    out.mkdir(parents=True, exist_ok=True)
    (out / 'results.json').write_text(json.dumps(results, indent=1) + '\n')
    (out / 'chart.svg').write_text(chart.draw(report))
    text = report.text()
    (out / 'report.txt').write_text(text)
    (out / 'rows.txt').write_text(report.rows_text())
    print(text, end='')
    say(f'wrote report.txt, rows.txt, results.json and chart.svg to {arguments.out}')
    return 1 if failures else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say('interrupted; nothing was written')
        sys.exit(130)
