"""How much a detector loses when one group of channels is pruned: the figures, as data.

Sensitivity analysis of Pruning Filters for Efficient ConvNets (Li et al., ICLR 2017, section 3.2):
each layer alone, at several ratios, without retraining.
"""

import csv
import dataclasses
import io
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json, write_json, write_text
from mmdet_lcp.measure.metrics import is_number, main_metric
from mmdet_lcp.report.tables import format_difference, format_metric, metric_name, text_table
from mmdet_lcp.report.typed import check_types

SENSITIVITY_JSON = 'sensitivity.json'
SENSITIVITY_CSV = 'sensitivity.csv'
SENSITIVITY_PNG = 'sensitivity.png'
RATIOS_JSON = 'ratios.json'
LOSS = 'loss'
SHOWN = 3


@dataclass
class SensitivityCell:
    """One group at one ratio.

    Attributes:
        group: its name.
        ratio: part of its channels that was asked to go, in (0, 1).
        kept: channels that stay.
        values: what was measured: ``'loss'``, and metrics by the evaluator's keys.
        seconds: that it took.
    """

    group: str
    ratio: float
    kept: int
    values: dict[str, float]
    seconds: float


@dataclass
class Sensitivity:
    """All cells of a detector so far.

    Attributes:
        groups: channels of each group, by name, in order of execution.
        fingerprint: what the figures depend on; see `mmdet_lcp.config.fingerprint`.
        dense: the same measurements of the dense detector.
        cells: in the order in which they were measured.
    """

    groups: dict[str, int]
    fingerprint: dict[str, Any] = field(default_factory=dict)
    dense: dict[str, float] = field(default_factory=dict)
    cells: list[SensitivityCell] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """All ratios, rising."""
        return sorted({cell.ratio for cell in self.cells})

    def cell(self, group: str, ratio: float) -> SensitivityCell | None:
        """The cell of a group at a ratio, if it has been measured."""
        found = (c for c in self.cells if c.group == group and c.ratio == ratio)
        return next(found, None)

    def measures(self) -> list[str]:
        """What to judge by, in this order: the loss, and the main metric."""
        found = [LOSS] if is_number(self.dense.get(LOSS)) else []
        metrics = {k: v for k, v in self.dense.items() if k != LOSS and is_number(v)}
        if metrics:
            found.append(main_metric(metrics))
        return found

    def damage(self, cell: SensitivityCell, measure: str) -> float:
        """How much worse a cell is than the dense detector; below 0 if it is better.

        The growth of the loss, or the drop of a metric; infinite where it is no number.
        """
        value = cell.values.get(measure)
        if not is_number(value) or not math.isfinite(value):
            return math.inf
        change = value - self.dense[measure]
        return change if measure == LOSS else -change

    def ranking(self, measure: str) -> list[tuple[str, float]]:
        """Groups with their mean damage over the ratios, the most sensitive one first.

        Only groups with a cell; the order of execution decides between equal ones.
        """
        means = []
        for name in self.groups:
            own = [self.damage(cell, measure) for cell in self.cells if cell.group == name]
            if own:
                means.append((name, statistics.fmean(own)))
        return sorted(means, key=lambda pair: -pair[1])

    def write(self, folder: Path) -> None:
        """Write ``sensitivity.json`` and ``sensitivity.csv``, each whole or not at all."""
        write_text(folder / SENSITIVITY_CSV, self.to_csv())
        write_json(folder / SENSITIVITY_JSON, dataclasses.asdict(self))

    def to_csv(self) -> str:
        """One row a cell, in the order of the groups and ratios; changes are against dense."""
        keys = list(self.dense)
        columns = ['group', 'channels', 'ratio', 'kept']
        columns += [name for key in keys for name in (key, f'{key} change')]
        order = {name: number for number, name in enumerate(self.groups)}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        writer.writerow([*columns, 'seconds'])
        for cell in sorted(self.cells, key=lambda c: (order[c.group], c.ratio)):
            row: list[Any] = [cell.group, self.groups[cell.group], cell.ratio, cell.kept]
            for key in keys:
                value = cell.values.get(key)
                known = is_number(value) and is_number(self.dense[key])
                row += [value, value - self.dense[key] if known else None]
            writer.writerow([*row, round(cell.seconds, 3)])
        return text.getvalue()

    def summary(self) -> str:
        """A table of all groups, and the names of the most and the least sensitive ones."""
        parts = []
        measures = self.measures()
        header = ['group', 'channels']
        header += [f'{metric_name(m)} at {ratio:g}' for m in measures for ratio in self.ratios]
        rows = []
        for name, channels in self.groups.items():
            row: list[Any] = [name, channels]
            for measure in measures:
                for ratio in self.ratios:
                    cell = self.cell(name, ratio)
                    value = None if cell is None else cell.values.get(measure)
                    row.append(format_difference(self.dense[measure], value))
            rows.append(row)
        dense = ', '.join(f'{metric_name(m)} {format_metric(self.dense[m])}' for m in measures)
        parts.append(text_table(header, rows, title=f'change; dense: {dense}'))
        for measure in measures:
            ranking = self.ranking(measure)
            for word, chosen in (
                ('most', ranking[:SHOWN]),
                ('least', ranking[::-1][: max(0, min(SHOWN, len(ranking) - SHOWN))]),
            ):
                if chosen:
                    names = ', '.join(f'{name} ({value:+.3g})' for name, value in chosen)
                    parts.append(
                        f'{word.capitalize()} sensitive by {metric_name(measure)}: {names}'
                    )
        return '\n'.join(parts)


def read_sensitivity(folder: Path) -> Sensitivity | None:
    """Read what a folder holds so far, or ``None``.

    Raises:
        CompressionError: the file is damaged.
    """
    path = folder / SENSITIVITY_JSON
    if not path.exists():
        return None
    try:
        data = read_json(path)
        data['cells'] = [SensitivityCell(**cell) for cell in data['cells']]
        found = Sensitivity(**data)
        check_types(found)
        if found.dense and not found.measures():
            raise ValueError('no figure of the dense detector is a number')
        return found
    except (ValueError, TypeError, KeyError) as error:
        raise CompressionError(f'{path} is damaged: {error}. Delete it.') from error
