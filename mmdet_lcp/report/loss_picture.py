"""The loss terms along the training: how large each is, and what share of the sum it has."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from mmdet_lcp.report.figures import new_figure, save_figure
from mmdet_lcp.report.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = (8.0, 4.5)


def draw_losses(report: Report, out_file: str | os.PathLike) -> bool:
    """Draw the figure of :func:`loss_figure` into a PNG.

    Args:
        report: The run.
        out_file: The picture.

    Returns:
        Whether it was drawn: not where losses were not kept.
    """
    figure = loss_figure(report, _SIZE)
    if figure is None:
        return False
    save_figure(figure, out_file)
    return True


def loss_figure(report: Report, size: tuple[float, float]) -> Figure | None:
    """Each term's share of the loss, piece by piece, as stacked bars; ``None`` without losses.

    Args:
        report: The run.
        size: Inches, (width, height).
    """
    pieces, terms = report.losses, loss_terms(report)
    if not terms:
        return None
    figure = new_figure(*size, layout='constrained')
    axes = figure.add_subplot()
    edges = [0, *(piece.iteration for piece in pieces)]
    widths = [high - low for low, high in pairwise(edges)]
    below = [0.0] * len(pieces)
    for term in terms:
        heights = [piece.shares.get(term, 0.0) for piece in pieces]
        axes.bar(edges[:-1], heights, widths, below, align='edge', label=term, linewidth=0)
        below = [low + high for low, high in zip(below, heights, strict=True)]
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, 1)
    axes.set_xlabel('iteration')
    axes.set_ylabel('share of the loss')
    columns = max(1, int(size[0] / 2))
    figure.legend(loc='outside upper center', ncols=columns, fontsize='small', frameon=False)
    return figure


def loss_terms(report: Report) -> list[str]:
    """Names of all terms, in the order in which they first come."""
    return list(dict.fromkeys(term for piece in report.losses for term in piece.terms))
