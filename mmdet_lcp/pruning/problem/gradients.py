"""L and its gradient over the selection images of all ranks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from mmengine import dist
from torch import Tensor

from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch

Weights = dict[str, Tensor]
Terms = Callable[[SelectionBatch, Weights], dict[str, Tensor]]


@dataclass
class Gradients:
    """L and its gradient, averaged over the selection images of all ranks.

    Attributes:
        losses: value of each term, weights included, by term.
        total: gradient of L with respect to each consumer's kernel, by path.
        by_term: each term's own gradient, over the batches on which it was taken apart.
    """

    losses: dict[str, float]
    total: Weights
    by_term: dict[str, Weights] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """L."""
        return sum(self.losses.values())


def mean_gradients(
    terms: Terms, batches: Iterable[SelectionBatch], weights: Weights, apart: int | None
) -> Gradients:
    """See `SelectionProblem.gradients`.

    Args:
        terms: the weighted terms of L on one batch at given kernels, each a scalar.
        batches: of this rank; every rank gives some.
        weights: kernels by path.
        apart: on so many batches each term's gradient is also taken on its own; ``None`` for all.
    """
    leaves = {path: weight.detach().requires_grad_(True) for path, weight in weights.items()}
    total = _ImageMean(leaves)
    by_term: dict[str, _ImageMean] = {}
    losses: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        with torch.enable_grad():
            found = terms(batch, leaves)
            loss = sum(found.values())
        for term, value in found.items():
            losses[term] = losses.get(term, 0) + value.detach().double() * batch.num_images
        if apart is None or number < apart:
            parts = {term: _grad(value, leaves) for term, value in found.items()}
            for term, gradient in parts.items():
                by_term.setdefault(term, _ImageMean(leaves)).add(gradient, batch.num_images)
            summed = [sum(gradients) for gradients in zip(*parts.values(), strict=True)]
            total.add(summed, batch.num_images)
        else:
            total.add(_grad(loss, leaves), batch.num_images)
    count = total.finish()
    for mean in by_term.values():
        mean.finish()
    for value in losses.values():
        dist.all_reduce(value)
    return Gradients(
        {term: float(value.cpu()) / count for term, value in losses.items()},
        total.sums,
        {term: mean.sums for term, mean in by_term.items()},
    )


def _grad(loss: Tensor, leaves: Weights) -> list[Tensor]:
    """Gradient for each leaf, zeros where the loss does not reach it; the graph stays."""
    if not loss.requires_grad:  # a term that none of the kernels reach
        return [torch.zeros_like(leaf, requires_grad=False) for leaf in leaves.values()]
    found = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for gradient, leaf in zip(found, leaves.values(), strict=True)
    ]


class _ImageMean:
    """A mean over images of tensors that come as means over batches, on all ranks."""

    def __init__(self, like: Weights) -> None:
        self.sums = {
            path: torch.zeros_like(leaf, requires_grad=False) for path, leaf in like.items()
        }
        self.images = 0

    def add(self, values: list[Tensor], images: int) -> None:
        for into, value in zip(self.sums.values(), values, strict=True):
            into += value.detach() * images
        self.images += images

    def finish(self) -> float:
        """Divide; returns the number of images."""
        count = torch.tensor(float(self.images), dtype=torch.float64)
        dist.all_reduce(count)
        for into in self.sums.values():
            dist.all_reduce(into)
            into /= float(count)
        return float(count)
