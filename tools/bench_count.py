# SPDX-License-Identifier: MIT
"""What bench.py measures besides time: instructions, by callgrind, and what stays after a load."""
import re
import shutil
import statistics

from bench_command import say

CALLGRIND = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null']

# What instructions are counted on: the program pair with these options.
PATTERNS = {
    '64 B, 64 out and back': ['min=64', 'max=64', 'batch=64'],
    '64 B, at once': ['min=64', 'max=64'],
    '1000 B, 64 out and back': ['min=1000', 'max=1000', 'batch=64'],
    '8000 B, at once': ['min=8000', 'max=8000'],
    '100000 B, at once': ['min=100000', 'max=100000'],
}
PAIR_OPS = (64 * 300, 64 * 1300)
ROW_SHARE = 0.01     # of a row's operations are counted, and three times as many,
LEAST_ROW_OPS = 200  # but at least so many
AFTER_MS = 500
LOAD_THREADS = (1, 2)
LOAD_RUNS = 3


def collected(said):
    """What callgrind counted in the whole process."""
    found = re.search(r'Collected\s*:\s*(\d+)', said)
    if not found:
        raise RuntimeError('callgrind printed no count')
    return int(found.group(1))


def count_instructions(target, command):
    return collected(target.run([*CALLGRIND, *command])[1])


def per_pair(target, programs, options):
    """Two lengths of the same run, so that filling caches cancels out. Only the workload's own
    function is counted: starting up and printing differ by some hundred from run to run."""
    counts = [count_instructions(target, ['--toggle-collect=run',
        programs / f'pair-{target.build}', 'pair', target.name, '1', str(ops), *options,
        *target.options, 'reps=1', 'warmup=0']) for ops in PAIR_OPS]
    return (counts[1] - counts[0]) / (PAIR_OPS[1] - PAIR_OPS[0])


def pair_table(empty, targets, programs, quick):
    """{pattern: {target: instructions per pair, the empty loop subtracted}}"""
    if not shutil.which('valgrind'):
        say('no valgrind: instructions are not counted')
        return {}
    table = {}
    for pattern, options in PATTERNS.items():
        if quick and table:
            break
        say(f'instructions per pair: {pattern}')
        row = table[pattern] = {}
        try:
            nothing = per_pair(empty, programs, options)
            for target in targets:
                if target.build != 'floor' or options[0] == 'min=64':
                    row[target.name] = per_pair(target, programs, options) - nothing
        except RuntimeError as error:
            say(f'instructions: {error}')
    return table


def count_row(workload, target, programs, ops):
    """(instructions, operations) of about `ops` of them: a program does whole rounds."""
    out, said = target.run([*CALLGRIND, programs / f'{workload.program}-{target.build}',
                            workload.name, target.name, str(workload.threads), str(ops),
                            *workload.options, *target.options, 'reps=1', 'warmup=0'])
    return collected(said), int(out.split()[4])


def per_op(workload, target, programs):
    """Instructions of one operation of a row, its loop included; of all threads together, which
    also wait, so that rows of several threads are rough."""
    least = max(int(workload.ops * ROW_SHARE), LEAST_ROW_OPS, workload.threads)
    few, few_ops = count_row(workload, target, programs, least)
    many, many_ops = count_row(workload, target, programs, 3 * few_ops)
    return (many - few) / (many_ops - few_ops)


def row_table(workloads, targets, programs):
    """{(workload, target): instructions per operation}; slow: minutes to an hour."""
    table = {}
    for workload in workloads:
        say(f'instructions per operation: {workload.name}')
        for target in targets:
            if target.letter not in workload.targets:
                continue
            try:
                table[workload.name, target.name] = per_op(workload, target, programs)
            except RuntimeError as error:
                say(f'instructions: {workload.name} on {target.name}: {error}')
    return table


def after_load(targets, programs):
    """{target: {threads: [KiB]}}: resident half a second after 400 MiB of small blocks were
    freed."""
    table = {}
    for target in targets:
        for threads in LOAD_THREADS:
            if target.letter not in ('m', 'h', 'n') or (target.letter == 'n' and threads > 1):
                continue
            command = [programs / f'after_load-{target.build}', 'after_load', target.name,
                       str(threads), '1000', 'min=16', 'max=256', 'reps=1', 'warmup=0',
                       f'after_ms={AFTER_MS}', *target.options]
            say(f'after a load: {target.name}, {threads} threads')
            try:
                runs = [int(target.run(command)[0].split()[-1]) for _ in range(LOAD_RUNS)]
            except (RuntimeError, ValueError, IndexError) as error:
                say(f'after a load: {target.name}: {error}')
                continue
            table.setdefault(target.name, {})[str(threads)] = {
                'runs': runs, 'median': statistics.median(runs), 'most': max(runs)}
    return table
