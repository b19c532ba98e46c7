#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev traces: records real programs and replays them on every allocator.

Each program that is installed runs on molehill with the spy `record`; its trace goes to
build/traces. Then all traces are replayed on all allocators, interleaved, and a table of ratios
to jemalloc is printed; results.json and report.txt are written beside the traces. The exit code
tells whether everything ran, never how fast. docs/traces.md says more.
"""
import json
import pathlib
import re
import shutil
import statistics
import struct
import subprocess
import tempfile

import bench_command
import trace_programs
from bench_command import BASELINE, ROOT, Target, say, show_progress
from bench_report import geometric_mean

HEADER = struct.Struct('<16sIIQQQQQ')
LANES_MOST = 256        # of the replay
LEAST_OPS = 2_000_000   # in a repetition: short traces are replayed so often
QUICK_SHARE = 0.1


class Trace:
    """A trace's name, path, threads and events."""

    def __init__(self, path):
        self.name, self.path = path.stem, path
        with open(path, 'rb') as file:
            data = file.read(HEADER.size)
        if len(data) < HEADER.size or data[:15] != b'molehill trace\n':
            raise RuntimeError('it is no trace')
        _, _, self.lanes, self.events, self.lost, size, _, _ = HEADER.unpack(data)
        if size != path.stat().st_size:
            raise RuntimeError('its recording was not finished')
        if self.events == 0:
            raise RuntimeError('it has no events')

    def threads(self):
        return min(self.lanes, LANES_MOST)


def record(program, arguments, build, out):
    """Run it; the Trace, or RuntimeError with a reason."""
    libraries = [build / 'src' / name for name in ('libmolehill-malloc.so.0', 'record.so')]
    for library in libraries:
        if not library.exists():
            raise RuntimeError(f'{library} is not built')
    with tempfile.TemporaryDirectory(prefix='molehill-traces-') as folder:
        place = trace_programs.Place(pathlib.Path(folder), build, libraries, arguments.quick)
        try:
            program.run(place)
        except subprocess.TimeoutExpired:
            raise RuntimeError('it does not end') from None
        kept = out / f'{program.name}.trace'
        shutil.move(largest(list(place.path.glob('*.trace'))), kept)
    return Trace(kept)


def largest(paths):
    """Of all processes' the one that allocated most."""
    whole = []
    for path in paths:
        try:
            whole.append((Trace(path).events, path))
        except RuntimeError:
            continue
    if not whole:
        raise RuntimeError('it left no whole trace')
    return max(whole)[1]


def record_all(arguments, build, out):
    """[failures]; what is not installed is named and left out."""
    failures = []
    for program in chosen(trace_programs.PROGRAMS, arguments.only, lambda one: one.name):
        missing = program.missing()
        if missing:
            say(f'without {program.name}: {missing}')
            continue
        say(f'recording {program.name}')
        try:
            record(program, arguments, build, out)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failures.append(f'{program.name} cannot be recorded: {error}')
            say(failures[-1])
    return failures


def chosen(things, pattern, name_of):
    try:
        return [thing for thing in things if re.search(pattern, name_of(thing))]
    except re.error as error:
        raise SystemExit(f'traces: --only: {error}') from None


def command_for(trace, target, programs, quick):
    least = LEAST_OPS * (QUICK_SHARE if quick else 1)
    rounds = max(1, round(least / trace.events))
    command = [programs / f'replay-{target.build}', trace.name, target.name,
               str(trace.threads()), str(trace.events * rounds), f'trace={trace.path}',
               *target.options]
    return command + (['reps=2'] if quick else ['budget_ms=4000'])


def parse_line(out):
    """ns/op and KiB of a line that a program printed."""
    fields = out.split()
    if len(fields) < 10 or fields[8] != 'ns/op':
        raise RuntimeError(f'unexpected output: {out.strip()}')
    return {'min': float(fields[5]), 'median': float(fields[6]), 'rss_kib': int(fields[9])}


def replay_all(traces, targets, programs, arguments):
    """({(trace, target): [samples]}, [failures])"""
    samples, failures, failed = {}, [], set()
    for turn in range(arguments.runs):
        for trace in traces:
            show_progress(f'run {turn + 1}/{arguments.runs} {trace.name}', True)
            for target in targets:
                key = trace.name, target.name
                if key in failed:
                    continue
                try:
                    out, _ = target.run(command_for(trace, target, programs, arguments.quick))
                    samples.setdefault(key, []).append(parse_line(out))
                except RuntimeError as error:
                    failed.add(key)
                    failures.append(f'{trace.name} on {target.name}: {error}')
                    say(f'failed: {failures[-1]}')
    return samples, failures


def summarize(samples):
    """{(trace, target): (ns/op, KiB, best ns/op)}: medians over the runs, and the best of all."""
    return {key: (*(statistics.median(run[field] for run in runs)
                    for field in ('median', 'rss_kib')), min(run['min'] for run in runs))
            for key, runs in samples.items()}


def table(names, targets, figures, which, what):
    """Ratios to the baseline, one row a trace; the last is their geometric mean."""
    base = {name: figures[name, BASELINE][which] for name in names
            if (name, BASELINE) in figures}
    lines = [f'{what}, to {BASELINE}',
             f'{"":12}{BASELINE:>12}' + ''.join(f'{t:>11}' for t in targets)]
    ratios = {target: [] for target in targets}
    for name in base:
        row = f'{name:12}{base[name]:12.{0 if which == 1 else 1}f}'
        for target in targets:
            if (name, target) not in figures or base[name] <= 0:
                row += f'{"-":>11}'
                continue
            ratio = max(figures[name, target][which], 0.01) / base[name]
            ratios[target].append(ratio)
            row += f'{ratio:11.2f}'
        lines.append(row)
    means = ''.join(f'{geometric_mean(ratios[t]):11.2f}' if len(ratios[t]) == len(base) and base
                    else f'{"-":>11}' for t in targets)
    return '\n'.join([*lines, f'{"mean":12}{"":12}{means}'])


def report(traces, targets, figures, machine):
    names = [trace.name for trace in traces]
    columns = [target.name for target in targets if target.name != BASELINE]
    head = [f'{machine["cores"]} cores of {machine["cpu"]}, {machine["date"]}, commit '
            f'{machine["commit"]}, medians of {machine["runs"]} runs']
    head += [f'{trace.name:12}{trace.events:10} events of {trace.lanes} threads'
             + (f', {trace.lost} lost' if trace.lost else '') for trace in traces]
    return '\n'.join(['\n'.join(head),
                      table(names, columns, figures, 0, 'time, ns/event'),
                      table(names, columns, figures, 2, 'best time, ns/event'),
                      table(names, columns, figures, 1, 'peak RSS, KiB')]) + '\n'


def read_traces(out, pattern):
    traces = []
    for path in chosen(sorted(out.glob('*.trace')), pattern, lambda path: path.stem):
        try:
            traces.append(Trace(path))
        except RuntimeError as error:
            say(f'without {path.stem}: {error}')
    return traces


def self_test():
    """What the table says of figures that are known; which trace is kept."""
    figures = {('a', 'jemalloc'): (10.0, 1000, 9.0), ('a', 'x'): (5.0, 2000, 4.5),
               ('b', 'jemalloc'): (20.0, 4000, 9), ('b', 'x'): (40.0, 4000, 9),
               ('b', 'y'): (20.0, 1, 9)}
    lines = table(['a', 'b'], ['x', 'y'], figures, 0, 'time').splitlines()
    best = table(['a'], ['x'], figures, 2, 'best').splitlines()
    cases = [best[2].split() == ['a', '9.0', '0.50'],
             lines[2].split() == ['a', '10.0', '0.50', '-'],
             lines[3].split() == ['b', '20.0', '2.00', '1.00'],
             lines[4].split() == ['mean', '1.00', '-'],
             parse_line('n t 2 1-9 77 1.0 2.5 3.0 ns/op 55\n')
             == {'min': 1.0, 'median': 2.5, 'rss_kib': 55},
             summarize({('a', 'x'): [{'min': m, 'median': m, 'rss_kib': 2 * m} for m in (1, 9, 4)]})
             == {('a', 'x'): (4, 8, 1)}]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, events, size in (('few', 5, 64), ('cut', 90, 65), ('many', 50, 64)):
            (folder / f'{name}.trace').write_bytes(
                HEADER.pack(b'molehill trace\n\0', 1, 300, events, 0, size, 0, 0))
        (folder / 'none.trace').write_bytes(b'nothing')
        kept = largest(list(folder.glob('*.trace')))
        cases += [kept.stem == 'many', Trace(kept).threads() == LANES_MOST,
                  [trace.name for trace in read_traces(folder, 'm|c|n')] == ['many']]
        command = command_for(Trace(kept), Target('heap', 'h', 'heap', options=['o=1']),
                              folder, False)
        cases += [command[1:4] == ['many', 'heap', '256'], command[4] == '2000000',
                  'o=1' in command]
    for program in trace_programs.PROGRAMS:
        cases.append(program.missing() == '' or 'installed' in program.missing())
    print(f'{sum(cases)} passed, {len(cases) - sum(cases)} failed, 0 skipped')
    return 0 if all(cases) else 1


def parse_arguments():
    parser = bench_command.make_parser('traces', __doc__)
    parser.add_argument('--quick', action='store_true', help='small programs, few replays')
    parser.add_argument('--only', default='', help='programs that this expression matches')
    parser.add_argument('--no-record', action='store_true', help='replay the traces that are there')
    parser.add_argument('--no-replay', action='store_true', help='record only')
    bench_command.share(parser, 'targets')
    bench_command.add_runs(parser, 5, 1)
    bench_command.share(parser, 'peer', 'build')
    bench_command.share(parser, 'out', default='build/traces', help='where all goes (%(default)s)')
    bench_command.share(parser, 'self-test')
    return bench_command.parse(parser)


def main():
    arguments = parse_arguments()
    if arguments.self_test:
        return self_test()
    build, out = ROOT / arguments.build, ROOT / arguments.out
    out.mkdir(parents=True, exist_ok=True)
    failures = [] if arguments.no_record else record_all(arguments, build, out)
    traces = read_traces(out, arguments.only)
    if not traces:
        raise SystemExit('traces: there is none')
    if arguments.no_replay:
        return 1 if failures else 0
    targets = bench_command.find_targets(arguments, 'mh')
    samples, more = replay_all(traces, targets, build / 'perf', arguments)
    figures = summarize(samples)
    machine = bench_command.describe_machine(arguments)
    rows = [{'trace': trace, 'target': target, 'ns': ns, 'best_ns': best, 'rss_kib': kib}
            for (trace, target), (ns, kib, best) in figures.items()]
    return bench_command.finish(arguments, failures + more, {
        'report.txt': report(traces, targets, figures, machine),
        'results.json': json.dumps({'machine': machine, 'rows': rows}, indent=1)})


if __name__ == '__main__':
    bench_command.run_main(main, left='; what was recorded is there')
