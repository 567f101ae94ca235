"""The network from its input to its outputs, and what is left of each layer: a silhouette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdet_lcp.report.figures import new_figure
from mmdet_lcp.report.network_parts import write_parts
from mmdet_lcp.report.report import Report
from mmdet_lcp.report.tables import format_count, format_ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEPT = '#2f86c9'
DENSE = '#8b95a1'
_HEIGHT = 1.35  # inches of a panel
_PANELS = (
    ('channels', 'channels'),
    ('macs', 'multiply-accumulates'),
    ('params', 'parameters'),
    ('ms', 'milliseconds'),
)


@dataclass(frozen=True)
class _Column:
    """A layer or group, and its costs as (before, after) by the key of a panel."""

    name: str
    costs: dict[str, tuple[float, float]]


def network_figure(report: Report, width: float) -> Figure | None:
    """Channels, operations, parameters and milliseconds of each layer, in order of execution.

    The outline is the detector before, the filled area what is left. Reports without layers show
    the channels of the groups that were pruned.

    Args:
        report: The run.
        width: Inches.

    Returns:
        The figure; ``None`` where neither layers nor groups are known.
    """
    columns = _columns(report)
    if not columns:
        return None
    panels = [(key, words) for key, words in _PANELS if any(key in c.costs for c in columns)]
    figure = new_figure(width, _HEIGHT * len(panels) + 0.9)
    every_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (key, words) in zip(every_axes, panels, strict=True):
        _panel(axes, key, [c.costs[key] for c in columns])
        axes.set_title(words, loc='left', fontsize=9)
    write_parts(every_axes, [c.name for c in columns])
    figure.subplots_adjust(hspace=0.32)
    return figure


def _columns(report: Report) -> list[_Column]:
    if report.layers:
        keys = [key for key, _ in _PANELS]
        return [_Column(f.name, {k: getattr(f, k) for k in keys}) for f in report.layers]
    return [_Column(g.name, {'channels': (g.total, g.kept)}) for g in report.groups]


def _panel(axes: Axes, key: str, costs: Sequence[tuple[float, float]]) -> None:
    """An outline and a filled area; channels lie on both sides of a middle line."""
    edges = [place - 0.5 for place in range(len(costs) + 1)]
    for index, look in ((1, dict(fill=True, color=KEPT)), (0, dict(color=DENSE, linewidth=1))):
        values = [cost[index] for cost in costs]
        if key == 'channels':
            values = [value / 2 for value in values]
            axes.stairs(values, edges, baseline=[-value for value in values], **look)
        else:
            axes.stairs(values, edges, **look)
    most = max(max(cost) for cost in costs) or 1
    if key == 'channels':
        axes.set_ylim(-0.54 * most, 0.54 * most)
        axes.set_yticks([-most / 2, most / 2], ['', f'{most:g}'])
    else:
        axes.set_ylim(0, 1.08 * most)
        shown = format_ms(most) if key == 'ms' else format_count(most)
        axes.set_yticks([0, most], ['0', shown])
    axes.set_xlim(-0.5, len(costs) - 0.5)
    axes.tick_params(axis='x', length=0)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
