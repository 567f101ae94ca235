"""The blocks of a greedy schedule: a detector's layers from the bottom up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mmdet_lcp.config.keys import check_pattern
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.blocks import BACKBONE, stage_of
from mmdet_lcp.graph.run_order import RunOrder
from mmdet_lcp.nearest import nearest_hint, without_escapes

_LISTS = (nn.ModuleList, nn.Sequential)


@dataclass(frozen=True)
class Block:
    """Layers that are changed together.

    Attributes:
        name: for logs and reports.
        layers: module paths.
    """

    name: str
    layers: tuple[str, ...]


def default_blocks(detector: nn.Module, layers: Sequence[str], order: RunOrder) -> list[Block]:
    """The backbone's stages, then each other part of the detector (neck, heads) as a whole.

    They come in the order in which they run, not in that of the modules: mmdet makes the heads of
    DETR before its encoder. Parts that make predictions come last, since the heads of DINO run on
    the encoder's proposals first.

    Stages are what the backbone declares. Of one that declares none, each child is a block; where
    a single one of them is a list or a sequence, that holds the stages, and each of its own
    children is a block.

    Args:
        detector: a plain mmdet detector.
        layers: module paths, each in one block; in the order of the modules.
        order: how the detector runs.
    """
    ran = {path: number for number, path in enumerate(order.modules)}
    predicts = {_part(detector, path) for path in order.last}
    found: dict[str, list[str]] = {}
    for path in layers:
        found.setdefault(_part(detector, path), []).append(path)
    names = sorted(found, key=lambda name: (name in predicts, min(map(ran.get, found[name]))))
    return [Block(name, tuple(found[name])) for name in names]


def blocks_of(
    patterns: Sequence[str],
    layers: Sequence[str],
    known: Sequence[str],
    where: str,
) -> list[Block]:
    """Blocks that the user has laid out.

    Args:
        patterns: regular expressions, searched in the module paths, from the bottom up.
        layers: module paths, each to be in one block.
        known: paths of all layers with weights; an expression may match what is left alone too.
        where: the config key, for messages.

    Raises:
        CompressionError: an expression matches nothing, a layer is in two blocks or in none.
    """
    found: dict[str, str] = {}
    for number, pattern in enumerate(patterns):
        check_pattern(pattern, f'{where}[{number}]')
        paths = [path for path in layers if re.search(pattern, path)]
        if not paths:
            alone = [path for path in known if re.search(pattern, path)]
            near = nearest_hint(without_escapes(pattern), layers)
            problem = f'only matches {alone[0]}, which is left alone' if alone else 'matches none'
            raise CompressionError(
                f'{where}[{number}]: {pattern!r} {problem} of the {len(layers)} layers that are '
                f'changed{near}'
            )
        for path in paths:
            if path in found:
                raise CompressionError(
                    f'{where}: {path} is in two blocks, {found[path]!r} and {pattern!r}'
                )
            found[path] = pattern
    out = [path for path in layers if path not in found]
    if out:
        near = nearest_hint(out[0], patterns, '; the block nearest to the first is {!r}')
        raise CompressionError(
            f'{where}: {len(out)} layers that are changed are in no block: {", ".join(out[:5])}'
            f'{", ..." if len(out) > 5 else ""}{near}. '
            'Add them to a block, or name them in `keep`'
        )
    return [
        Block(pattern, tuple(path for path in layers if found[path] == pattern))
        for pattern in patterns
    ]


def _part(detector: nn.Module, path: str) -> str:
    """The name of the default block that a layer is in."""
    top = path.split('.')[0]
    if not path.startswith(BACKBONE):
        return top
    try:
        return f'{top} stage {stage_of(detector, path)}'
    except CompressionError:  # it declares none
        names = path.split('.')
        lists = [name for name, m in detector.backbone.named_children() if isinstance(m, _LISTS)]
        return '.'.join(names[: 3 if lists == [names[1]] else 2])
