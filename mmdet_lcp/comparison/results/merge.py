"""Several comparisons in one: their cells, methods in the order in which they first stand."""

from collections.abc import Mapping

from mmdet_lcp.comparison.results.comparison import FINISHED, CellResult, Comparison
from mmdet_lcp.comparison.results.removal_amount import amount_name, amount_order
from mmdet_lcp.errors import CompressionError


def merged(sources: Mapping[str, Comparison]) -> Comparison:
    """Put the cells of comparisons together.

    A cell that stands in several of them, and has not ended in all, is the one that has ended.

    Args:
        sources: comparison by the name that an error calls it.

    Raises:
        CompressionError: a cell has ended in two of them, with different results; or the dense
            detectors differ. Both are named.
    """
    cells: dict[tuple[str, float | str, int], tuple[str, CellResult]] = {}
    for name, comparison in sources.items():
        for cell in comparison.cells:
            key = (cell.method, cell.ratio, cell.seed)
            known = cells.get(key)
            if known is None or known[1].state != FINISHED:
                cells[key] = (name, cell)
            elif cell.state == FINISHED and cell.final != known[1].final:
                what = f'{cell.method} at {amount_name(cell.ratio)} with seed {cell.seed}'
                raise CompressionError(
                    f'{what} has ended in {known[0]} and, with another result, in {name}. Leave '
                    'one of them out'
                )
    methods = list(dict.fromkeys(m for c in sources.values() for m in c.methods))
    found = [cell for _, cell in cells.values()]
    found.sort(key=lambda c: (methods.index(c.method), amount_order(c.ratio), c.seed))
    whole = Comparison(found, methods)
    if lines := whole.disagreements():
        raise CompressionError(f'{", ".join(sources)}: {lines[0]}')
    return whole
