"""Labels of a feature map: which channel each of its elements belongs to.

A map's labels are an int64 tensor that broadcasts to the map's shape: its size is 1 along every
dimension along which the labels are the same. A convolution's output has labels (1, C, 1, 1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdet_lcp.graph.ties import Ties


def compact(labels: Tensor) -> Tensor:
    """Take labels of full size, or of any, down to size 1 wherever they repeat."""
    for dim in range(labels.dim()):
        if labels.shape[dim] > 1:
            first = labels.narrow(dim, 0, 1)
            if labels.stride(dim) == 0 or torch.equal(first.expand_as(labels), labels):
                labels = first
    return labels


def on_dimension(channels: Tensor, dim: int, dims: int) -> Tensor:
    """Labels of a map whose channels lie along one dimension."""
    shape = [1] * dims
    shape[dim] = len(channels)
    return channels.view(shape)


def mixed(labels: Tensor, dims: Sequence[int], ties: Ties) -> Tensor:
    """Labels of a map after an operation that mixes its elements along some dimensions.

    What is mixed is tied; the sizes of these dimensions become 1.
    """
    dims = [dim % labels.dim() for dim in dims]
    if any(labels.shape[dim] > 1 for dim in dims):
        rows = labels.movedim(dims, list(range(-len(dims), 0))).flatten(-len(dims))
        strongest = rows.amax(-1, keepdim=True)
        ties.tie(strongest.expand_as(rows).flatten(), rows.flatten())
        labels = ties.roots(labels)
    return labels.amax(dims, keepdim=True)


def channels_along(labels: Tensor | None, dim: int, shape: Sequence[int], ties: Ties) -> Tensor:
    """The channel of each index of one dimension, (shape[dim],); zeros without labels.

    Elements of one index that belong to different channels are tied.
    """
    if labels is None:
        return torch.zeros(shape[dim], dtype=torch.int64)
    dim = dim % labels.dim()
    others = [d for d in range(labels.dim()) if d != dim]
    if others:
        labels = mixed(labels, others, ties)
    return labels.flatten().expand(shape[dim]).clone()


def joined(operands: Sequence[tuple[Tensor, torch.Size]], ties: Ties) -> Tensor:
    """Labels of an operation element by element; elements that meet are tied.

    Args:
        operands: labels of each operand that has some, with the operand's shape.
        ties: is told.
    """
    result = operands[0][0]
    for labels, _ in operands[1:]:
        one, two = torch.broadcast_tensors(result, labels)
        ties.tie(one.flatten(), two.flatten())
        result = ties.roots(torch.maximum(one, two))
    return result


def concatenated(parts: Sequence[tuple[Tensor | None, torch.Size]], dim: int) -> Tensor:
    """Labels of a concatenation along one dimension, of (labels, shape) of each part."""
    dims = len(parts[0][1])
    dim = dim % dims
    known = [(torch.zeros([1] * dims, dtype=torch.int64) if p is None else p, s) for p, s in parts]
    widest = [max(labels.shape[d] for labels, _ in known) for d in range(dims)]
    return compact(
        torch.cat(
            [
                labels.expand([shape[d] if d == dim else widest[d] for d in range(dims)])
                for labels, shape in known
            ],
            dim,
        )
    )
