"""What all diagrams have in common: how a figure is made, named along its axis, and written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmdet_lcp.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure that needs no screen.

    Args:
        width: inches.
        height: inches.
        options: of matplotlib's `Figure`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, **options)
    FigureCanvasAgg(figure)
    return figure


def width_for(names: int) -> float:
    """Inches for a diagram with so many names along its axis, in [6, 30]."""
    return min(30.0, max(6.0, 2.5 + 0.45 * names))


def write_names(axes: Axes, names: Sequence[str]) -> None:
    """Names along the axis, at 0, 1, ...; aslant, for layers' paths are long."""
    axes.set_xticks(range(len(names)), names, rotation=60)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment('right')
        label.set_rotation_mode('anchor')


def as_written(artist: Artist) -> None:
    """Take every text below an artist as it stands: in a name, ``$`` begins no formula."""
    from matplotlib.text import Text

    for text in artist.findobj(Text):
        text.set_parse_math(False)


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, whole or not at all; names in it are no formulas."""
    as_written(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, bbox_inches='tight')
