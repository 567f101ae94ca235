#!/usr/bin/env python
"""Write the tables of docs/targets.md from the steps that the package has.

python tools/dev/step_tables.py            # writes what is out of date
"""

import re
from pathlib import Path

from mmdet_lcp.cli.measure_steps import WORDS
from mmdet_lcp.measure.step_table import AXES, KINDS, StepTable, shipped_tables
from mmdet_lcp.report.tables import markdown_table

PAGE = Path(__file__).parents[2] / 'docs' / 'targets.md'
BOTH = ('depthwise', 'grouped')


def rows_of(cell) -> list[list[str]]:
    """A row for each kind of layer and axis; ``cell(table, kind, axis)`` says what is in it."""
    rows = []
    for kind in KINDS:
        for axis in AXES[: 1 if kind in BOTH else 2]:
            which = 'both' if kind in BOTH else axis.split('_')[0]
            cells = [cell(table, kind, axis) for table in shipped_tables()]
            rows.append([f'{WORDS[kind]}, {which}', *cells])
    return rows


def step(table: StepTable, kind: str, axis: str) -> str:
    """Both steps."""
    return ' / '.join(map(str, table.steps(kind, axis)))


def odd(table: StepTable, kind: str, axis: str) -> str:
    """The dearest odd number."""
    curves = table.of(kind, axis)
    return f'{max(ms for c in curves for n, ms in c.dearer().items() if n % 2):.2f}'


def filled(text: str) -> str:
    """The page with its tables."""
    heads = ['channels of', *(f'{t.runtime} {t.engine_version}' for t in shipped_tables())]
    for name, cell in (('steps', step), ('odd', odd)):
        table = markdown_table(heads, rows_of(cell))
        text = re.sub(
            rf'(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)',
            lambda found, table=table: f'{found[1]}{table}\n{found[2]}',
            text,
            flags=re.S,
        )
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding='utf-8')), encoding='utf-8')


if __name__ == '__main__':
    main()
