"""One threshold for the connections of several layers: what goes is ranked over all of them.

By magnitude, as it is; or by the LAMP score of Lee et al., "Layer-adaptive Sparsity for the
Magnitude-based Pruning" (ICLR 2021), section 2.2: a weight's square over the sum of the squares in
its layer that are not smaller. The score does not change when a layer is scaled, as a batch norm
behind it lets one do, and the largest weight of every layer has the score 1.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Score = Literal['magnitude', 'lamp']


def lamp_scores(weight: Tensor) -> Tensor:
    """LAMP scores in [0, 1], of the weight's shape; 0 for a weight that is zero."""
    squares = weight.detach().double().square().flatten()
    order = squares.argsort(stable=True)
    ordered = squares[order]
    not_smaller = ordered.flip(0).cumsum(0).flip(0)
    tiny = torch.finfo(torch.float64).tiny
    scores = torch.empty_like(squares)
    scores[order] = ordered / not_smaller.clamp(min=tiny)
    return scores.view_as(weight)


def masks_by_ranking(
    weights: Mapping[str, Tensor], sparsity: float, score: Score, most: float
) -> dict[str, Tensor]:
    """Which weights stay when the ones of the smallest scores go, whatever layer they are in.

    Args:
        weights: by layer.
        sparsity: fraction of all weights that goes, in [0, 1]; of n, floor(sparsity * n + 1/2).
        score: what is ranked.
        most: of the n weights of a layer, the ceil((1 - most) * n) of the largest scores stay, at
            least one; others go instead, as far as there are.

    Returns:
        Boolean masks by layer, of the weights' shapes, true for what stays. Of equal scores the
        one of the earlier layer and the lower index goes first.
    """
    scores = []
    for weight in weights.values():
        found = (lamp_scores(weight) if score == 'lamp' else weight.detach().abs()).flatten()
        least = fewest_left(len(found), most)
        scores.append(found.index_fill(0, _largest(found, least), math.inf))
    ranked = torch.cat(scores)
    free = int(ranked.isfinite().sum())
    gone = min(int(sparsity * len(ranked) + 0.5), free)
    mask = torch.ones(len(ranked), dtype=torch.bool, device=ranked.device)
    mask[ranked.argsort(stable=True)[:gone]] = False
    parts = mask.split([weight.numel() for weight in weights.values()])
    return {
        path: part.view_as(weight)
        for (path, weight), part in zip(weights.items(), parts, strict=True)
    }


def fewest_left(count: int, most: float) -> int:
    """Of so many weights, those that stay at least when the share ``most`` may go; >= 1."""
    return max(1, math.ceil((1 - most) * count - 1e-9))


def _largest(scores: Tensor, count: int) -> Tensor:
    """Where the largest scores are; of equal ones the last."""
    return scores.argsort(stable=True)[len(scores) - count :]
