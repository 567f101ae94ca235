"""The metric along a run, step by step: ``steps.png``."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.metrics import is_number, main_metric, number
from mmdet_lcp.report.figures import new_figure, save_figure, width_for, write_names
from mmdet_lcp.report.network_parts import MOST_NAMES, write_parts
from mmdet_lcp.report.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST_HEIGHT = 0.05  # of the metric: less would make steps out of noise


def draw_steps(report: Report, out_file: str | os.PathLike) -> bool:
    """Draw the main metric after each step into a PNG.

    Args:
        report: The run.
        out_file: The picture.

    Returns:
        Whether it was drawn: not where no step has a metric.
    """
    figure = steps_figure(report)
    if figure is None:
        return False
    save_figure(figure, out_file)
    return True


def steps_figure(report: Report, size: tuple[float, float] | None = None) -> Figure | None:
    """The main metric after each step; ``None`` where no step has one.

    Args:
        report: The run.
        size: Inches, (width, height): then many names become those of the network's parts. As
            wide as all names need unless told.
    """
    key = step_metric(report)
    if key is None:
        return None
    values = [number(step.metrics.get(key)) for step in report.steps]
    width, height = size or (width_for(len(values)), 5)
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    places = range(len(values))
    axes.plot(places, values, color='0.6', linewidth=1, zorder=1)
    looks = dict(
        dense=('black', 'black', 's'),
        selected=('white', 'tab:red', 'o'),
        finetuned=('tab:blue', 'tab:blue', 'o'),
        distilled=('tab:purple', 'tab:purple', 'o'),
        transformed=('white', 'tab:orange', 'o'),
        trained=('tab:blue', 'tab:blue', 'o'),
        final=('tab:green', 'tab:green', 'D'),
    )
    for kind, (face, edge, marker) in looks.items():
        here = [i for i, step in enumerate(report.steps) if step.step == kind]
        if here:
            axes.scatter(
                here,
                [values[i] for i in here],
                s=45,
                marker=marker,
                facecolor=face,
                edgecolor=edge,
                linewidth=1.5,
                label=report.before if kind == 'dense' else kind,
                zorder=2,
            )
    dense = next(
        (v for v, step in zip(values, report.steps, strict=True) if step.step == 'dense'), math.nan
    )
    if math.isfinite(dense):
        axes.axhline(dense, color='black', linestyle=':', linewidth=1, zorder=0)
    names = [step.group or report.label_of(step) for step in report.steps]
    if size is None or len(names) <= MOST_NAMES:
        write_names(axes, names)
    else:
        write_parts([axes], names)
    axes.set_xlabel('step, in order')
    axes.set_ylabel(key)
    axes.grid(axis='y', alpha=0.3)
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    if high - low < _LEAST_HEIGHT:
        middle = (low + high) / 2
        axes.set_ylim(middle - _LEAST_HEIGHT / 2, middle + _LEAST_HEIGHT / 2)
    axes.legend(loc='best', framealpha=0.9)
    if size is None:
        axes.set_title(f'{report.method}: {key} after each step')
    return figure


def step_metric(report: Report) -> str | None:
    """The main metric that the steps share; ``None`` where none was measured."""
    for metrics in (report.dense.metrics, *(step.metrics for step in report.steps)):
        try:
            key = main_metric(metrics)
        except CompressionError:
            continue
        if any(is_number(step.metrics.get(key)) for step in report.steps):
            return key
    return None
