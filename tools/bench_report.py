# SPDX-License-Identifier: MIT
"""What the benchmarks say: ratios, means, tables, and the figures wanted against those reached.

Used by bench.py, which measures, and chart.py, which draws. A figure that was not measured is
None here and `-` in a table."""
import json
import math

UNSTABLE = 1.5  # medians of the runs this far apart: marked, see perf/README.md
HEAVY_MIB = 16  # from here on a row's memory is the blocks, not the library


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def show(value, digits=2):
    return '-' if value is None else f'{value:.{digits}f}'


class Report:
    def __init__(self, results, baseline, demo_path):
        self.results, self.baseline, self.demo_path = results, baseline, demo_path
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
        rows = [['workload', f'{self.baseline} ns', *self.others()]]
        for workload in self.workloads:
            rows.append([workload, show(self.value(workload, self.baseline, 'median')),
                         *(self.time_cell(workload, target) for target in self.others())])
        rows.append(['geometric mean', '', *(
            f'{show(self.mean(target, "median"))}/{show(self.mean(target, "best"))}'
            for target in self.others())])
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
        for failure in self.results['failures']:
            parts += [f'FAILED {failure}', '']
        parts += ['Wanted and reached (medians)', layout(self.wanted_rows())]
        return '\n'.join(parts) + '\n'

    # --- wanted and reached -----------------------------------------------------------------

    def wanted(self):
        counts = next(iter(self.results['instructions'].values()), {})
        heap_to_floor = quotient(self.value('batch_1_256', 'heap', 'median'),
                                 self.value('batch_1_256', 'floor', 'median'))
        request = self.value('request_10', 'heap', 'median')
        ring = self.ratio('remote_ring', 'molehill', 'median')
        missing = 'not measured'
        return [
            figure('instructions a pair, malloc+free, 64 B', counts.get('molehill'), 45, 1,
                   missing),
            figure('instructions a pair, HeapAlloc+HeapFree, 64 B', counts.get('heap'), 75, 1,
                   missing),
            figure('local pair, HeapAlloc+HeapFree / floor', heap_to_floor, 1.30, 2, missing),
            figure('remote free ring, molehill / jemalloc', ring, 0.50, 2, missing),
            figure('geometric mean of time, molehill / jemalloc',
                   self.mean('molehill', 'median'), 0.85, 2, missing),
            figure('geometric mean of peak RSS, molehill / jemalloc',
                   self.mean('molehill', 'rss_kib'), 1.00, 2, missing),
            figure(f'  the same, of rows from {HEAVY_MIB} MiB',
                   self.mean('molehill', 'rss_kib', self.heavy()), 1.00, 2, missing),
            figure('heap per request, 10 allocations, µs', request and request / 1000, 1.5, 2,
                   missing),
            figure('redis requests/s, molehill / jemalloc', self.demo('requests_ratio'), 0.98, 3,
                   'run ./dev demo', at_most=False),
            figure('redis peak RSS, molehill / jemalloc', self.demo('peak_rss_ratio'), 1.05, 3,
                   'run ./dev demo'),
        ]

    def demo(self, key):
        """A redis figure that the demo left behind, if it ran."""
        try:
            return float(json.loads(self.demo_path.read_text())['redis'][key])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def quotient(left, right):
    return left / right if left and right else None


def figure(name, value, limit, digits, missing, at_most=True):
    """One row of the last table; the verdict is taken before rounding."""
    if value is None:
        shown, verdict = missing, '-'
    else:
        shown = show(value, digits)
        verdict = 'yes' if (value <= limit if at_most else value >= limit) else 'NO'
    return {'figure': name, 'limit': limit, 'at_most': at_most, 'value': value, 'shown': shown,
            'verdict': verdict}


def layout(rows):
    """Columns as wide as their widest cell; the first to the left, figures to the right."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append('  '.join(cells).rstrip())
        if number == 0:
            lines.append('  '.join('-' * width for width in widths))
    return '\n'.join(lines)
