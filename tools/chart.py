# SPDX-License-Identifier: MIT
"""Draws a bench_report.Report as one SVG: two heat tables, time and peak RSS, as ratios to the
baseline. Blue is better than the baseline, orange worse, white the same; full colour at 4 times.
The figure stands in each cell, so that the colour only guides the eye."""
import html
import math

ROW, COLUMN, LABEL, GAP, TOP, MARGIN = 19, 66, 170, 40, 112, 16
BETTER, WORSE = (33, 102, 172), (214, 96, 17)
FULL_COLOUR_AT = 4.0
MIN_WIDTH = 800  # the head line and the legend fit


def shade(ratio):
    """(fill, text colour) of a cell."""
    strength = min(abs(math.log(ratio)) / math.log(FULL_COLOUR_AT), 1.0)
    end = BETTER if ratio < 1 else WORSE
    fill = tuple(round(255 + (channel - 255) * strength) for channel in end)
    return 'rgb(%d,%d,%d)' % fill, '#fff' if strength > 0.65 else '#222'


def text(x, y, words, anchor='start', size=12, extra=''):
    return (f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" {extra}>'
            f'{html.escape(words)}</text>')


def cell(x, y, ratio, bold):
    if ratio is None:
        return [text(x + COLUMN / 2, y + 14, '·', 'middle', 11, 'fill="#aaa"')]
    fill, ink = shade(ratio)
    words = f'{ratio:.2f}' if ratio < 10 else f'{ratio:.0f}'
    weight = ' font-weight="bold"' if bold else ''
    return [f'<rect x="{x + 1}" y="{y + 1}" width="{COLUMN - 2}" height="{ROW - 2}" rx="2" '
            f'fill="{fill}"/>',
            text(x + COLUMN / 2, y + 14, words, 'middle', 11, f'fill="{ink}"{weight}')]


def panel(report, left, title, field, targets):
    """One heat table: the mean on top, then a row for each workload."""
    parts = [text(left, TOP - 30, title, size=13, extra='font-weight="bold"')]
    for i, target in enumerate(targets):
        parts.append(text(left + i * COLUMN + COLUMN / 2, TOP - 8, target, 'middle', 11))
    for i, target in enumerate(targets):
        parts += cell(left + i * COLUMN, TOP, report.mean(target, field), True)
        for j, workload in enumerate(report.workloads):
            parts += cell(left + i * COLUMN, TOP + (j + 1) * ROW + 6,
                          report.ratio(workload, target, field), False)
    return parts


def legend(x, y):
    parts = []
    for i, ratio in enumerate((0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)):
        parts += cell(x + i * COLUMN, y, ratio, False)
    return parts


def draw(report):
    targets = report.others()
    width = 2 * MARGIN + LABEL + 2 * len(targets) * COLUMN + GAP
    width = max(width, MIN_WIDTH)
    height = TOP + (len(report.workloads) + 1) * ROW + 6 + MARGIN + 40
    left = MARGIN + LABEL
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="sans-serif" fill="#222">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>',
             text(MARGIN, 28, f'molehill benchmarks: ratio to {report.baseline}, less is better',
                  size=17, extra='font-weight="bold"'),
             text(MARGIN, 48, report.headline(), size=11, extra='fill="#555"'),
             text(left - 8, TOP + 14, 'geometric mean', 'end', 12, 'font-weight="bold"')]
    for j, workload in enumerate(report.workloads):
        parts.append(text(left - 8, TOP + (j + 1) * ROW + 20, workload, 'end', 11))
    parts += panel(report, left, 'time, median', 'median', targets)
    parts += panel(report, left + len(targets) * COLUMN + GAP, 'peak RSS', 'rss_kib', targets)
    parts += legend(left, height - MARGIN - ROW)
    return '\n'.join(parts) + '\n</svg>\n'
