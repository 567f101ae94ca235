"""Which layers stay in full precision in a file of eight bits: sets are tried, the least is taken.

Two kinds are: the layers that lose most when each is quantised alone, and the heads' last ones,
whose outputs are scores and boxes. 256 steps for those cost more mAP than the same error before
them: with them in float a trained SSD lost 0.0001 instead of 0.0053.
"""

import re
from collections.abc import Callable, Sequence

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.int8_network import Network

WORDS = ('auto', 'heads')  # what `keep` may be beside a regular expression
MOST = 4  # a quarter of the layers
WORTH = 0.1  # of the loss without any: what another step has to gain
EQUAL_METRIC = 1e-3


def named_nodes(keep: str | None, names: Sequence[str], network: Network) -> set[str]:
    """Nodes that `keep` says outright: none where it is None or ``'auto'``.

    Args:
        keep: ``'heads'``, or a regular expression that is searched in names.
        names: of all nodes.
        network: of the graph.

    Raises:
        CompressionError: the expression is none, or is found in no name.
    """
    if keep is None or keep == 'auto':
        return set()
    if keep == 'heads':
        return {node for layer in network.last for node in network.layers[layer]}
    try:
        found = {name for name in names if re.search(keep, name)}
    except re.error as error:
        raise CompressionError(
            f'keep={keep!r}: no regular expression ({error}); or take {" or ".join(WORDS)}'
        ) from error
    if not found:
        raise CompressionError(
            f'keep={keep!r} matches none of the {len(names)} nodes, such as {names[0]}; '
            f'or take {" or ".join(WORDS)}'
        )
    return found


def doubled(order: Sequence[str], kept: Sequence[str]) -> list[list[str]]:
    """`kept` with the first 1, 2, 4, ... others of an order, up to a quarter of it."""
    others = [name for name in order if name not in kept]
    counts = [2**power for power in range(len(order).bit_length())]
    most = max(1, len(order) // MOST)
    return [[*kept, *others[:count]] for count in counts if count <= min(most, len(others))]


def kept_by_loss(
    order: list[str],
    last: list[str],
    whole: float,
    loss_without: Callable[[list[str]], float],
) -> list[str]:
    """The first layers of an order, the last ones, or both: as far as each step is worth it.

    Args:
        order: layers, those that lose most first.
        last: layers.
        whole: the loss with none in float; a step has to gain a tenth of it.
        loss_without: the loss with some layers in float.
    """
    kept: list[str] = []
    best = whole
    with_last = [last, *doubled(order, last)] if last else []
    for some in (*doubled(order, []), *with_last):
        loss = loss_without(some)
        if best - loss >= WORTH * whole:
            kept, best = some, loss
    return kept


def kept_by_metric(
    order: list[str],
    last: list[str],
    without: float,
    full: float,
    metric_with: Callable[[list[str]], float],
) -> list[str]:
    """The least that comes near the metric in float: the last layers, then the first of an order.

    Args:
        order: layers, those that lose most first.
        last: layers.
        without: the metric with none in float.
        full: that of the float file.
        metric_with: of some layers in float.
    """
    kept: list[str] = []
    best = without
    for some in (last, *doubled(order, last)):
        if best >= full - EQUAL_METRIC:
            break
        metric = metric_with(some)
        if metric > best:
            kept, best = some, metric
    return kept
