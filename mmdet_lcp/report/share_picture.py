"""The gradient-share figure: which loss term decided on each group's channels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mmdet_lcp.report.figures import new_figure, save_figure, width_for, write_names
from mmdet_lcp.report.network_parts import MOST_NAMES, write_parts
from mmdet_lcp.report.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {
    'reconstruction': 'tab:gray',
    'classification': 'tab:orange',
    'regression': 'tab:blue',
}


def draw_shares(report: Report, out_file: str | os.PathLike) -> bool:
    """Draw each term's share of S_k, group by group, as stacked bars into a PNG.

    As the figure of gradient shares in LCP (Xie et al., arXiv 1911.02237).

    Args:
        report: The run.
        out_file: The picture.

    Returns:
        Whether it was drawn: not where no criterion measured shares.
    """
    figure = share_figure(report)
    if figure is None:
        return False
    save_figure(figure, out_file)
    return True


def share_figure(report: Report, size: tuple[float, float] | None = None) -> Figure | None:
    """The figure of :func:`draw_shares`; ``None`` where no criterion measured shares.

    Args:
        report: The run.
        size: Inches, as `steps_picture.steps_figure` takes it.
    """
    groups = [group for group in report.groups if group.shares]
    if not groups:
        return None
    width, height = size or (width_for(len(groups)), 4.5)
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    below = [0.0] * len(groups)
    for term, color in _COLORS.items():
        heights = [group.shares.get(term, 0.0) for group in groups]
        axes.bar(range(len(groups)), heights, bottom=below, color=color, label=term, width=0.8)
        below = [low + high for low, high in zip(below, heights, strict=True)]
    names = [group.name for group in groups]
    if size is None or len(names) <= MOST_NAMES:
        write_names(axes, names)
    else:
        write_parts([axes], names)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the terms' squared gradients")
    if size is None:
        axes.set_title(f'{report.method}: what the scores come from')
        axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1), borderaxespad=0)
    else:
        axes.legend(loc='lower left', ncols=3, fontsize='small')
    return figure
