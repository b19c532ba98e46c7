#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev instructions: counts the instructions of each operation and compares them with a table.

perf/operations.c has the operations, perf/instructions.txt the table. callgrind counts; of
several repetitions the median is taken, of two lengths the difference, and the empty loop is
subtracted. Time stands still in the program, so that no count depends on the machine's load.

A count that differs from the table by more than its tolerance, to either side, is a failure: a
change that moves one moves the table in the same commit (--accept). The table is for one
compiler, one libc and the usual build; elsewhere nothing is compared, and a line says so.
"""
import json
import os
import pathlib
import re
import shutil
import statistics
import tempfile

import bench_command
from bench_command import ROOT

TABLE = ROOT / 'perf' / 'instructions.txt'
TIMEOUT_S = 250

# Build options that change the code, with the values that the table is for.
OPTIONS = {'buildtype': 'debugoptimized', 'b_sanitize': 'none', 'b_lto': False, 'c_args': [],
           'debug_checks': False, 'spies': True}

# (expression that an operation's name matches, instructions, percent): the first holds. A count
# may differ by the sum of both.
TOLERANCES = [
    (r'zeroed|calloc|realloc|ReAlloc', 0.4, 2.0),  # libc clears and copies
    (r'another thread', 1.0, 1.0),                 # the thread's start and end
    (r'', 0.4, 0.5),
]

HEADER = '''\
# Instructions of each operation, as `./dev instructions` counts them (tools/instructions.py): the
# calls and their arguments, without the loop around them, and all of a request. What is named by
# its allocation is a pair, an allocation and its free; "and back" is two resizes. The test
# `instructions` fails when a count leaves its tolerance, to either side. A commit that moves one
# has the new table: ./dev instructions --accept
#
'''


def run(*command, environment=None):
    """What it printed."""
    try:
        return bench_command.run(command, environment, TIMEOUT_S)[0]
    except RuntimeError as error:
        raise RuntimeError(f'{command[0]}: {error}') from None


# --- counting -----------------------------------------------------------------------------


def per_operation(parts, few, many, repeats):
    """From what was counted between marks: before, few and many of each repetition."""
    rows = [parts[at:at + 3] for at in range(0, 3 * repeats, 3)]
    return statistics.median((row[2] - row[1]) / (many - few) for row in rows)


def subtract_loops(rows):
    """{name: count} of the operations, from [(loop, name, count)] with the loops among them."""
    loops = {name: count for _, name, count in rows if name.startswith('loop ')}
    return {name: count - (0 if loop == '-' else loops['loop ' + loop])
            for loop, name, count in rows if name not in loops}


def read_parts(folder):
    """What was counted up to each mark, in order; callgrind dumps once more at the end."""
    parts = []
    while (folder / f'out.{len(parts) + 1}').exists():
        text = (folder / f'out.{len(parts) + 1}').read_text()
        if '--dump-before=' not in text:
            break
        parts.append(int(re.search(r'^summary: (\d+)', text, re.M).group(1)))
    return parts


def count(program):
    """(what it was built by, {operation: instructions})"""
    few, many, repeats = (int(word) for word in run(program, 'counts').split())
    # One thread, and libc's choice among its copies of memset as on any x86-64.
    environment = {'PATH': os.environ.get('PATH', ''), 'MOLEHILL_CONF': 'purger:calls',
                   'GLIBC_TUNABLES': 'glibc.cpu.hwcaps='
                                    '-AVX512F,-AVX2,-AVX,-SSSE3,-ERMS,-FSRM'}
    with tempfile.TemporaryDirectory() as folder:
        lines = run('valgrind', '--tool=callgrind', '--dump-before=perf_mark',
                    f'--callgrind-out-file={folder}/out', program,
                    environment=environment).splitlines()
        parts = read_parts(pathlib.Path(folder))
    names = [line.split(': ', 1) for line in lines[1:]]
    if len(parts) != 3 * repeats * len(names):
        raise RuntimeError(f'{len(names)} operations, but callgrind dumped {len(parts)} times')
    rows = [(loop, name, per_operation(parts[3 * repeats * at:], few, many, repeats))
            for at, (loop, name) in enumerate(names)]
    return lines[0], subtract_loops(rows)


# --- the table ----------------------------------------------------------------------------


def tolerance(name, instructions):
    for pattern, absolute, percent in TOLERANCES:
        if re.search(pattern, name):
            return absolute + abs(instructions) * percent / 100
    raise AssertionError(name)


def write_table(built, counts):
    lines = [HEADER + f'built {built}', '', '# instructions  tolerance  operation']
    lines += [f'{value:14.1f} {tolerance(name, value):10.1f}  {name}'
              for name, value in counts.items()]
    return '\n'.join(lines) + '\n'


def read_table(text):
    """(what it is for, {operation: (instructions, tolerance)})"""
    built, rows = '', {}
    for line in text.splitlines():
        if line.startswith('built '):
            built = line[len('built '):]
        elif line.strip() and not line.startswith('#'):
            value, allowed, name = line.split(None, 2)
            rows[name] = (float(value), float(allowed))
    return built, rows


def compare(table, counts):
    """What is not as the table says, a line each."""
    wrong = []
    for name, value in counts.items():
        if name not in table:
            wrong.append(f'{name}: {value:.1f} instructions, not in the table')
            continue
        recorded, allowed = table[name]
        if abs(value - recorded) > allowed + 0.051:  # the table has one decimal
            how = 'more' if value > recorded else 'fewer'
            wrong.append(f'{name}: {value:.1f} instructions, {abs(value - recorded):.1f} {how} '
                         f'than the {recorded:.1f} recorded (tolerance {allowed:.1f})')
    return wrong + [f'{name}: in the table, but not counted' for name in table
                    if name not in counts]


def show(table, counts):
    for name, value in counts.items():
        recorded = table.get(name, (None,))[0]
        was = '' if recorded is None else f'{recorded:10.1f} {value - recorded:+9.1f}'
        print(f'{value:10.1f} {was:20}  {name}')


# --- the command --------------------------------------------------------------------------


def unusual_options(build):
    path = build / 'meson-info' / 'intro-buildoptions.json'
    values = {option['name']: option['value'] for option in json.loads(path.read_text())}
    return [f'{name} is {values.get(name)}' for name, usual in OPTIONS.items()
            if values.get(name) != usual]


def skip(why):
    print(f'SKIPPED: instruction counts were NOT compared: {why}')
    print('0 passed, 0 failed, 1 skipped')
    return 0


def judge(built, counts, arguments):
    """The exit status, after saying what there is to say."""
    was_built, table = read_table(TABLE.read_text()) if TABLE.exists() else ('', {})
    show(table, counts)
    if arguments.accept:
        TABLE.write_text(write_table(built, counts))
        print(f'wrote {TABLE.relative_to(ROOT)}')
        return 0
    if built != was_built:
        return skip(f'the table is for [{was_built}], this is [{built}]')
    wrong = compare(table, counts)
    for line in wrong:
        print(f'FAILED: {line}')
    if wrong:
        print('Fewer are welcome, more need a reason. Either way the table moves in the same '
              'commit:\n    ./dev instructions --accept\n'
              'and the commit message says what moved, and why.')
    print(f'{len(counts) - len(wrong)} passed, {len(wrong)} failed, 0 skipped')
    return 1 if wrong else 0


def self_test():
    # Each way to be wrong is seen, and nothing else.
    table = {'a': (40.0, 0.6), 'b': (6000.0, 30.4), 'c': (7.0, 0.4)}
    assert compare(table, {'a': 40.6, 'b': 5970.0, 'c': 6.7}) == []
    for counts, words in (({'a': 41.0}, '1.0 more'), ({'a': 39.0}, '1.0 fewer'),
                          ({'b': 6031.0}, '31.0 more'), ({'b': 5900.0}, '100.0 fewer')):
        found = compare(table, {'a': 40.0, 'b': 6000.0, 'c': 7.0, **counts})
        assert len(found) == 1 and words in found[0], (counts, found)
    found = compare(table, {'a': 40.0, 'b': 6000.0, 'd': 1.0})
    assert [line.split(':')[0] for line in found] == ['d', 'c'], found
    # One more instruction of a fast path is out of tolerance: of any below 100.
    assert tolerance('malloc 64 B, at once', 99) + 0.051 < 1
    # What is written is what is read.
    counts = {'malloc 64 B, at once': 47.04, 'request, heap of 10 blocks': 6123.4}
    built, read = read_table(write_table('compiler: 12, libc: 2', counts))
    assert built == 'compiler: 12, libc: 2' and list(read) == list(counts), read
    assert compare(read, counts) == []
    # Counting: what comes before is no part of it, a stray repetition neither.
    parts = [999, 110, 510, 5, 110, 510, 5, 9110, 510]
    assert per_operation(parts + [1, 2, 3], 10, 50, 3) == 10.0
    rows = [('-', 'loop x', 2.0), ('x', 'y', 9.0), ('-', 'z', 5.0)]
    assert subtract_loops(rows) == {'y': 7.0, 'z': 5.0}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, 13):
            why = '--dump-before=perf_mark' if number < 12 else 'Program termination'
            text = f'desc: Trigger: {why}\nsummary: {number}00\n'
            pathlib.Path(folder, f'out.{number}').write_text(text)
        assert read_parts(pathlib.Path(folder)) == [100 * n for n in range(1, 12)]
    print('instructions: self-test passed')


def main():
    parser = bench_command.make_parser('instructions', __doc__)
    bench_command.share(parser, 'build', type=pathlib.Path, default=pathlib.Path(
        os.environ.get('MOLEHILL_BUILD', ROOT / 'build' / 'gcc')))
    parser.add_argument('--accept', action='store_true', help='write the table')
    bench_command.share(parser, 'self-test')
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if not shutil.which('valgrind'):
        return skip('valgrind is not installed')
    unusual = unusual_options(arguments.build)
    if unusual:
        return skip('the table is for another build: ' + ', '.join(unusual))
    try:
        built, counts = count(arguments.build / 'perf' / 'operations')
    except RuntimeError as error:
        print(f'FAILED: {error}\n0 passed, 1 failed, 0 skipped')
        return 1
    return judge(built, counts, arguments)


if __name__ == '__main__':
    bench_command.run_main(main, 'instructions')
