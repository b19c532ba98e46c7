# SPDX-License-Identifier: MIT
"""What the benchmarks say: ratios, means, tables, and the figures wanted against those reached.

Used by bench.py, which measures, and chart.py, which draws; by itself it tests itself. A figure
that was not measured is None here and `-` in a table."""
import json
import math
import pathlib

UNSTABLE = 1.5  # medians of the runs this far apart: marked, see perf/README.md
# Of Debian's packages: each row's best of these is what molehill is compared with.
PEERS = ('glibc', 'jemalloc', 'mimalloc', 'tcmalloc', 'tbbmalloc')
HEAVY_MIB = 16  # from here on a row's memory is the blocks, not the library


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def show(value, digits=2):
    return '-' if value is None else f'{value:.{digits}f}'


class Report:
    def __init__(self, results, baseline, build):
        self.results, self.baseline, self.build = results, baseline, build
        self.cells = {(row['workload'], row['target']): row for row in results['rows']}
        self.workloads = list(dict.fromkeys(row['workload'] for row in results['rows']))
        self.targets = list(dict.fromkeys(row['target'] for row in results['rows']))

    def value(self, workload, target, field):
        return self.cells.get((workload, target), {}).get(field)

    def ratio(self, workload, target, field):
        """To the baseline, on the same workload."""
        value = self.value(workload, target, field)
        base = self.value(workload, self.baseline, field)
        return value / base if value and base else None

    def mean(self, target, field, workloads=None):
        """Geometric mean of the ratios over the workloads this target runs."""
        ratios = (self.ratio(workload, target, field)
                  for workload in (self.workloads if workloads is None else workloads))
        return geometric_mean(ratio for ratio in ratios if ratio)

    def heavy(self):
        """The workloads whose peak RSS says more than how large the library itself is."""
        return [workload for workload in self.workloads
                if (self.value(workload, self.baseline, 'rss_kib') or 0) >= HEAVY_MIB * 1024]

    def best_peer(self, workload):
        """(ratio of molehill's time to it, its name), or None."""
        mine = self.value(workload, 'molehill', 'median')
        times = [(self.value(workload, peer, 'median'), peer) for peer in PEERS]
        times = [(time, peer) for time, peer in times if time]
        return (mine / min(times)[0], min(times)[1]) if mine and times else None

    def is_unstable(self, workload, target):
        spreads = (self.value(workload, t, 'spread') for t in (target, self.baseline))
        return any(spread and spread > UNSTABLE for spread in spreads)

    def others(self):
        return [target for target in self.targets if target != self.baseline]

    def headline(self):
        m = self.results['machine']
        return (f'{m["cpu"]}, {m["cores"]} cores, Linux {m["kernel"]}, {m["libc"]}; '
                f'{m["date"]}; commit {m["commit"]}; {m["runs"]} run{"s" * (m["runs"] > 1)}'
                + (', quick' if m['quick'] else ''))

    # --- tables -----------------------------------------------------------------------------

    def time_cell(self, workload, target):
        median = self.ratio(workload, target, 'median')
        if median is None:
            return show(self.value(workload, target, 'median'))
        mark = '~' if self.is_unstable(workload, target) else ''
        return f'{median:.2f}/{self.ratio(workload, target, "best"):.2f}{mark}'

    def time_table(self):
        rows = [['workload', f'{self.baseline} ns', *self.others(), 'molehill/best peer']]
        for workload in self.workloads:
            rows.append([workload, show(self.value(workload, self.baseline, 'median')),
                         *(self.time_cell(workload, target) for target in self.others()),
                         '{:.2f} {}'.format(*best) if (best := self.best_peer(workload))
                         else '-'])
        rows.append(['geometric mean', '', *(
            f'{show(self.mean(target, "median"))}/{show(self.mean(target, "best"))}'
            for target in self.others()), ''])
        return rows

    def memory_table(self):
        rows = [['workload', f'{self.baseline} MiB', *self.others()]]
        for workload in self.workloads:
            base = self.value(workload, self.baseline, 'rss_kib')
            rows.append([workload, show(base and base / 1024, 1),
                         *(show(self.ratio(workload, target, 'rss_kib'))
                           for target in self.others())])
        for title, chosen in (('geometric mean', self.workloads),
                              (f'of rows from {HEAVY_MIB} MiB', self.heavy())):
            rows.append([title, '', *(show(self.mean(target, 'rss_kib', chosen))
                                      for target in self.others())])
        return rows

    def after_table(self):
        """MiB resident half a second after all was freed; of rows that had memory to give."""
        def mib(kib):
            return show(kib and kib / 1024, 1)
        rows = [['MiB', *self.targets]]
        for workload in self.heavy():
            rows.append([workload, *(mib(self.value(workload, target, 'after_kib'))
                                     for target in self.targets)])
        loads = self.results['after_load']
        for threads in sorted({threads for load in loads.values() for threads in load}, key=int):
            rows.append([f'400 MiB small, {threads} thread{"s" * (threads != "1")}', *(
                mib(loads.get(target, {}).get(threads, {}).get('median'))
                for target in self.targets)])
        return rows

    def rows_text(self):
        """Each workload on each target, in full."""
        rows = [['workload', 'target', 'median ns', 'best ns', 'spread', 'instructions',
                 'faults/1000', 'peak KiB', 'after KiB']]
        for row in self.results['rows']:
            rough = '~' if row['threads'] > 1 and row.get('instructions') else ''
            rows.append([row['workload'], row['target'], show(row['median']), show(row['best']),
                         show(row['spread']), show(row.get('instructions'), 1) + rough,
                         show(row['faults'], 3), show(row['rss_kib'], 0),
                         show(row['after_kib'], 0)])
        return (f'{self.headline()}\n\nspread: slowest run / fastest; instructions of one '
                'operation and its loop (~ of several threads,\nwaiting included); page faults '
                'in 1 000 operations; after: resident half a second after all was freed.\n\n'
                + layout(rows, left=2) + '\n')

    def instruction_rows(self):
        rows = [['instructions a pair', *self.targets]]
        for pattern, counts in self.results['instructions'].items():
            rows.append([pattern, *(show(counts.get(target), 1) for target in self.targets)])
        return rows

    def wanted_rows(self):
        rows = [['figure', 'wanted', 'reached', '']]
        for figure in self.results['wanted']:
            rows.append([figure['figure'], f'<= {figure["limit"]}' if figure['at_most']
                         else f'>= {figure["limit"]}', figure['shown'], figure['verdict']])
        return rows

    def text(self):
        parts = [self.headline(), '']
        if self.baseline not in self.targets:
            parts += [f'{self.baseline} did not run: there are no ratios; time is in ns.', '']
        parts += [f'Time as a ratio to {self.baseline}, median of the runs / best of all; '
                  f'~ runs differ by more than {UNSTABLE} times.', layout(self.time_table()), '',
                  f'Peak RSS as a ratio to {self.baseline}.', layout(self.memory_table()), '']
        if self.results['instructions']:
            parts += [layout(self.instruction_rows()), '']
        if self.results['after_load']:
            parts += ['Resident half a second after everything was freed.',
                      layout(self.after_table()), '']
        for failure in self.results['failures']:
            parts += [f'FAILED {failure}', '']
        parts += ['Wanted and reached (medians)', layout(self.wanted_rows())]
        return '\n'.join(parts) + '\n'

    # --- wanted and reached -----------------------------------------------------------------

    def counted(self, target, size):
        """The larger of the instruction counts of a size's pairs; None if none was taken."""
        counts = [row.get(target) for pattern, row in self.results['instructions'].items()
                  if pattern.startswith(size + ',')]
        return max((count for count in counts if count), default=None)

    def wanted_instructions(self):
        return [figure(f'instructions a pair, {name}, {size}', self.counted(target, size),
                       limit * factor, 1)
                for size, factor in (('64 B', 1), ('8000 B', 2), ('100000 B', 2))
                for name, target, limit in (('malloc+free', 'molehill', 34),
                                            ('HeapAlloc+HeapFree', 'heap', 62))]

    def wanted_memory(self):
        load = self.results['after_load'].get('molehill', {})
        most = max((threads['median'] for threads in load.values()), default=None)
        return [
            figure('geometric mean of peak RSS, molehill / jemalloc',
                   self.mean('molehill', 'rss_kib'), 0.80, 2),
            figure(f'  the same, of rows from {HEAVY_MIB} MiB',
                   self.mean('molehill', 'rss_kib', self.heavy()), 0.80, 2),
            figure('MiB half a second after 400 MiB of small blocks', most and most / 1024, 10, 1),
            figure('redis with maxmemory, final RSS, molehill / jemalloc',
                   self.left_behind('fragmentation', 'redis', 'final_rss_ratio'), 0.70, 2,
                   'run ./dev fragmentation'),
            figure('10 000 heaps x 64 threads, RSS / limit', None, 1, 2, 'run ./dev many --wanted'),
        ]

    def wanted_times(self):
        worst = max(filter(None, map(self.best_peer, self.workloads)), default=(None,))[0]
        request = [self.value('request_10', target, 'median') for target in ('heap-nos', 'heap')]
        asymmetric = [self.ratio(f'asymmetric_{lanes}', 'molehill', 'median') for lanes in (2, 8)]
        return [
            figure('geometric mean of time, molehill / jemalloc',
                   self.mean('molehill', 'median'), 0.65, 2),
            figure('slowest row against its best peer', worst, 1.10, 2),
            figure('local pair, HeapAlloc+HeapFree / floor',
                   quotient(self.value('batch_1_256', 'heap', 'median'),
                            self.value('batch_1_256', 'floor', 'median')), 1.15, 2),
            figure('heap per request, no-serialize, µs', request[0] and request[0] / 1000, 0.25, 2),
            figure('heap per request, serialized, µs', request[1] and request[1] / 1000, 0.5, 2),
            figure('remote free ring, molehill / jemalloc',
                   self.ratio('remote_ring', 'molehill', 'median'), 0.30, 2),
            figure('asymmetric, molehill / jemalloc, of 2 and 8 threads the worse',
                   max(filter(None, asymmetric), default=None), 0.22, 2),
            figure('redis requests/s, molehill / jemalloc',
                   self.left_behind('demo', 'redis', 'requests_ratio'), 1.02, 3,
                   'run ./dev demo', at_most=False),
        ]

    def wanted(self):
        return self.wanted_times() + self.wanted_memory() + self.wanted_instructions()

    def left_behind(self, command, *keys):
        """A figure that another command left in its results, if it ran."""
        try:
            value = json.loads((self.build / command / 'results.json').read_text())
            for key in keys:
                value = value[key]
            return float(value)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def quotient(left, right):
    return left / right if left and right else None


def figure(name, value, limit, digits, missing='not measured', at_most=True):
    """One row of the last table; the verdict is taken before rounding."""
    if value is None:
        shown, verdict = missing, '-'
    else:
        shown = show(value, digits)
        verdict = 'yes' if (value <= limit if at_most else value >= limit) else 'NO'
    return {'figure': name, 'limit': limit, 'at_most': at_most, 'value': value, 'shown': shown,
            'verdict': verdict}


def layout(rows, left=1):
    """Columns as wide as their widest cell; `left` of them to the left, figures to the right."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [str(cell).ljust(width) if i < left else str(cell).rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append('  '.join(cells).rstrip())
        if number == 0:
            lines.append('  '.join('-' * width for width in widths))
    return '\n'.join(lines)


def self_test():
    def row(workload, target, median, after=None):
        return {'workload': workload, 'target': target, 'median': median, 'best': median,
                'spread': 1.0, 'rss_kib': 32 * 1024, 'faults': 0.5, 'after_kib': after,
                'threads': 2, 'instructions': 70.0}
    report = Report({
        'machine': {'cpu': 'c', 'cores': 2, 'kernel': 'k', 'libc': 'l', 'date': 'd',
                    'commit': 'h', 'runs': 1, 'quick': False},
        'rows': [row('a', 'jemalloc', 10.0, 4096), row('a', 'tcmalloc', 8.0),
                 row('a', 'molehill', 4.0), row('a', 'other', 1.0),
                 row('b', 'jemalloc', 10.0), row('b', 'molehill', 12.0, 2048)],
        'failures': ['x'], 'instructions': {'64 B, at once': {'molehill': 33.0, 'heap': 63.0},
                                            '64 B, out': {'molehill': 34.0}},
        'after_load': {'molehill': {'1': {'median': 9 * 1024}, '2': {'median': 11 * 1024}}}},
        'jemalloc', pathlib.Path('/nowhere'))
    # A peer that is not Debian's is no measure; each row has its own best.
    assert report.best_peer('a') == (0.5, 'tcmalloc')
    assert report.best_peer('b') == (1.2, 'jemalloc')
    report.results['wanted'] = report.wanted()
    verdicts = {figure['figure']: (figure['value'], figure['verdict'])
                for figure in report.results['wanted']}
    for name, expected in {
            'slowest row against its best peer': (1.2, 'NO'),
            'instructions a pair, malloc+free, 64 B': (34.0, 'yes'),
            'instructions a pair, HeapAlloc+HeapFree, 64 B': (63.0, 'NO'),
            'instructions a pair, malloc+free, 8000 B': (None, '-'),
            'MiB half a second after 400 MiB of small blocks': (11.0, 'NO'),
            'redis requests/s, molehill / jemalloc': (None, '-')}.items():
        assert verdicts[name] == expected, (name, verdicts[name])
    text, rows = report.text(), report.rows_text()
    assert '0.50 tcmalloc' in text and 'FAILED x' in text and '11.0' in text, text
    assert '70.0~' in rows and '4096' in rows and rows.count('\n') == 13, rows
    print('bench_report: self-test passed')


if __name__ == '__main__':
    self_test()
