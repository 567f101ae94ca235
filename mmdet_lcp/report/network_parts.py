"""The parts of a network along an axis, where the names of all of its layers find no room."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES = 8  # that are written out
_LINE = '#8b95a1'
_FEWEST = 2  # layers of a part of the backbone that has a name of its own


def write_parts(every_axes: Sequence[Axes], names: Sequence[str]) -> None:
    """Write the parts below the last panel, at 0, 1, ..., and draw lines between them in all.

    Args:
        every_axes: Panels one above the other.
        names: Of what stands along the axis, in order.
    """
    place, middles, words = 0, [], []
    for part, run in groupby(parts_of(names)):
        count = len(list(run))
        middles.append(place + (count - 1) / 2)
        words.append(part.rpartition('.')[2])
        place += count
        for axes in every_axes if place < len(names) else ():
            axes.axvline(place - 0.5, color=_LINE, linewidth=0.6, linestyle=':', zorder=0)
    last = every_axes[-1]
    last.set_xticks(middles, words, rotation=40, fontsize=9)
    for label in last.get_xticklabels():
        label.set_horizontalalignment('right')
        label.set_rotation_mode('anchor')


def parts_of(names: Sequence[str]) -> list[str]:
    """The part of the network that each layer is in: ``backbone.layer1``, ``neck``.

    A stem of single layers has the name of the whole backbone.
    """
    inner = ['.'.join(name.split('.')[:2]) for name in names]
    found = []
    for name, part in zip(names, inner, strict=True):
        outer = name.partition('.')[0]
        own = outer == 'backbone' and name.count('.') > 1 and inner.count(part) >= _FEWEST
        found.append(part if own else outer)
    return found
