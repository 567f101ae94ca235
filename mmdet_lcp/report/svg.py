"""A figure as text inside a page: it takes the page's colours, light or dark, and its font."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from mmdet_lcp.report.figures import as_written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What matplotlib writes in black and white is ink and paper.
_COLOURS = {'#000000': 'currentColor', '#ffffff': 'var(--paper)'}
_NAMELESS = re.compile(
    r' id="[A-Za-z0-9.]+_\d+"'
)  # nothing refers to them, and figures share them


def svg_of(figure: Figure, words: str) -> Markup:
    """An ``<svg>`` element that is as wide as what holds it.

    Args:
        figure: of matplotlib; texts in it are no formulas.
        words: what it shows, for those who do not see it; it also keeps the names inside apart
            from those of other figures on the page.
    """
    from matplotlib import rc_context

    as_written(figure)
    text = io.StringIO()
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': words}):
        figure.savefig(text, format='svg', transparent=True, bbox_inches='tight')
    svg = text.getvalue()
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'\s*<metadata>.*?</metadata>', '', svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', '', svg, count=2)
    svg = _NAMELESS.sub('', svg)
    for colour, own in _COLOURS.items():
        svg = svg.replace(colour, own)
    return Markup(
        svg.replace('<svg ', f'<svg role="img" aria-label="{escape(words)}" ', 1).strip()
    )
