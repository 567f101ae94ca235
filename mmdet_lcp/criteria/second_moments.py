"""One pass over the selection set that fills the second moments of a group's consumers."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmdet_lcp.criteria.moments import Moments, patches

if TYPE_CHECKING:
    from mmdet_lcp.criteria.problem import SelectionBatch, SelectionProblem


@torch.no_grad()
def second_moments(problem: 'SelectionProblem') -> dict[str, tuple[Moments, Moments]]:
    """See `SelectionProblem.moments`."""
    generator = torch.Generator().manual_seed(problem.seed)
    fit: dict[str, Moments] = {}
    held: dict[str, Moments] = {}
    seen = 0
    for batch in problem.batches:
        numbers = torch.arange(seen, seen + batch.num_images)
        seen += batch.num_images
        for path, consumer in problem.consumers.items():
            x, y, weights = _rows(problem, batch, path, generator)
            x, y = x.to(consumer.module.weight.dtype), y.to(consumer.module.weight.dtype)
            if path not in fit:
                fit[path] = Moments.zeros(x.shape[-1], y.shape[-1], x.device)
                held[path] = Moments.zeros(x.shape[-1], y.shape[-1], x.device)
            # A linear layer behind RoIs has several rows an image, without saying whose.
            per_image = len(x) == batch.num_images
            out = (numbers if per_image else torch.arange(len(x))) % 4 == 3
            for moments, part in ((fit[path], ~out), (held[path], out)):
                if part.any():
                    part = part.to(x.device)
                    moments.add(
                        x[part].flatten(0, 1), y[part].flatten(0, 1), weights[part].flatten()
                    )
    for path in problem.consumers:
        fit[path].all_reduce()
        held[path].all_reduce()
        if float(held[path].weight) == 0:
            held[path] = fit[path]
    return {path: (fit[path], held[path]) for path in problem.consumers}


def _rows(
    problem: 'SelectionProblem', batch: 'SelectionBatch', path: str, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (N, P, n), original outputs (N, P, out) and weights (N, P) of one batch."""
    inputs, target = batch.inputs[path], batch.targets[path]
    if target.dim() != 4:  # a linear layer: one position an item
        return inputs[:, None], target[:, None], inputs.new_ones(len(inputs), 1).double()
    positions = problem.positions
    boxes = batch.boxes if batch.boxes is not None else [torch.empty(0, 4)] * len(target)
    sensitivity = None if batch.sensitivity is None else batch.sensitivity[path]
    weights = positions.weights(tuple(target.shape[2:]), boxes, batch.img_shape, sensitivity)
    count = weights.shape[1]
    if count > positions.per_image:
        chosen = torch.multinomial(
            weights, positions.per_image, replacement=True, generator=generator
        )
        weights = torch.full(chosen.shape, 1.0 / positions.per_image, dtype=torch.float64)
    else:
        chosen = torch.arange(count).expand(len(target), -1)
    chosen, weights = chosen.to(target.device), weights.to(target.device)
    x = patches(problem.consumers[path].module, inputs, chosen)
    y = target.flatten(2).gather(2, chosen[:, None].expand(-1, target.shape[1], -1))
    return x, y.transpose(1, 2), weights
