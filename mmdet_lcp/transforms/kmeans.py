"""k-means of numbers: Lloyd's algorithm on sorted values, where a cluster is a range.

The weight sharing of Deep Compression (Han et al., ICLR 2016), section 3. With the values sorted
once and their running sums at hand, a step of Lloyd's algorithm over n values and k clusters costs
k binary searches instead of n * k distances: 30 million weights take seconds.
"""

from typing import Literal

import torch
from torch import Tensor

Init = Literal['linear', 'density', 'random']
INITS = ('linear', 'density', 'random')


def initial_centroids(values: Tensor, count: int, init: Init, seed: int = 0) -> Tensor:
    """Where the clusters begin (section 3.1 of the paper).

    Args:
        values: (n,) float64, ascending, n >= 1.
        count: number of centroids, >= 1.
        init: ``'linear'``: evenly over [min, max]; ``'density'``: evenly over the cumulative
            distribution; ``'random'``: values drawn without repetition.
        seed: of ``'random'``.

    Returns:
        (count,) float64, ascending.
    """
    if init == 'linear':
        return torch.linspace(float(values[0]), float(values[-1]), count, dtype=values.dtype)
    if init == 'density':
        shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        return values[(shares * len(values)).long().clamp(max=len(values) - 1)]
    generator = torch.Generator().manual_seed(seed)
    if count <= len(values):
        return values[torch.randperm(len(values), generator=generator)[:count].sort().values]
    return values[torch.randint(len(values), (count,), generator=generator).sort().values]


def kmeans(
    values: Tensor,
    count: int,
    init: Init = 'linear',
    steps: int = 300,
    seed: int = 0,
    refill: bool = False,
) -> tuple[Tensor, Tensor]:
    """Cluster numbers so that the sum of squared distances to the centroids is a local minimum.

    Args:
        values: any shape, finite, at least one.
        count: clusters at most, >= 1; where there are fewer different values, each gets its own.
        init: see `initial_centroids`.
        steps: at most so many steps of Lloyd's algorithm.
        seed: of a random beginning.
        refill: clusters that have become empty begin again inside those of the largest error.
            Pruned weights have a gap around zero, in which a linear beginning puts some.

    Returns:
        Centroids (k,), k <= count, ascending, in the values' type (empty clusters are left out);
        and the index of each value's centroid, int64, of the values' shape.
    """
    flat = values.detach().flatten().double().cpu()
    ordered = flat.sort().values
    distinct = torch.unique_consecutive(ordered)
    if len(distinct) <= count:
        centroids = distinct
    else:
        centroids = _lloyd(ordered, initial_centroids(ordered, count, init, seed), steps)
        if refill:
            centroids = _refill(ordered, centroids, count, steps)
    used, index = _assign(flat, centroids).unique(return_inverse=True)
    kept = centroids[used].to(values.dtype)
    return kept.to(values.device), index.view(values.shape).to(values.device)


def _lloyd(ordered: Tensor, centroids: Tensor, steps: int) -> Tensor:
    """Assign and average in turn until nothing moves; empty clusters go."""
    sums = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])
    before = None
    for _ in range(steps):
        ends = torch.searchsorted(ordered, _middles(centroids))
        edges = torch.cat([ends.new_zeros(1), ends, ends.new_tensor([len(ordered)])])
        counts = edges.diff()
        full = counts > 0
        centroids = ((sums[edges[1:]] - sums[edges[:-1]]) / counts.clamp(min=1))[full]
        # A running sum over millions of values is inexact: keep the mean inside its cluster.
        first, last = ordered[edges[:-1][full]], ordered[edges[1:][full] - 1]
        centroids = torch.minimum(torch.maximum(centroids, first), last)
        if before is not None and torch.equal(edges, before):
            break
        before = edges
    return centroids


def _refill(ordered: Tensor, centroids: Tensor, count: int, steps: int) -> Tensor:
    """Halve the clusters of the largest error until there are ``count``."""
    while len(centroids) < count:
        ends = torch.searchsorted(ordered, _middles(centroids))
        edges = torch.cat([ends.new_zeros(1), ends, ends.new_tensor([len(ordered)])])
        errors = (ordered - centroids.repeat_interleave(edges.diff())).square()
        sums = torch.cat([errors.new_zeros(1), errors.cumsum(0)])[edges].diff()
        first, last = ordered[edges[:-1]], ordered[edges[1:] - 1]
        order = torch.where(first < last, sums, -1.0).argsort(descending=True, stable=True)
        halved = order[: min(count - len(centroids), int((first < last).sum()))]
        halves = [(centroids + first)[halved] / 2, (centroids + last)[halved] / 2]
        rest = torch.ones(len(centroids), dtype=torch.bool)
        rest[halved] = False
        more = _lloyd(ordered, torch.cat([centroids[rest], *halves]).sort().values, steps)
        if len(more) <= len(centroids):
            break
        centroids = more
    return centroids


def _assign(values: Tensor, centroids: Tensor) -> Tensor:
    """The nearest centroid of each value; of two equally near ones the upper."""
    return torch.searchsorted(_middles(centroids), values, right=True)


def _middles(centroids: Tensor) -> Tensor:
    return (centroids[1:] + centroids[:-1]) / 2
