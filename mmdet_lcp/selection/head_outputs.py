"""What a detector's heads write, sorted: class scores of each prior, and what stands beside them.

`tensor_forward` gives nested tensors whose meaning the heads know. Where a head says how many
channels a prior's scores have, and how they become probabilities, its outputs are laid out as one
row a prior; all others stay as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.detectors.head_scores import has_sigmoid, writes_probabilities
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.losses.output_distillation import OutputPart

_LEAST_PROBABILITY = 1e-6  # of a class, where a head writes probabilities


def output_parts(detector: nn.Module, outputs: Any) -> list[OutputPart]:
    """Sort what `tensor_forward` gives.

    Args:
        detector: an mmdet detector or any other network, whose outputs stay as they are.
        outputs: nested tensors.

    Returns:
        The same number of parts, in the same order, for all detectors with the same heads.
    """
    if not is_two_stage(detector):
        return _dense(getattr(detector, 'bbox_head', None), outputs)
    proposed, found, *others = outputs
    return [
        *_dense(getattr(detector, 'rpn_head', None), proposed),
        *_of_regions(detector.roi_head, found),
        *_plain(others),
    ]


def _plain(outputs: Any) -> list[OutputPart]:
    """Outputs of unknown meaning, each a part of its own."""
    return [
        OutputPart(None, values=[leaf])
        for leaf in tree_leaves(outputs)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    ]


def _dense(head: nn.Module | None, outputs: Any) -> list[OutputPart]:
    """Outputs of a head that looks everywhere, or of one with queries."""
    channels = getattr(head, 'cls_out_channels', None)
    if channels is None or not isinstance(outputs, (list, tuple)) or not outputs:
        return _plain(outputs)
    sort = _of_queries if isinstance(outputs[0], Tensor) else _of_levels
    parts = sort(outputs, channels, not has_sigmoid(head, unless_told=False))
    if parts and writes_probabilities(head):
        parts[0].scores = parts[0].scores.logit(_LEAST_PROBABILITY)
    return parts or _plain(outputs)


def _of_queries(kinds: Sequence[Any], channels: int, softmax: bool) -> list[OutputPart]:
    """Scores and boxes of each query of each layer, (..., K); nothing if they are none."""
    if not all(isinstance(kind, Tensor) and kind.dim() > 1 for kind in kinds):
        return []
    rows = [kind.flatten(0, -2) for kind in kinds]
    if rows[0].shape[1] != channels or len({len(kind) for kind in rows}) > 1:
        return []
    return [OutputPart(rows[0], softmax, rows[1:])]


def _of_levels(kinds: Sequence[Any], channels: int, softmax: bool) -> list[OutputPart]:
    """A map of scores for each level, and others beside them; nothing if they are none."""
    scores = kinds[0]
    if not _is_levels(scores) or any(level.shape[1] % channels for level in scores):
        return []
    priors = [level.shape[1] // channels for level in scores]
    beside = [
        _is_levels(kind) and len(kind) == len(scores) and _stand_beside(scores, kind, priors)
        for kind in kinds[1:]
    ]
    values = [_rows(kind, priors) for kind, own in zip(kinds[1:], beside, strict=True) if own]
    others = [kind for kind, own in zip(kinds[1:], beside, strict=True) if not own]
    return [OutputPart(_rows(scores, priors), softmax, values), *_plain(others)]


def _is_levels(kind: Any) -> bool:
    """Whether this is a map for each of some levels."""
    return isinstance(kind, (list, tuple)) and all(
        isinstance(level, Tensor) and level.dim() == 4 for level in kind
    )


def _stand_beside(
    scores: Sequence[Tensor], others: Sequence[Tensor], per_prior: Sequence[int]
) -> bool:
    """Whether maps tell something of the same priors."""
    return all(
        own.shape[0] == other.shape[0]
        and own.shape[2:] == other.shape[2:]
        and other.shape[1] % count == 0
        for own, other, count in zip(scores, others, per_prior, strict=True)
    )


def _rows(levels: Sequence[Tensor], per_prior: Sequence[int]) -> Tensor:
    """Maps (N, A * K, H, W) as rows (M, K)."""
    found = []
    for level, count in zip(levels, per_prior, strict=True):
        split = level.unflatten(1, (count, level.shape[1] // count))
        found.append(split.movedim(2, -1).flatten(0, -2))
    return torch.cat(found)


def _of_regions(head: nn.Module, outputs: Any) -> list[OutputPart]:
    """Outputs of a RoI head: scores, boxes of one or of each class, then masks and the like.

    Stages, and the images of a cascade, come as several scores and then as many boxes, or in turn.
    """
    widths = dict(_region_heads(head))
    leaves = [
        leaf
        for leaf in tree_leaves(outputs)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    ]
    flat = [leaf for leaf in leaves if leaf.dim() == 2]
    scores = [leaf for leaf in flat if leaf.shape[1] in widths]
    values = [leaf for leaf in flat if leaf.shape[1] not in widths]
    if not values and (len(flat) == 2 or isinstance(outputs[0], (list, tuple))):
        half = len(flat) // 2  # three classes and the background are as wide as a box
        scores, values = flat[:half], flat[half:]
    if list(map(len, values)) != list(map(len, scores)):
        return _plain(leaves)
    pairs = zip(scores, values, strict=True)
    parts = [OutputPart(one, widths[one.shape[1]], [other]) for one, other in pairs]
    return [*parts, *_plain([leaf for leaf in leaves if leaf.dim() != 2])]


def _region_heads(head: nn.Module) -> Iterator[tuple[int, bool]]:
    """Number of scores of a region, and whether they compete, of each head of boxes."""
    boxes = getattr(head, 'bbox_head', None)
    for one in boxes if isinstance(boxes, nn.ModuleList) else [boxes]:
        count = getattr(one, 'num_classes', None)
        if count is not None:
            softmax = not has_sigmoid(one, unless_told=False)
            yield count + softmax, softmax
