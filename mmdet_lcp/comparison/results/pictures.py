"""Pictures of a comparison: the metric against what a detector costs, and group by group."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdet_lcp.comparison.results.comparison import (
    FINISHED,
    CellResult,
    Comparison,
    over_seeds,
    spread,
)
from mmdet_lcp.comparison.results.removal_amount import amount_title
from mmdet_lcp.comparison.results.tables import MAP_PNG, STEPS_PNG
from mmdet_lcp.report.figures import new_figure, save_figure, write_names
from mmdet_lcp.report.network_parts import MOST_NAMES, write_parts
from mmdet_lcp.report.tables import format_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ('blue', 'orange', 'green', 'red', 'purple', 'brown', 'pink', 'olive', 'cyan')
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', '*')
_STYLES = ('-', '--', '-.')
_WIDTH_OF_A_RATIO = 0.4  # of the gap between two ratios: over it their points stand side by side
_STEP = 0.05  # of that gap: two neighbours are no farther apart
_TICKS_APART = 0.1  # of the axis: nearer ticks would write over each other
_SAME = 0.02  # MACs that differ by less count as equal
_COLUMNS = 3
_NARROW = 7.0  # inches: in less, two panels find no room side by side
_HEIGHT = 4.2  # inches of a panel in a figure of given width
_LEGEND_COLUMN = 2.2  # inches
_LAYOUT = dict(layout='constrained')


def draw_comparison(comparison: Comparison, folder: str | os.PathLike) -> None:
    """Draw what there is to draw, as PNG files, each whole or not at all.

    Args:
        comparison: the cells; those that have not finished are left out.
        folder: where the pictures go.
    """
    for figure, name in (
        (cost_figure(comparison), MAP_PNG),
        (steps_figure(comparison), STEPS_PNG),
    ):
        if figure is not None:
            save_figure(figure, Path(folder) / name)


def looks(methods: Sequence[str], controls: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style of each method.

    A choice of channels, which is what stands before a `+`, has one colour and one marker with
    every update. Lines are solid with the first update behind a `+`, or where there is none, and
    dashed with the next.

    Args:
        methods: their names.
        controls: those of them that select nothing: they are grey.
    """
    families: dict[str, list[str]] = {}
    for method in methods:
        if method not in controls:
            families.setdefault(method.partition('+')[0], []).append(method)
    found = {}
    for number, family in enumerate(families.values()):
        for variant, method in enumerate(sorted(family, key=lambda name: '+' not in name)):
            found[method] = dict(
                color=f'tab:{_COLOURS[number % len(_COLOURS)]}',
                marker=_MARKERS[number % len(_MARKERS)],
                linestyle=_STYLES[variant % len(_STYLES)],
            )
    for number, method in enumerate(method for method in methods if method in controls):
        marker = _MARKERS[number % len(_MARKERS)]
        found[method] = dict(color='0.45', marker=marker, linestyle=':')
    return found


def cost_figure(comparison: Comparison, width: float | None = None) -> Figure | None:
    """The first metric against MACs: a line a method, mean and deviation over the seeds.

    Two panels, at the end and before the retraining; the latter only where it was measured.
    The axis of the MACs is logarithmic; points of one ratio, whose MACs are the same, stand
    side by side.

    Args:
        comparison: the cells.
        width: inches; a narrow figure has its panels one below the other. As wide as the panels
            need unless told.

    Returns:
        The figure; ``None`` if no cell with metrics has finished.
    """
    keys = comparison.metric_keys()
    if not keys:
        return None
    panels: list[tuple[str, Callable[[CellResult], Any]]] = [
        ('at the end', lambda cell: cell.final.get(keys[0])),
        ('before the retraining', lambda cell: cell.selected.get(keys[0])),
    ]
    panels = [p for p in panels if over_seeds(comparison.cells, p[1]).count]
    columns = 1 if width is not None and width < _NARROW else len(panels)
    rows = len(panels) // columns
    figure = new_figure(width or 6.2 * columns, 5 if width is None else _HEIGHT * rows, **_LAYOUT)
    dense = comparison.dense()
    place = _Places(comparison)
    styles = looks(comparison.methods, _controls(comparison))
    every_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, value) in zip(every_axes, panels, strict=True):
        for number, method in enumerate(comparison.methods):
            points = []
            for ratio in comparison.ratios:
                cells = [c for c in comparison.of(method, ratio) if c.same_as is None]
                here = over_seeds(cells, value)
                macs = over_seeds(cells, lambda c: c.macs).mean
                if here.mean is not None and macs is not None:
                    points.append((place(macs, number), here.mean, here.deviation or 0.0))
            if points:
                _line(axes, points, method, styles[method])
        if dense is not None and dense.dense.get(keys[0]) is not None:
            level = dense.dense[keys[0]]
            axes.axhline(level, color='black', linestyle=':', linewidth=1, zorder=0)
            if dense.dense_macs is not None:
                axes.plot(dense.dense_macs, level, 's', color='black', label='dense', zorder=3)
        axes.set_xscale('log')  # what pruning leaves differs by factors
        if len(place.costs) == 1:
            axes.set_xlim(0.8 * place.costs[0], 1.2 * place.costs[0])
        axes.set_title(title)
        axes.set_xlabel('multiply-accumulates of one image\n(side by side: the same number)')
        ticks = place.ticks()
        axes.set_xticks(ticks, [_short(cost) for cost in ticks])
        axes.set_xticks([], minor=True)
    every_axes[0].set_ylabel(keys[0])
    _finish(figure, every_axes, below=width is not None)
    return figure


def latency_figure(comparison: Comparison, width: float) -> Figure | None:
    """The first metric against the latency, at the end: means and deviations over the seeds.

    Args:
        comparison: the cells.
        width: inches.

    Returns:
        The figure; ``None`` if no cell with metrics and a latency has finished.
    """
    keys = comparison.metric_keys()
    timed = [cell for cell in comparison.cells if cell.latency_ms is not None]
    if not keys or not timed:
        return None
    figure = new_figure(width, _HEIGHT, **_LAYOUT)
    axes = figure.add_subplot()
    styles = looks(comparison.methods, _controls(comparison))
    for method in comparison.methods:
        points = []
        for ratio in comparison.ratios:
            cells = [c for c in comparison.of(method, ratio) if c.same_as is None and c in timed]
            times = over_seeds(cells, lambda c: c.latency_ms)
            here = over_seeds(cells, lambda c: c.final.get(keys[0]))
            if here.mean is not None and times.mean is not None:
                points.append((times.mean, here.mean, here.deviation or 0.0, times.deviation or 0))
        if points:
            _line(axes, [point[:3] for point in points], method, styles[method])
            x, y, _, apart = zip(*points, strict=True)
            if any(apart):
                color = styles[method]['color']
                axes.errorbar(
                    x, y, xerr=apart, fmt='none', ecolor=color, elinewidth=0.9, capsize=2
                )
    dense = comparison.dense()
    if dense is not None and dense.dense.get(keys[0]) is not None:
        level, ms = dense.dense[keys[0]], spread(c.dense_latency_ms for c in timed).mean
        axes.axhline(level, color='black', linestyle=':', linewidth=1, zorder=0)
        if ms is not None:
            axes.plot(ms, level, 's', color='black', label='dense', zorder=3)
    axes.set_xlabel('milliseconds of one image')
    axes.set_ylabel(keys[0])
    _finish(figure, [axes], below=True)
    return figure


def steps_figure(comparison: Comparison, width: float | None = None) -> Figure | None:
    """The first metric after each group: a panel a ratio, a line a method, means over seeds.

    Args:
        comparison: the cells.
        width: inches; then the panels stand one below the other, and many names become those of
            the network's parts. As wide as all names need unless told.

    Returns:
        The figure; ``None`` if it was not measured after the groups.
    """
    key = next(
        (
            key
            for key in comparison.metric_keys()
            if any(key in metrics for cell in comparison.cells for _, metrics in cell.steps)
        ),
        None,
    )
    ratios = [
        ratio
        for ratio in comparison.ratios
        if any(len(cell.steps) > 1 for cell in comparison.cells if cell.ratio == ratio)
    ]
    if key is None or not ratios:
        return None
    columns = 1 if width is not None else min(_COLUMNS, len(ratios))
    rows = -(-len(ratios) // columns)
    longest = max(len(cell.steps) for cell in comparison.cells)
    whole = width or columns * min(12.0, max(5.0, 1.5 + 0.32 * longest))
    figure = new_figure(whole, (5.2 if width is None else _HEIGHT) * rows, **_LAYOUT)
    styles = looks(comparison.methods, _controls(comparison))
    every_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in every_axes[len(ratios) :]:
        axes.remove()
    for axes, ratio in zip(every_axes, ratios, strict=False):
        names: list[str] = []
        for method in comparison.methods:
            cells = [c for c in comparison.of(method, ratio) if c.state == FINISHED and c.steps]
            if not cells:
                continue
            length = min(len(cell.steps) for cell in cells)
            own = [name for name, _ in cells[0].steps[:length]]
            names = max(names, own, key=len)
            means = [spread(c.steps[i][1].get(key) for c in cells).mean for i in range(length)]
            points = [(i, mean, 0.0) for i, mean in enumerate(means) if mean is not None]
            _line(axes, points, method, styles[method])
        if width is None or len(names) <= MOST_NAMES:
            write_names(axes, names)
        else:
            write_parts([axes], names)
        axes.set_title(amount_title(ratio))
        axes.set_xlabel('groups, in the order of pruning')
    every_axes[0].set_ylabel(f'{key} on the validation set')
    _finish(figure, every_axes[: len(ratios)], below=width is not None)
    return figure


class _Places:
    """Where a point stands: at its MACs, beside those of the other methods.

    Attributes:
        costs: the MACs at which there is something to see, rising; equal ones once.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.count = len(comparison.methods)
        done = [cell for cell in comparison.cells if cell.macs is not None]
        middles = {
            spread(c.macs for c in done if (c.method, c.ratio) == row).mean
            for row in {(cell.method, cell.ratio) for cell in done}
        }
        dense = comparison.dense()
        if dense is not None and dense.dense_macs is not None:
            middles.add(float(dense.dense_macs))
        self.costs: list[float] = []
        for middle in sorted(middles):
            if not self.costs or middle > self.costs[-1] * (1 + _SAME):
                self.costs.append(middle)
        gap = min((b / a for a, b in itertools.pairwise(self.costs)), default=2.0)
        self.step = math.log(gap) * min(_STEP, _WIDTH_OF_A_RATIO / max(1, self.count))

    def __call__(self, macs: float, number: int) -> float:
        return macs * math.exp((number - (self.count - 1) / 2) * self.step)

    def ticks(self) -> list[float]:
        """Costs that are far enough apart to be written below the axis."""
        found: list[float] = []
        if not self.costs:
            return found
        apart = math.log(self.costs[-1] / self.costs[0]) * _TICKS_APART
        for cost in reversed(self.costs):
            if not found or math.log(found[-1] / cost) > apart:
                found.append(cost)
        return found


def _short(count: float) -> str:
    """Three digits and a unit: ``83.2 M``."""
    number, *unit = format_count(count).split()
    return ' '.join([f'{float(number):.3g}', *unit])


def _line(
    axes: Axes, points: Sequence[tuple[float, float, float]], label: str, look_: dict[str, Any]
) -> None:
    x, y, deviation = zip(*sorted(points), strict=True)
    axes.errorbar(
        x,
        y,
        yerr=deviation if any(deviation) else None,
        label=label,
        markersize=5,
        linewidth=1.2,
        elinewidth=0.9,
        capsize=2,
        zorder=2,
        **look_,
    )


def _finish(figure: Figure, every_axes: Sequence[Axes], below: bool = False) -> None:
    """What all panels have in common: a grid, and one legend beside or below them."""
    entries: dict[str, Any] = {}
    for axes in every_axes:
        axes.grid(axis='y', alpha=0.3)
        axes.margins(y=0.08)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    where = dict(loc='outside right upper')
    if below:
        columns = max(1, int(figure.get_figwidth() / _LEGEND_COLUMN))
        where = dict(loc='outside lower center', ncols=columns, fontsize='small')
    figure.legend(list(entries.values()), list(entries), framealpha=0.9, **where)


def _controls(comparison: Comparison) -> list[str]:
    """Methods that only train, beside others that prune; students all do."""
    pruning = {cell.method for cell in comparison.cells if cell.update is not None}
    return [method for method in comparison.methods if pruning and method not in pruning]
