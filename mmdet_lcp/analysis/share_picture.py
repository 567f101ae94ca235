"""The gradient-share figure: which loss term decided on each group's channels."""

import os

from ..files import atomic_path
from .report import Report

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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = [group for group in report.groups if group.shares]
    if not groups:
        return False
    figure = Figure(figsize=(min(30.0, max(6.0, 2.5 + 0.45 * len(groups))), 4.5), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    below = [0.0] * len(groups)
    for term, color in _COLORS.items():
        heights = [group.shares.get(term, 0.0) for group in groups]
        axes.bar(range(len(groups)), heights, bottom=below, color=color, label=term, width=0.8)
        below = [low + high for low, high in zip(below, heights, strict=True)]
    axes.set_xticks(range(len(groups)), [group.name for group in groups], rotation=60)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment('right')
        label.set_rotation_mode('anchor')
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the terms' squared gradients")
    axes.set_title(f'{report.method}: what the scores come from')
    axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1), borderaxespad=0)
    with atomic_path(out_file) as temporary:
        figure.savefig(temporary, bbox_inches='tight')
    return True
